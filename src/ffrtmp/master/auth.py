"""Who is asking: the admin key, or a node with its own credential. Keys are compared as SHA-256, in constant time."""

import enum
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from ffrtmp.domain import addresses, errors
from ffrtmp.store import interface

_NODE_PREFIX = "ffn_"
_KEY_PREFIX = "ffk_"


class Access(enum.Enum):
    """What a route asks for."""

    PUBLIC = "public"  # no key
    USER = "user"  # the admin key
    NODE = "node"  # the admin key, or the credential of the node that the request names


class Principal(msgspec.Struct, frozen=True):
    """`node_id` None: the administrator (or anyone, with --no-auth)."""

    node_id: str | None = None

    def may_act_for(self, node_id: str) -> None:
        """A node's credential touches only its own attempts. Raises Forbidden."""
        if self.node_id is not None and self.node_id != node_id:
            raise errors.Forbidden("This credential belongs to another node; register this node to get its own.")


ADMIN = Principal()


def new_key() -> str:
    return _KEY_PREFIX + new_secret()


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def credential_for(node_id: str, secret: str) -> str:
    """A node's key says whose it is, so that checking it is one look-up."""
    return f"{_NODE_PREFIX}{node_id}.{secret}"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Auth:
    """Checks requests. `api_key` "" means --no-auth."""

    def __init__(self, api_key: str, store: interface.Store) -> None:
        self._admin = digest(api_key) if api_key else ""
        self._store = store
        self._local_hosts: frozenset[bytes] = frozenset()  #: Host headers that were found to name this machine
        self._nodes: dict[str, str] = {}  #: node id → SHA-256 of its credential, as last read

    @property
    def required(self) -> bool:
        return bool(self._admin)

    def forget(self, node_id: str) -> None:
        """The node has a new credential, or none."""
        self._nodes.pop(node_id, None)

    def forget_all(self) -> None:
        """Another master may have given nodes new credentials."""
        self._nodes.clear()

    async def check(self, headers: Mapping[bytes, bytes], access: Access) -> Principal:
        """Raises Unauthenticated or Forbidden."""
        if access is Access.PUBLIC:
            return ADMIN
        if not self._admin:
            self._check_local(headers)
            return ADMIN
        key = _key(headers)
        hashed = digest(key)
        if hmac.compare_digest(hashed, self._admin):
            return ADMIN
        node_id, separator, _ = key.removeprefix(_NODE_PREFIX).rpartition(".")
        if key.startswith(_NODE_PREFIX) and separator and await self._is_node(node_id, hashed):
            if access is not Access.NODE:
                raise errors.Forbidden("A node's credential may not do this; use the API key.")
            return Principal(node_id)
        raise errors.Unauthenticated(
            "This key is not known to this master; use the one it was started with"
            " (--api-key, MASTER_API_KEY or FFMPEG_RTMP_API_KEY)."
        )

    def _check_local(self, headers: Mapping[bytes, bytes]) -> None:
        """Without a key a page in this machine's browser could send jobs: by a plain form post, or by a name that leads to
        127.0.0.1. Both show in headers that a page cannot choose. Raises Forbidden."""
        host = headers.get(b"host", b"")
        if host and host not in self._local_hosts:
            if not _names_loopback(host.decode("latin-1")):
                raise errors.Forbidden(
                    f"With --no-auth this master answers only to localhost, not to {host[:100].decode('latin-1')};"
                    " use http://127.0.0.1, or start it with a key."
                )
            self._local_hosts = (
                frozenset((*self._local_hosts, host)) if len(self._local_hosts) < 64 else frozenset((host,))
            )
        origin = headers.get(b"origin")
        foreign = origin is not None and origin.partition(b"://")[2] != host
        if foreign or headers.get(b"sec-fetch-site") == b"cross-site":
            raise errors.Forbidden("With --no-auth this master takes no requests from other web sites' pages.")

    async def _is_node(self, node_id: str, hashed: str) -> bool:
        for fresh in (False, True):
            if fresh or node_id not in self._nodes:
                try:
                    self._nodes[node_id] = await self._store.node_credential(node_id)
                except errors.NotFound:
                    return False
            known = self._nodes[node_id]
            if known and hmac.compare_digest(hashed, known):
                return True
        return False


def _names_loopback(host: str) -> bool:
    try:
        return addresses.is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:  # half an IPv6 address
        return False


def _key(headers: Mapping[bytes, bytes]) -> str:
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    if authorization:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() == "bearer" and key.strip():
            return key.strip()
        raise errors.Unauthenticated("The Authorization header must read: Bearer KEY.")
    if key := headers.get(b"x-api-key", b"").decode("latin-1").strip():
        return key
    raise errors.Unauthenticated(
        "Missing Authorization header. Send `Authorization: Bearer KEY` or `X-API-Key: KEY`.",
        code="missing_authorization",
    )
