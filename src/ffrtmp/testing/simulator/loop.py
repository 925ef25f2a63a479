"""An event loop whose time goes on only when there is nothing to do: a day passes in seconds, and the same way each time."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Everything waits and no timer is set: nothing could ever happen again."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting, it says how long it would have waited."""

    def __init__(self, passed: Callable[[float], None]) -> None:
        super().__init__()
        self._passed = passed

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck
        if timeout > 0:
            self._passed(timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Selector(self._pass))

    def _pass(self, seconds: float) -> None:
        self._now += seconds

    def time(self) -> float:
        return self._now


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Like asyncio.run, on such a loop."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main())
