"""The process that writes a SQLite database, for a master that has it open: `python -m ffrtmp.store.sqlite_process SOCKET LOCK`.

A process and not a thread: a thread shares the interpreter's lock with the master's event loop, and the two spend their time
waiting for one another (docs/decisions/0006). It ends when its socket does. The master's lock on the database is inherited, so that
after a kill of the master no other can open the database before the transaction at hand is over.

A message is eight bytes of length and a pickle: first a `Start`, answered by None or the error; then `Batch` after `Batch`, each
answered by a list with a value or an error per call, or by one error when it cannot be read; at last None.
"""

import contextlib
import io
import os
import pickle
import random
import signal
import socket
import sqlite3
import struct
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import ffrtmp
from ffrtmp.domain import errors
from ffrtmp.runtime import collector
from ffrtmp.store import sqlite_file
from ffrtmp.store.ops import batch as batches
from ffrtmp.store.ops.unit import Unit
from ffrtmp.store.sqlite_tx import SqliteTx, drive

LENGTH = struct.Struct("<Q")


class Start(msgspec.Struct, frozen=True):
    version: str  #: of the master's ffrtmp
    path: Path
    now_us: int
    rng: random.Random


class Batch(msgspec.Struct, frozen=True):
    now_us: int
    calls: Sequence[Any]


def dumps(message: Any) -> bytes:
    """A message with its length before it."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


def loads(data: bytes) -> Any:
    """What the other end of our own socket pair sent."""
    return pickle.loads(data)  # noqa: S301


class Transactions:
    """Runs batches of calls, each batch in one transaction."""

    def __init__(self, connection: sqlite3.Connection, rng: random.Random) -> None:
        self._connection = connection
        self._tx = SqliteTx(connection, lambda: self._now)
        self._now = 0
        self._rng = rng
        self._class_ids: dict[str, int] = {}

    def run(self, batch: Batch) -> list[Any]:
        """An answer per call: a value, or the error to raise."""
        self._now = batch.now_us
        return self._try(batch.calls)

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
            unit = Unit(self._tx, self._now, self._rng, 0, self._class_ids)
            answers = drive(batches.run(unit, calls))
        except BaseException:
            self._undo()
            raise
        try:
            execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise _CommitFailed(_told(error)) from error
        self._class_ids.update(unit.new_class_ids)
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
    """Trouble with the database as callers know it; of a fault of ours, what a report needs."""
    if isinstance(error, errors.FfrtmpError):
        return error
    if isinstance(error, sqlite3.OperationalError):
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            return errors.Unavailable(
                "The disk of the database is full: nothing was written. Free space in the directory of --db, then try again.",
                code="disk_full",
            )
        return errors.Unavailable(f"The database could not be written: {error}.")
    if isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorname in _TAKEN:
        return errors.Conflict(f"There is one with this name already: {error}.", code="duplicate")
    error.add_note("in the process that writes the database:\n" + "".join(traceback.format_exception(error)))
    try:
        loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an error of a library that cannot be sent as it is
        return errors.FfrtmpError(f"{type(error).__name__}: {error}", code="internal")
    return error


def serve(channel: io.BufferedRWPair) -> None:
    """Answer until the other end closes."""
    data = _read(channel)
    if data is None:
        return
    start: Start = loads(data)
    try:
        if start.version != ffrtmp.__version__:
            raise errors.Unavailable(
                f"ffrtmp {ffrtmp.__version__} was installed under a master of {start.version}: restart the master."
            )
        connection = sqlite_file.for_writing(start.path)
        sqlite_file.upgrade(connection, str(start.path), start.now_us)
    except sqlite3.Error as error:
        _send(channel, errors.Unavailable(f"The database {start.path} cannot be opened: {error}."))
        return
    except errors.FfrtmpError as error:
        _send(channel, error)
        return
    transactions = Transactions(connection, start.rng)
    collector.calm()
    _send(channel, None)
    while (data := _read(channel)) is not None:
        try:
            batch = loads(data)
        except Exception as error:  # noqa: BLE001 - a call that only the master can read
            _send(channel, _told(error))
            continue
        if batch is None:
            connection.close()
            return
        _send(channel, transactions.run(batch))
    # the master is gone, and the next one waits for our lock: at once, without the checkpoint of a close
    os._exit(0)


def _read(channel: io.BufferedRWPair) -> bytes | None:
    """The next message. None: the other end is gone."""
    head = channel.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    data = channel.read(size)
    return data if len(data) == size else None


def _send(channel: io.BufferedRWPair, message: Any) -> None:
    channel.write(dumps(message))
    channel.flush()


def main() -> None:
    # these are for the master, which tells us to end by closing the socket
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    # ConnectionError: the master is gone, and nobody waits for the answer
    with (
        contextlib.suppress(ConnectionError),
        socket.socket(fileno=int(sys.argv[1])) as own,
        own.makefile("rwb") as channel,
    ):
        serve(channel)


if __name__ == "__main__":
    main()
