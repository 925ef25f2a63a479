"""The time of a store on SQLite: this machine's, but where its clock is set back, time goes on at its own pace."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from ffrtmp.telemetry import logs

#: a clock that is behind by less is not worth a line
_WORTH_TELLING_US = 2_000_000


class Reading(NamedTuple):
    wall_us: int  #: since 1970
    steady_us: int  #: since any one moment; nobody sets it, and it goes on while the machine sleeps


def read() -> Reading:
    # the wall first: a process that stands still between the two then takes the wall for late, never for early
    wall = time.time_ns()
    return Reading(wall // 1000, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000)


class Clock:
    """Calling it gives the time in µs since 1970. For any thread."""

    def __init__(self, take: Callable[[], Reading] = read) -> None:
        self._take = take
        self._lock = threading.Lock()
        self._offset_us: int | None = None  #: wall - steady, the largest ever seen
        self._told_us = 0  #: behind by so much, as the log has it

    def __call__(self) -> int:
        with self._lock:
            wall, steady = self._take()
            offset = self._raise(wall - steady)
            behind = offset - (wall - steady)
            if behind > self._told_us + _WORTH_TELLING_US:
                self._told_us = behind
                logs.get("store").warning(
                    "this machine's clock was set back; the database's time goes on ahead of it",
                    ahead_seconds=round(behind / 1e6, 1),
                )
            self._told_us = min(self._told_us, behind)
            return steady + offset

    def not_before(self, us: int) -> None:
        """It was as late as this already, in an earlier process."""
        with self._lock:
            self._raise(us - self._take().steady_us)

    def _raise(self, offset_us: int) -> int:
        self._offset_us = offset_us if self._offset_us is None else max(self._offset_us, offset_us)
        return self._offset_us
