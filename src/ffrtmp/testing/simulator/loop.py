"""An event loop whose time goes on only when there is nothing to do: a day passes in seconds, and the same way each time.

A loop of its own, not asyncio's with another clock: there are no sockets, threads or signals to look at, and half of a run's time
went into looking at them.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Everything waits and no timer is set: nothing could ever happen again."""


class _Timer:
    """What call_soon and call_at return; `asyncio.Handle` does more than is needed here."""

    __slots__ = ("_when", "args", "callback", "canceled", "context")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None, when: float = 0.0
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = copy_context() if context is None else context
        self._when = when
        self.canceled = False

    def cancel(self) -> None:
        self.canceled = True

    def cancelled(self) -> bool:
        return self.canceled

    def when(self) -> float:
        return self._when


class Loop(asyncio.AbstractEventLoop):
    """What tasks, futures, timeouts and synchronization need of a loop, and no input or output."""

    def __init__(self) -> None:
        self._now = 0.0
        self._ready: deque[_Timer] = deque()
        self._later: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()  #: what is due at the same moment runs in the order in which it was asked for
        self._running = False
        self._closed = False
        self._failed: BaseException | None = None

    def time(self) -> float:
        return self._now

    # asyncio takes what these return for handles, and only cancels them

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Timer:
        timer = _Timer(callback, args, context)
        self._ready.append(timer)
        return timer

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # an interrupt of the keyboard comes by it

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Timer:
        timer = _Timer(callback, args, context, when)
        heapq.heappush(self._later, (when, next(self._order), timer))
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Timer:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> Any:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def run_until_complete(self, future: Any) -> Any:
        done = asyncio.ensure_future(future, loop=self)
        asyncio._set_running_loop(self)
        self._running = True
        try:
            while not done.done():
                self._step()
        finally:
            self._running = False
            asyncio._set_running_loop(None)
        return done.result()

    def _step(self) -> None:
        ready, later = self._ready, self._later
        if not ready:
            while later and later[0][2].canceled:
                heapq.heappop(later)
            if not later:
                raise Stuck
            self._now = max(self._now, later[0][0])
        while later and later[0][0] <= self._now:
            timer = heapq.heappop(later)[2]
            if not timer.canceled:
                ready.append(timer)
        for _ in range(len(ready)):
            timer = ready.popleft()
            if not timer.canceled:
                timer.context.run(timer.callback, *timer.args)
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """An exception that nobody awaited ends the run: it would be a fault that nobody sees."""
        self._failed = context.get("exception") or RuntimeError(context["message"])

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._ready.clear()
        self._later.clear()

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """asyncio.Runner asks for it."""

    async def shutdown_asyncgens(self) -> None:
        """None outlives its task here."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Like asyncio.run, on such a loop."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main())
