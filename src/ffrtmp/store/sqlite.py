"""The store on SQLite: one file, one master, one process that writes."""

import asyncio
import contextlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from ffrtmp.domain import errors
from ffrtmp.store import sqlite_clock, sqlite_file, sqlite_guard
from ffrtmp.store.base import BaseStore
from ffrtmp.store.sqlite_tx import SqliteTx, drive
from ffrtmp.store.sqlite_writer import Writer
from ffrtmp.store.tx import Tx
from ffrtmp.store.writing import Writing

P = ParamSpec("P")
T = TypeVar("T")
_OLDEST_SQLITE = (3, 37)  # STRICT tables
_READERS = 2
#: how long a killed master's last transaction may go on
_LAST_TRANSACTION_SECONDS = 10.0
#: a process that writes and has not answered for so long does not count as there
_SILENT_SECONDS = 4.0


class SqliteStore(BaseStore):
    """`clock` stands for the database's clock."""

    make_writer = Writer

    def __init__(
        self,
        path: Path | str,
        *,
        clock: Callable[[], sqlite_clock.Reading] = sqlite_clock.read,
        rng: random.Random | None = None,
    ) -> None:
        self.path = Path(path)
        self._now = sqlite_clock.Clock(clock)  #: of all writers and readers
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self._writing = Writing()
        self._lock: int | None = None
        self._writer: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._reading = threading.local()
        self._read_connections: list[sqlite3.Connection] = []

    def describe(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}, {self.path}"

    @property
    def writer_pid(self) -> int | None:
        """The process that writes, while the store is open."""
        return None if self._writer is None else self._writer.pid

    async def open(self) -> None:
        """Raises StoreLocked, NetworkFileSystem, SchemaTooNew, NotOurs, or Unavailable with what the file system said."""
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise errors.Misconfigured(f"ffrtmp needs SQLite 3.37 or newer; this Python has {sqlite3.sqlite_version}.")
        try:
            await self._claim()
            assert self._lock is not None
            writer = self.make_writer(self.path, self._lock, now_us=self._now, rng=self._rng)
            await writer.start()
            self._now.not_before(self._latest())
        except BaseException as error:
            self._release()
            if isinstance(error, OSError):
                raise errors.Unavailable(f"The database {self.path} cannot be opened: {error}.") from error
            raise
        self._writer = writer
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="ffrtmp-store-reader")

    def _latest(self) -> int:
        """The time, µs, of the last thing that the database has: what is due soon after must not wait for it to come again."""
        with contextlib.closing(sqlite_file.for_reading(self.path)) as connection:
            tx = SqliteTx(connection, self._now)
            (latest,) = drive(cast(Coroutine[Any, Any, tuple[int]], tx.one("time_latest")))
        return latest

    async def check(self) -> None:
        await super().check()
        silent = 0.0 if self._writer is None else self._writer.silent_seconds()
        if silent > _SILENT_SECONDS:
            raise errors.Unavailable(f"The process that writes the database has not answered for {silent:.0f} s.")

    async def check_writing(self) -> None:
        self._writing.check()
        await self.check()

    async def _claim(self) -> None:
        """A master that was killed leaves a process that ends its last transaction and has the lock until then."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        sqlite_guard.refuse_network(self.path)
        until = time.monotonic() + _LAST_TRANSACTION_SECONDS
        while self._lock is None:
            try:
                self._lock = sqlite_guard.lock(self.path)
            except sqlite_guard.StoreLocked as locked:
                if not locked.leaving or time.monotonic() > until:
                    raise
                await asyncio.sleep(0.02)
        # for its owner only: it holds what users submitted; the files beside it get the same mode
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    async def close(self) -> None:
        """Readers first: the writing connection is the one that checkpoints, so it is the last to close."""
        readers, self._readers = self._readers, None
        try:
            if self._writer is not None:
                await self._writer.drain()
            if readers is not None:
                await asyncio.to_thread(readers.shutdown)
            for connection in self._read_connections:
                connection.close()
            self._read_connections.clear()
            self._reading = threading.local()
            if self._writer is not None:
                await self._writer.stop()
        finally:
            if self._writer is not None:
                self._writer.abandon()  # nothing is left of one that stopped
            self._writer = None
            self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _write(self, call: Any) -> Any:
        if self._writer is None:
            raise errors.Unavailable("The store is not open.")
        return await self._writing.watch(call, self._writer.call(call))

    async def _read(self, function: Callable[Concatenate[Tx, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._readers is None:
            raise errors.Unavailable("The store is not open.")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: self._view(function, *args, **kwargs))

    def _view(self, function: Callable[Concatenate[Tx, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        connection = self._read_connection()
        connection.execute("BEGIN")
        try:
            tx = SqliteTx(connection, self._now)
            return drive(cast(Coroutine[Any, Any, T], function(tx, *args, **kwargs)))
        except sqlite3.OperationalError as error:
            raise errors.Unavailable(f"The database could not be read: {error}.") from error
        finally:
            connection.execute("ROLLBACK")

    def _read_connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._reading, "connection", None)
        if connection is None:
            connection = self._reading.connection = sqlite_file.for_reading(self.path)
            self._read_connections.append(connection)
        return connection
