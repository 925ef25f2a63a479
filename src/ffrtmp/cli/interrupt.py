"""Ctrl-C while jobs run: detach, cancel, or go on. Nobody to ask: the first says so, the second cancels."""

import asyncio
import contextlib
import enum
import os
import signal
import sys
from collections.abc import Callable, Iterator


class Choice(enum.Enum):
    DETACH = enum.auto()
    CANCEL = enum.auto()
    STAY = enum.auto()


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

    async def decide(self, suspend: Callable[[], contextlib.AbstractContextManager[None]]) -> Choice:
        """Returns when the user has pressed Ctrl-C and said to detach or to cancel."""
        await self._pressed.get()
        if not self._ask:
            self._say("Interrupted. The jobs go on; interrupt again to cancel them.")
            await self._pressed.get()
            return Choice.CANCEL
        while True:
            with suspend():
                choice = await self._question()
            if choice is not Choice.STAY:
                return choice
            await self._pressed.get()

    async def _question(self) -> Choice:
        while True:
            sys.stderr.write("\nThe jobs still run: [d]etach and let them, [c]ancel, or [k]eep watching? ")
            sys.stderr.flush()
            answer = await self._line_or_interrupt()
            if answer is None or answer[:1] in ("c", "q"):
                return Choice.CANCEL
            if answer[:1] == "d":
                return Choice.DETACH
            if answer[:1] in ("k", "w", ""):
                return Choice.STAY

    async def _line_or_interrupt(self) -> str | None:
        """A line from the terminal; None for another Ctrl-C, or the end of input."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        descriptor = sys.stdin.fileno()
        loop.add_reader(descriptor, ready.set)
        waits = [asyncio.create_task(ready.wait()), asyncio.create_task(self._pressed.get())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not ready.is_set():
                return None
            line = os.read(descriptor, 1024).decode(errors="replace")
            return line.strip().lower() if line else None
        finally:
            loop.remove_reader(descriptor)
            for wait in waits:
                wait.cancel()
