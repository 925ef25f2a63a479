"""Where a stream goes: an RTMP server, an application on it, and the stream key under which it is published.

The key is a secret. It is in the spec that is stored and that the agent gets; whoever shows a spec shows `Target.hidden`.
"""

import enum
import re
from urllib.parse import urlsplit

import msgspec

from ffrtmp.domain.addresses import is_address

#: what stands where a stream key was
HIDDEN = "***"
#: how long a server that went away is tried again before the stream is given up
GIVE_UP_SECONDS = 60.0
_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")
_APPLICATION = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]{1,256}")
#: characters; what is shorter is a word that messages may have by chance
_SECRET = 8
_KEY = re.compile(r"[\x21-\x7e]{1,1024}")


class Scheme(enum.StrEnum):
    RTMP = "rtmp"
    RTMPS = "rtmps"  # over TLS


PORTS: dict[Scheme, int] = {Scheme.RTMP: 1935, Scheme.RTMPS: 443}


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One RTMP server and what is published there. `str` of it has no key."""

    scheme: Scheme
    host: str
    port: int
    application: str  #: may have an instance behind a slash
    key: str  #: the name of the stream, with its query if it has one
    give_up_seconds: float = GIVE_UP_SECONDS

    @property
    def server(self) -> str:
        """`rtmp://host:port/application`, without the port where it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}/{self.application}"

    @property
    def hidden(self) -> "Target":
        return msgspec.structs.replace(self, key=HIDDEN)

    def without_key(self, text: str) -> str:
        """What a server says, which may repeat the key, or a part of it that is long enough to be a secret."""
        parts = [one for one in re.split("[?&=]", self.key) if len(one) >= _SECRET]
        for secret in (self.key, *sorted(parts, key=len, reverse=True)):
            text = text.replace(secret, HIDDEN)
        return text

    def __str__(self) -> str:
        return f"{self.server}/{HIDDEN}"

    def __repr__(self) -> str:
        return f"Target({self})"


def is_target(location: str) -> bool:
    """Whether it is the URL of an RTMP server."""
    return location.lower().startswith(("rtmp://", "rtmps://"))


def parse(url: str, key: str | None, give_up_seconds: float = GIVE_UP_SECONDS) -> Target:
    """`rtmp://host/application` with a key, or `rtmp://host/application/key`. Raises ValueError with a sentence that does not
    have the key."""
    example = "write rtmp://host/application/key, or rtmp://host/application with stream_key"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not an RTMP URL; {example}") from None
    if parts.scheme.lower() not in [*Scheme]:
        raise ValueError(f"must begin with rtmp:// or rtmps://; {example}")
    scheme = Scheme(parts.scheme.lower())
    if parts.username is not None or parts.password is not None:
        raise ValueError("has a user and a password, which are not supported; give what the server asks in stream_key")
    path = parts.path.strip("/")
    lacking = "application" if key is not None or not path else "stream key"
    if key is None:
        path, _, key = path.rpartition("/")
        key += f"?{parts.query}" if parts.query and key else ""
    elif parts.query:
        raise ValueError("has a query (`?…`) although stream_key is given; put it behind the stream_key")
    if parts.fragment:
        raise ValueError("has a `#`; write %23 where a key has one, or give the key as stream_key")
    host = parts.hostname or ""
    if not (is_address(host) or _NAME.fullmatch(host)):
        raise ValueError(f"names no host; {example}")
    if not path or not key:
        raise ValueError(f"has no {lacking}; {example}")
    if not _APPLICATION.fullmatch(path):
        raise ValueError("has an application with other characters than letters, digits and -._~!$&'()*+,;=:@%/")
    if not _KEY.fullmatch(key):
        raise ValueError("has a stream key with blanks, or with other than ASCII characters, or with more than 1024")
    if port == 0:
        raise ValueError("has the port 0; ports are 1 to 65535")
    return Target(
        scheme=scheme,
        host=host,
        port=PORTS[scheme] if port is None else port,
        application=path,
        key=key,
        give_up_seconds=give_up_seconds,
    )
