"""The one thread that writes a SQLite database: calls that wait together are committed together.

While a batch is being written and synced, the next one gathers; with slow disks the batches grow and the throughput holds.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ffrtmp.domain import errors
from ffrtmp.store import commit
from ffrtmp.store.ops import batch as batches
from ffrtmp.store.ops.unit import Unit
from ffrtmp.store.sqlite_tx import SqliteTx, drive

MakeUnit = Callable[[SqliteTx], Unit]


class Writer:
    """`make_unit` and `committed` run in the writer's thread, around each transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        tx: SqliteTx,
        make_unit: MakeUnit,
        committed: Callable[[Unit], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._connection = connection
        self._tx = tx
        self._make_unit = make_unit
        self._committed = committed
        self._loop = loop
        self._queue: queue.SimpleQueue[commit.Pending | None] = queue.SimpleQueue()
        self._bulk: deque[commit.Pending] = deque()
        self._thread = threading.Thread(target=self._work, name="ffrtmp-store-writer", daemon=True)
        self._closed = False

    def start(self) -> None:
        self._thread.start()

    async def call(self, call: Any) -> Any:
        if self._closed:
            raise errors.Unavailable("The store is closed.")
        pending = commit.Pending(call, self._loop.create_future())
        self._queue.put(pending)
        return await pending.future

    async def stop(self) -> None:
        """Writes what was queued, then ends the thread."""
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        stopping = False
        while not stopping or self._bulk:
            batch: list[commit.Pending] = []
            with contextlib.suppress(queue.Empty):
                while len(batch) < commit.BATCH and not stopping:
                    pending = self._queue.get(block=not batch and not self._bulk)
                    if pending is None:
                        stopping = True
                    elif commit.is_bulk(pending):
                        self._bulk.append(pending)
                        if not batch:
                            break
                    else:
                        batch.append(pending)
            if batch:
                self._commit(batch)
            if self._bulk:
                self._commit([self._bulk.popleft()])

    def _commit(self, batch: Sequence[commit.Pending]) -> None:
        batch = commit.wanted(batch)
        if not batch:
            return
        answers = self._try([pending.call for pending in batch])
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody is left to hear of it
            self._loop.call_soon_threadsafe(commit.deliver, batch, answers)

    def _try(self, calls: Sequence[Any]) -> list[Any]:
        try:
            return self._transaction(calls)
        except _CommitFailed as failed:
            return [failed.error] * len(calls)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller whose call it is
            if len(calls) == 1:
                return [_told(error)]
        # One bad call must not fail the others: each in a transaction of its own.
        return [answer for call in calls for answer in self._try([call])]

    def _transaction(self, calls: Sequence[Any]) -> list[Any]:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            unit = self._make_unit(self._tx)
            answers = drive(batches.run(unit, calls))
        except BaseException:
            self._undo()
            raise
        try:
            execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise _CommitFailed(_told(error)) from error
        self._committed(unit)
        return answers

    def _undo(self) -> None:
        if self._connection.in_transaction:  # a full disk has undone it already
            self._connection.execute("ROLLBACK")


_TAKEN = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")


class _CommitFailed(Exception):
    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _told(error: Exception) -> Exception:
    """Trouble with the database as callers know it."""
    if isinstance(error, sqlite3.OperationalError):
        told = errors.Unavailable(f"The database could not be written: {error}.")
        told.__cause__ = error
        return told
    if isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorname in _TAKEN:
        conflict = errors.Conflict(f"There is one with this name already: {error}.", code="duplicate")
        conflict.__cause__ = error
        return conflict
    return error
