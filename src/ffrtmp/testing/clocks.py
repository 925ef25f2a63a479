"""A clock that stands still until a test moves it."""

from ffrtmp.store import sqlite_clock


class Clock:
    """Microseconds since 1970."""

    def __init__(self, start_us: int = 1_700_000_000_000_000) -> None:
        self.us = start_us
        self._steady_us = 0

    def __call__(self) -> int:
        return self.us

    def read(self) -> sqlite_clock.Reading:
        return sqlite_clock.Reading(self.us, self._steady_us)

    def advance(self, *, seconds: float) -> None:
        """Lets time pass."""
        self.us += round(seconds * 1_000_000)
        self._steady_us += round(seconds * 1_000_000)

    def set_back(self, *, seconds: float) -> None:
        """As people and time servers do, at one moment."""
        self.us -= round(seconds * 1_000_000)
