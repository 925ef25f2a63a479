"""The store on SQLite: one file, one master, one writing thread."""

import asyncio
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
from ffrtmp.store import migrate, sqlite_guard
from ffrtmp.store.base import BaseStore
from ffrtmp.store.ops.unit import Unit
from ffrtmp.store.sqlite_tx import SqliteTx, drive
from ffrtmp.store.sqlite_writer import Writer
from ffrtmp.store.statements import Dialect
from ffrtmp.store.tx import Tx

P = ParamSpec("P")
T = TypeVar("T")
_OLDEST_SQLITE = (3, 37)  # STRICT tables
_READERS = 2


def _clock_us() -> int:
    return time.time_ns() // 1000


class SqliteStore(BaseStore):
    """`clock_us` stands for the database's clock; it is never let run backwards."""

    def __init__(
        self,
        path: Path | str,
        *,
        clock_us: Callable[[], int] = _clock_us,
        rng: random.Random | None = None,
    ) -> None:
        self.path = Path(path)
        self._clock_us = clock_us
        self._latest_us = 0
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self._class_ids: dict[str, int] = {}
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._writer: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._reading = threading.local()
        self._read_connections: list[sqlite3.Connection] = []

    def describe(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}, {self.path}"

    async def open(self) -> None:
        """Raises StoreLocked, NetworkFileSystem, SchemaTooNew, NotOurs, or Unavailable with what the file system said."""
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise errors.Unavailable(f"ffrtmp needs SQLite 3.37 or newer; this Python has {sqlite3.sqlite_version}.")
        try:
            await asyncio.to_thread(self._open)
        except BaseException as error:
            self._release()
            if isinstance(error, sqlite3.Error | OSError):
                raise errors.Unavailable(f"The database {self.path} cannot be opened: {error}.") from error
            raise
        assert self._connection is not None
        tx = SqliteTx(self._connection, self._now)
        self._writer = Writer(self._connection, tx, self._unit, self._committed, asyncio.get_running_loop())
        self._writer.start()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="ffrtmp-store-reader")

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        sqlite_guard.refuse_network(self.path)
        self._lock = sqlite_guard.lock(self.path)
        # for its owner only: it holds what users submitted; the files beside it get the same mode
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._connection = self._connect()
        upgrade(self._connection, str(self.path), self._now())

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=512
        )
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=10000",
            "temp_store=MEMORY",
            "cache_size=-16384",
            "wal_autocheckpoint=16384",  # pages, 64 MB: a page that many commits touched is copied once
            "journal_size_limit=67108864",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    async def close(self) -> None:
        if self._writer is not None:
            await self._writer.stop()
            self._writer = None
        if self._readers is not None:
            await asyncio.to_thread(self._readers.shutdown)
            self._readers = None
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        """Readers first: the writing connection is the one that checkpoints, so it is the last to close."""
        for connection in self._read_connections:
            connection.close()
        self._read_connections.clear()
        self._reading = threading.local()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _now(self) -> int:
        self._latest_us = max(self._latest_us, self._clock_us())
        return self._latest_us

    def _unit(self, tx: SqliteTx) -> Unit:
        return Unit(tx, self._now(), self._rng, 0, self._class_ids)

    def _committed(self, unit: Unit) -> None:
        self._class_ids.update(unit.new_class_ids)

    async def _write(self, call: Any) -> Any:
        if self._writer is None:
            raise errors.Unavailable("The store is not open.")
        return await self._writer.call(call)

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
            connection = sqlite3.connect(
                self.path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            for pragma in ("query_only=1", "busy_timeout=10000", "temp_store=MEMORY", "cache_size=-4096"):
                connection.execute(f"PRAGMA {pragma}")
            self._reading.connection = connection
            self._read_connections.append(connection)
        return connection


def upgrade(connection: sqlite3.Connection, where: str, now: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        present = None
        if "schema_version" in tables:
            present = connection.execute("SELECT coalesce(max(number), 0) FROM schema_version").fetchone()[0]
        steps = migrate.pending(Dialect.SQLITE, where, present, empty=not tables)
        connection.execute(migrate.VERSION_TABLE)
        for step in steps:
            for statement in _statements_of(step.script):
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version VALUES (?, ?, ?)", (step.number, step.name, now))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _statements_of(script: str) -> list[str]:
    """A script's statements. (`executescript` would commit in between.)"""
    found: list[str] = []
    text = ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return found
