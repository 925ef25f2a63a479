"""Whether writes are taken: a database that answers to who reads may have a full disk, or stand by for another."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from ffrtmp.domain import errors
from ffrtmp.store import calls

#: a refusal counts for so long, where no job is submitted meanwhile: nothing tells of its end but the next write
REMEMBERED_SECONDS = 15.0


class Writing:
    """`lasting`: causes of a refused write that the next one would meet too. A full disk always is one."""

    def __init__(self, *lasting: type[Exception], clock: Callable[[], float] = time.monotonic) -> None:
        self._lasting = lasting
        self._clock = clock
        self._refused: tuple[float, str, str] | None = None  # when, message, code

    async def watch(self, call: Any, answer: Awaitable[Any]) -> Any:
        """The answer of a call that writes."""
        try:
            value = await answer
        except errors.Unavailable as error:
            if error.code == "disk_full" or isinstance(error.__cause__, self._lasting):
                self._refused = (self._clock(), error.message, error.code)
            raise
        if isinstance(call, calls.Submit | calls.SubmitMany):  # others, such as sweeps, may have found nothing to write
            self._refused = None
        return value

    def check(self) -> None:
        """Raises Unavailable with the reason of the last refusal, while that counts."""
        if self._refused is None:
            return
        at, message, code = self._refused
        ago = self._clock() - at
        if ago > REMEMBERED_SECONDS:
            self._refused = None
            return
        raise errors.Unavailable(f"A write was refused {ago:.0f} s ago, and none was done since. {message}", code=code)
