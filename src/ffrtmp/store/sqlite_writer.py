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
        #: batches for the thread; None ends it
        self._queue: queue.SimpleQueue[list[commit.Pending] | None] = queue.SimpleQueue()
        # The rest belongs to the loop. The thread is handed whole batches, so that it is woken once for each: waking it for every
        # call makes both threads fight for the interpreter's lock, which costs more than the inserts.
        self._waiting: deque[commit.Pending] = deque()
        self._bulk: deque[commit.Pending] = deque()
        self._bulk_next = False
        self._writing = False
        self._idle: asyncio.Future[None] | None = None
        self._thread = threading.Thread(target=self._work, name="ffrtmp-store-writer", daemon=True)
        self._closed = False

    def start(self) -> None:
        self._thread.start()

    async def call(self, call: Any) -> Any:
        if self._closed:
            raise errors.Unavailable("The store is closed.")
        pending = commit.Pending(call, self._loop.create_future())
        (self._bulk if commit.is_bulk(pending) else self._waiting).append(pending)
        if not self._writing:
            self._writing = True
            # after what else the loop has at hand: calls of one turn go together
            self._loop.call_soon(self._hand_over)
        return await pending.future

    def _hand_over(self) -> None:
        """Bulk work goes alone, in turn with the rest: neither waits for more than one batch of the other."""
        self._bulk_next = not self._bulk_next
        if self._bulk and (self._bulk_next or not self._waiting):
            self._queue.put([self._bulk.popleft()])
        elif self._waiting:
            self._queue.put(commit.take(self._waiting))
        else:
            self._writing = False
            if self._idle is not None:
                self._idle.set_result(None)

    def _written(self, batch: Sequence[commit.Pending], answers: Sequence[Any]) -> None:
        self._hand_over()  # first, so that the thread works on while the answers go out
        commit.deliver(batch, answers)

    async def stop(self) -> None:
        """Writes what was queued, then ends the thread."""
        self._closed = True
        if self._writing:
            self._idle = self._loop.create_future()
            await self._idle
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while (batch := self._queue.get()) is not None:
            self._commit(batch)

    def _commit(self, batch: Sequence[commit.Pending]) -> None:
        batch = commit.wanted(batch)
        answers = self._try([pending.call for pending in batch]) if batch else []
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody is left to hear of it
            self._loop.call_soon_threadsafe(self._written, batch, answers)

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
