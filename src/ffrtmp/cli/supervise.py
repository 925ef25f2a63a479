"""Starting ffrtmp's programs as child processes, and stopping them in order, whatever happens. For `up` and `make demo`."""

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import msgspec

from ffrtmp.domain import errors

#: from SIGTERM to SIGKILL: longer than the programs' own grace
_GRACE_SECONDS = 20.0


class Stopped(click.Abort):
    """The user ended it while it was starting."""


@dataclasses.dataclass(frozen=True)
class Folder:
    """A directory for the programs. `held`: a descriptor that each of them keeps open, so that the directory outlives none."""

    path: Path
    held: int | None = None


@contextlib.contextmanager
def temporary_folder(prefix: str, *, parent: Path | None = None) -> Iterator[Folder]:
    """Removed when we and the last program that has `held` are gone, even by kill -9: a shell waits for the pipe's other end.

    While we live, systemd-tmpfiles leaves it alone: it is locked."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    locked = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(locked, fcntl.LOCK_SH)
    ours, held = os.pipe()
    remover = subprocess.Popen(
        ["/bin/sh", "-c", 'cat >/dev/null; exec rm -rf -- "$1"', "sh", str(path)], stdin=ours, start_new_session=True
    )
    os.close(ours)
    try:
        yield Folder(path, held)
    finally:
        os.close(held)
        os.close(locked)
        try:
            remover.wait(_GRACE_SECONDS)
        finally:
            shutil.rmtree(path, ignore_errors=True)


class Programs:
    """Started one after another, stopped in the reverse order. `folder` is for their ready files. `stop`: set when the user
    wants to end. `logs`: a directory for what they say; None: the terminal."""

    def __init__(
        self, environment: dict[str, str], folder: Folder, stop: asyncio.Event, *, logs: Path | None = None
    ) -> None:
        self._logs = logs
        self._environment = environment
        self._folder = folder.path
        self._held = () if folder.held is None else (folder.held,)
        self._stop = stop
        self._running: list[tuple[str, asyncio.subprocess.Process]] = []

    async def __aenter__(self) -> "Programs":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, process in reversed(self._running):
            await _end(process)

    async def start(self, name: str, arguments: list[str], *, label: str = "") -> dict[str, Any]:
        """Returns the addresses it tells once it answers. Raises Unavailable when it ends before, Stopped when the user ends it."""
        label = label or name
        ready = self._folder / f"{label}.ready"
        ready.unlink(missing_ok=True)
        stderr = (self._logs / f"{label}.log").open("wb") if self._logs else None
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
            stderr=stderr,
            # the terminal's Ctrl-C is ours: we stop them in order
            start_new_session=True,
            pass_fds=self._held,
        )
        if stderr:
            stderr.close()  # the child has it
        self._running.append((label, process))
        # of the others too: an agent waits for ever for a master that is gone
        ended = {asyncio.create_task(one.wait()): its for its, one in self._running}
        stopped = asyncio.create_task(self._stop.wait())
        try:
            while not ready.exists():
                await asyncio.wait({*ended, stopped}, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                if stopped.done():
                    raise Stopped
                for task, its in ended.items():
                    if task.done():
                        what = "did not start" if its == label else f"ended while the {label} was starting"
                        raise errors.Unavailable(f"The {its} {what}. {self.said(its)}")
        finally:
            for task in (*ended, stopped):
                task.cancel()
        found: dict[str, Any] = msgspec.json.decode(ready.read_bytes())
        ready.unlink()
        return found

    def said(self, label: str) -> str:
        """The last lines of a program, or where they are."""
        if self._logs is None:
            return "What it said is above."
        lines = (self._logs / f"{label}.log").read_text(errors="replace").splitlines()
        return "It said: " + "\n".join(lines[-10:])

    async def until_one_ends(self) -> str | None:
        """The name of the program that ended by itself; None when the user stopped."""
        waits = {asyncio.create_task(process.wait()): name for name, process in self._running}
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({*waits, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return None if stopped.done() else next(name for task, name in waits.items() if task.done())
        finally:
            for task in (*waits, stopped):
                task.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _GRACE_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
