"""Ctrl-C while jobs run: detach, cancel, or go on. Nobody to ask: the first says so, the second cancels."""

import asyncio
import contextlib
import enum
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Protocol


class Choice(enum.Enum):
    DETACH = enum.auto()
    CANCEL = enum.auto()
    STAY = enum.auto()


#: what may be typed; None is Ctrl-C
_ANSWERS: dict[Choice, tuple[str | None, ...]] = {
    Choice.DETACH: ("d", "detach"),
    Choice.CANCEL: ("c", "cancel", None),
    Choice.STAY: ("k", "keep", ""),
}
_QUESTION = "The jobs go on: [d]etach, [c]ancel (Ctrl-C again), [k]eep watching (Enter)? "


class Screen(Protocol):
    """What is drawn while nothing is asked."""

    def suspend(self) -> None: ...

    def resume(self) -> None: ...


class Interrupts:
    """Collects SIGINT while it is installed. `ask`: there is a person at a terminal."""

    def __init__(self, say: Callable[[str], None], *, ask: bool) -> None:
        self._say = say
        self._ask = ask
        self._pressed: asyncio.Queue[None] = asyncio.Queue()

    @contextlib.contextmanager
    def installed(self) -> Iterator["Interrupts"]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._pressed.put_nowait, None)
        try:
            yield self
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    async def decide(self, screen: "Screen") -> Choice:
        """Returns when the user has pressed Ctrl-C and said to detach or to cancel. Canceled while the question is open, it
        leaves the screen at the start of a line, and suspended."""
        await self._pressed.get()
        if not self._ask:
            self._say("Interrupted. The jobs go on; interrupt again to cancel them.")
            await self._pressed.get()
            return Choice.CANCEL
        while True:
            screen.suspend()
            choice = await self._question()
            if choice is not Choice.STAY:
                return choice
            screen.resume()
            await self._pressed.get()

    async def _question(self) -> Choice:
        while True:
            sys.stderr.write(_QUESTION)
            sys.stderr.flush()
            answer = await self._line_or_interrupt()
            for choice, names in _ANSWERS.items():
                if answer in names:
                    return choice
            self._say(f"{answer!r} is no answer here; type d, c or k.")

    async def _line_or_interrupt(self) -> str | None:
        """A line from the terminal; None for another Ctrl-C, `detach` for the end of input."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        descriptor = sys.stdin.fileno()
        loop.add_reader(descriptor, ready.set)
        waits = [asyncio.create_task(ready.wait()), asyncio.create_task(self._pressed.get())]
        ended = False  # the terminal has begun a new line, as it does when Enter is typed
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not ready.is_set():
                return None
            line = os.read(descriptor, 1024).decode(errors="replace")
            ended = line.endswith("\n")
            return line.strip().lower() if line else "detach"
        finally:
            loop.remove_reader(descriptor)
            for wait in waits:
                wait.cancel()
            if not ended:
                sys.stderr.write("\n")
                sys.stderr.flush()
