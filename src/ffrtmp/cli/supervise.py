"""Starting ffrtmp's programs as child processes, and stopping them in order, whatever happens. For `up`."""

import asyncio
import contextlib
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import msgspec

from ffrtmp.domain import errors

#: from SIGTERM to SIGKILL: longer than the programs' own grace
_GRACE_SECONDS = 20.0


class Programs:
    """Started one after another, stopped in the reverse order. `stop`: set when the user wants to end."""

    def __init__(self, environment: dict[str, str], folder: Path, stop: asyncio.Event) -> None:
        self._environment = environment
        self._folder = folder
        self._stop = stop
        self._running: list[tuple[str, asyncio.subprocess.Process]] = []

    async def __aenter__(self) -> "Programs":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, process in reversed(self._running):
            await _end(process)

    async def start(self, name: str, arguments: list[str]) -> dict[str, Any]:
        """Returns the addresses it tells once it answers. Raises Unavailable when it ends before, Abort when the user stops."""
        ready = self._folder / f"{name}.ready"
        ready.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ffrtmp.cli.main",
            name,
            *arguments,
            f"--ready-file={ready}",
            "--log-level=warning",
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            # the terminal's Ctrl-C is ours: we stop them in order
            start_new_session=True,
        )
        self._running.append((name, process))
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            while not ready.exists():
                await asyncio.wait({ended, stopped}, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                if stopped.done():
                    raise click.Abort
                if ended.done():
                    raise errors.Unavailable(f"The {name} did not start; what it said is above.")
        finally:
            ended.cancel()
            stopped.cancel()
        found: dict[str, Any] = msgspec.json.decode(ready.read_bytes())
        ready.unlink()
        return found

    async def until_one_ends(self) -> str | None:
        """The name of the program that ended by itself; None when the user stopped."""
        waits = {asyncio.create_task(process.wait()): name for name, process in self._running}
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({*waits, stopped}, return_when=asyncio.FIRST_COMPLETED)
        found = None if stopped.done() else next(name for task, name in waits.items() if task.done())
        for task in (*waits, stopped):
            task.cancel()
        return found


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _GRACE_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
