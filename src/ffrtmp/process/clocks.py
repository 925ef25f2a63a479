"""The time limits of a child as a pure core: no clock of its own, no sleeping."""

import enum


class Ended(enum.StrEnum):
    """How the life of a child ended."""

    EXITED = "exited"  # by itself, or by a signal that we did not send
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    DISK_LIMIT = "disk_limit"
    DISK_FULL = "disk_full"
    MEMORY_LIMIT = "memory_limit"
    FAILED = "failed"  # its last words said so, and it stayed
    STOPPED = "stopped"  # we were asked to


class Clocks:
    """Wall and stall limits in seconds of running time: while paused, neither advances."""

    def __init__(self, now: float, *, wall_seconds: float | None, stall_seconds: float | None) -> None:
        self._wall = wall_seconds
        self._stall = stall_seconds
        self._started = now
        self._alive = now
        self._doomed: float | None = None
        self._paused_at: float | None = None

    @property
    def paused(self) -> bool:
        return self._paused_at is not None

    def alive(self, now: float) -> None:
        self._alive = now

    def doom(self, now: float, seconds: float) -> None:
        """It has failed and is about to end."""
        if self._doomed is None:
            self._doomed = now + seconds

    def pause(self, now: float) -> None:
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        if self._paused_at is not None:
            slept = now - self._paused_at
            self._started += slept
            self._doomed = None if self._doomed is None else self._doomed + slept
            # progress that was read while paused must not give more than a full stall limit from now on
            self._alive = min(self._alive + slept, now)
            self._paused_at = None

    def running_seconds(self, now: float) -> float:
        return (now if self._paused_at is None else self._paused_at) - self._started

    def deadline(self) -> float | None:
        """When `breach` may first say something; None: never, as things stand."""
        if self.paused:
            return None
        ends = [self._started + self._wall] if self._wall is not None else []
        if self._stall is not None:
            ends.append(self._alive + self._stall)
        if self._doomed is not None:
            ends.append(self._doomed)
        return min(ends, default=None)

    def breach(self, now: float) -> Ended | None:
        if self.paused:
            return None
        if self._doomed is not None and now >= self._doomed:
            return Ended.FAILED
        if self._wall is not None and now - self._started >= self._wall:
            return Ended.TIMED_OUT
        if self._stall is not None and now - self._alive >= self._stall:
            return Ended.STALLED
        return None
