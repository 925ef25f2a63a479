"""The masters that a client may ask, and which of them it asks now.

All masters of one farm share one database, so any of them can answer any call. A client stays with one while that answers. One that
does not is left alone for a random and growing time; it is asked sooner only where no other answers.
"""

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ffrtmp.domain import errors

if TYPE_CHECKING:
    import httpx

DEFAULT_PORT = 8080
_FIRST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 60.0
#: a name, or an IP address; anything else (a space between two masters, say) would be looked up in vain for ever
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+(%[\w.-]+)?")

#: (from, to, why)
OnChange = Callable[[str, str, str], None]


def split(written: str | Iterable[str]) -> tuple[str, ...]:
    """What a person wrote, with commas or as several values, one by one."""
    values = [written] if isinstance(written, str) else written
    return tuple(dict.fromkeys(part.strip() for value in values for part in value.split(",") if part.strip()))


def addresses(written: str | Iterable[str]) -> tuple[str, ...]:
    """The same, looked at. Raises InvalidInput naming what is no address."""
    found = split(written)
    for one in found or ("",):
        candidates(one)
    return found


def candidates(address: str) -> list[str]:
    """The base URLs to try for one address, in order. Raises InvalidInput."""
    text = address.strip()
    scheme, found, rest = text.partition("://")
    if found and scheme not in ("http", "https"):
        raise errors.InvalidInput(f"The master's address {address!r} must be host:port, http://… or https://….")
    place = (rest if found else text).rstrip("/")
    try:
        parts = urlsplit(f"//{place}")
        port = parts.port
    except ValueError as error:
        raise errors.InvalidInput(f"The master's address {address!r} is not host:port ({error}).") from None
    plain = _HOST.fullmatch(parts.hostname or "") and parts.username is None and not parts.query and not parts.fragment
    if not plain or (parts.path and not found and port is None):
        raise errors.InvalidInput(f"The master's address {address!r} must be host:port, http://… or https://….")
    if not found and port is None:
        place = f"{place}:{DEFAULT_PORT}"
    order = {"https": ["https"], "http": ["http", "https"]}.get(scheme if found else "", ["https", "http"])
    return [f"{each}://{place}" for each in order]


class Member:
    """One master. `url` is what a person wrote until it has answered, from then on its base URL; `raw` None: it has not yet.
    `key_from`: where the key came from, to be named when it is refused."""

    def __init__(
        self, url: str, raw: "httpx.AsyncClient | None" = None, *, api_key: str = "", key_from: str = ""
    ) -> None:
        self.url = url
        self.raw = raw
        self.api_key = api_key
        self.key_from = key_from
        self.opening = asyncio.Lock()
        self.failures = 0
        self.rests_until = 0.0


class Masters:
    """`members` in the order of asking. `on_change`: told when another answers than the one before; a return to the same is no
    news."""

    def __init__(
        self,
        members: Sequence[Member],
        rng: random.Random,
        *,
        on_change: OnChange | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._members = list(members)
        self._rng = rng
        self._on_change = on_change
        self._clock = clock
        self._left: tuple[Member, str] | None = None  # the one that answered before, and why it was left
        self.current = self._members[0]

    def __len__(self) -> int:
        return len(self._members)

    def in_turn(self) -> list[Member]:
        """Each of them once: the current one, then those that are not known to be away, then those that come back soonest."""
        at = self._members.index(self.current)
        others = self._members[at + 1 :] + self._members[:at]
        now = self._clock()
        return [self.current, *sorted(others, key=lambda member: max(member.rests_until - now, 0.0))]

    def failed(self, member: Member, why: str) -> None:
        """It gave no usable answer. Calls that failed there while another call already went on change nothing more."""
        member.failures += 1
        rest = min(_LONGEST_REST_SECONDS, _FIRST_REST_SECONDS * 2.0 ** min(member.failures - 1, 16))
        member.rests_until = self._clock() + self._rng.uniform(rest / 2, rest)
        if member is self.current and len(self._members) > 1:
            if self._left is None:
                self._left = (member, why)
            self.current = self.in_turn()[1]

    def answered(self, member: Member) -> None:
        member.failures, member.rests_until = 0, 0.0
        if self._left is None:
            return
        if self.current.failures:  # several calls at once each went their way: this one got through
            self.current = member
        if member is self.current:
            (before, why), self._left = self._left, None
            if before is not member and self._on_change is not None:
                self._on_change(before.url, member.url, why)
