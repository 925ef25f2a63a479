"""Real masters and agents as child processes: started, waited for by what they log, killed by their process id."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_PR_SET_PDEATHSIG = 1  # prctl(2)

#: generous: these machines are shared; nothing waits this long unless something is broken
PATIENCE_SECONDS = 60.0


class Program:
    """A running program of ours whose log (JSON lines on stderr) can be waited on."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.lines: list[str] = []
        self.logged: list[dict[str, Any]] = []
        self._grew = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, name: str, *arguments: str, env: dict[str, str], cwd: Path, launcher: Sequence[str] = ()
    ) -> "Program":
        """`launcher`: what runs it instead of `ffrtmp`."""
        process = await asyncio.create_subprocess_exec(
            *(launcher or (str(Path(sys.executable).parent / "ffrtmp"),)),
            *arguments,
            env={**os.environ, **env},
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(name, process)

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            line = raw.decode(errors="replace").rstrip()
            async with self._grew:
                self.lines.append(line)
                with contextlib.suppress(json.JSONDecodeError):
                    found = json.loads(line)
                    if isinstance(found, dict):
                        self.logged.append(found)
                self._grew.notify_all()
        async with self._grew:
            self._grew.notify_all()

    async def event(self, name: str, **fields: object) -> dict[str, Any]:
        """The first log line with this event and these fields, now or when it comes."""
        start = 0
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._grew:
                while True:
                    for found in self.logged[start:]:
                        if found.get("event") == name and fields.items() <= found.items():
                            return found
                    start = len(self.logged)
                    if self._reader.done():
                        raise AssertionError(f"{self.name} ended without logging {name!r}:\n" + "\n".join(self.lines))
                    await self._grew.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} never logged {name!r}:\n" + "\n".join(self.lines)) from None

    @property
    def pid(self) -> int:
        return self.process.pid

    async def count(self, name: str, times: int) -> None:
        """Return when it has logged this event so often."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._grew:
            await self._grew.wait_for(lambda: sum(line.get("event") == name for line in self.logged) >= times)

    async def kill(self) -> None:
        """kill -9."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        await self._end()

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return await self._end()

    async def _end(self) -> int:
        async with asyncio.timeout(PATIENCE_SECONDS):
            code = await self.process.wait()
            await self._reader
        return code


class Farm:
    """Masters and their agents in one temporary directory. `dsn`: a PostgreSQL database, which several masters may share;
    without it one master has an SQLite file."""

    def __init__(self, root: Path, *, dsn: str = "") -> None:
        self.root = root
        self.dsn = dsn
        self.media = root / "media"
        self.media.mkdir(exist_ok=True)
        self.url = ""
        self.urls: dict[str, str] = {}  #: by the name of the master
        self.metrics_url = ""
        self.programs: list[Program] = []
        self._env = {"FFRTMP_STATE_DIR": str(root / "state"), "COLUMNS": "200"}

    async def master(self, *more: str, db: Path | None = None, name: str = "master") -> Program:
        """Starts again on the same database and port when one of this name ran before."""
        port = self.urls[name].rsplit(":", 1)[1] if name in self.urls else "0"
        database = ("--db-dsn", self.dsn) if self.dsn else ("--db", str(db or self.root / "master.db"))
        started = await self._start(
            name,
            *("master", "--host", "127.0.0.1", "--port", port, "--metrics-port", "0", "--no-tls", "--no-auth"),
            *(*database, "--log-format", "json"),
            *more,
        )
        ready = await started.event("the master is ready")
        self.url, self.metrics_url = ready["url"], ready["metrics"]
        self.urls[name] = self.url
        return started

    async def agent(
        self, name: str, master: Program, *more: str, slots: int = 1, masters: Sequence[str] = ()
    ) -> Program:
        """Registered when this returns. `masters`: URLs that it may choose from; none: that of the master started last."""
        seen = sum(1 for found in master.logged if found.get("node") == name)
        started = await self._start(
            name,
            *(
                "agent",
                "--register",
                "--master",
                ",".join(masters or (self.url,)),
                "--name",
                name,
                "--max-concurrent-jobs",
                str(slots),
            ),
            *("--metrics-port", "0", "--work-dir", str(self.root / f"work-{name}"), "--media-root", str(self.media)),
            *("--log-format", "json"),
            *more,
        )
        if masters:
            await started.event("registered", node=name)
        else:
            await master.event("a node returned" if seen else "a node registered", node=name)
        return started

    async def _start(self, name: str, *arguments: str) -> Program:
        started = await Program.start(name, *arguments, env=self._env, cwd=self.root)
        self.programs.append(started)
        return started

    async def close(self) -> None:
        for program in reversed(self.programs):
            if program.process.returncode is None:
                await program.stop()


@contextlib.asynccontextmanager
async def farm(root: Path, *, dsn: str = "") -> AsyncIterator[Farm]:
    """A farm whose programs are stopped at the end, whatever happened."""
    made = Farm(root, dsn=dsn)
    try:
        yield made
    finally:
        await made.close()


async def until_sigterm(program: Coroutine[Any, Any, T]) -> T:
    """SIGTERM cancels it, as asyncio does at Ctrl-C: what it started is ended on the way out."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await program


def end_with_parent(number: int) -> None:
    """In a child between fork and exec: it gets this signal when the thread that started it ends, however that is."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def descendants(pid: int) -> set[int]:
    """The ids of all living child processes of a process, by /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    parents[int(entry.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


async def gone(pids: set[int]) -> None:
    """Returns when none of these processes runs any more (a zombie does not run)."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                ended = asyncio.Event()
                asyncio.get_running_loop().add_reader(descriptor, ended.set)
                try:
                    await ended.wait()
                finally:
                    asyncio.get_running_loop().remove_reader(descriptor)
                    os.close(descriptor)
