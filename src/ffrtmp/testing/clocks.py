"""A clock that stands still until a test moves it."""


class Clock:
    """Microseconds since 1970."""

    def __init__(self, start_us: int = 1_700_000_000_000_000) -> None:
        self.us = start_us

    def __call__(self) -> int:
        return self.us

    def advance(self, *, seconds: float) -> None:
        self.us += round(seconds * 1_000_000)
