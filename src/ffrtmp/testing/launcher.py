"""Runs `ffrtmp` with things put on from outside, for tests: the product has no switch for them.

    python -m ffrtmp.testing.launcher master …

`FFRTMP_TEST_POINTS=DIR`: the program waits at the point that is armed there (`kills.points`) until it is told to go on, or killed.
`FFRTMP_TEST_ORPHAN_SECONDS=N`: uploads that no job came for are removed after N seconds instead of a day.
`FFRTMP_TEST_MUTANT=NAME`: with a deliberate fault of `testing.mutants`.
"""

import contextlib
import functools
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ffrtmp.store.ops import batch as batches
from ffrtmp.testing import mutants

#: how a process says that it is there, and the file that names the point
SOCKET, ARMED = "socket", "armed"
#: of the process that writes a SQLite database: the first argument
SQLITE_WRITER = "sqlite_process"
#: how a store in this process is to start that process, so that what is put on is put on there too
WRITER_COMMAND = (sys.executable, "-P", "-m", "ffrtmp.testing.launcher", SQLITE_WRITER)


class Point(msgspec.Struct, frozen=True):
    """In a transaction with a call of this kind: at its `begin`, `before_commit` or `after_commit`."""

    kind: str
    stage: str


class Reached(msgspec.Struct, frozen=True):
    pid: int
    node_id: str


class Points:
    """In the process that is to stop. A point that is reached stands still until the other side says so: nothing else runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def reach(self, stage: str, calls: Sequence[Any], answers: Sequence[Any] | None = None) -> None:
        try:
            armed = msgspec.json.decode((self._folder / ARMED).read_bytes(), type=Point)
        except FileNotFoundError:
            return
        found = [
            call
            for number, call in enumerate(calls)
            if type(call).__name__ == armed.kind and _counts(call, None if answers is None else answers[number])
        ]
        if armed.stage != stage or not found:
            return
        try:
            os.rename(self._folder / ARMED, self._folder / f"{ARMED}.{os.getpid()}")
        except FileNotFoundError:
            return  # another process was first
        node_id: str = getattr(getattr(found[0], "call", found[0]), "node_id", "")
        with socket.socket(socket.AF_UNIX) as told:
            told.connect(str(self._folder / SOCKET))
            told.sendall(msgspec.json.encode(Reached(os.getpid(), node_id)) + b"\n")
            with contextlib.suppress(ConnectionError):
                told.recv(1)


def _counts(call: Any, answer: Any) -> bool:
    """Whether the call is the change that is meant: most leases and sweeps find nothing, and most beats only renew."""
    match type(call).__name__:
        case "Beat":
            return any(attempt.started for attempt in call.call.attempts)
        case "Lease" | "Reject":
            return answer is None or bool(answer)
        case "Rescue":
            return answer is None or bool(answer.attempts)
        case "Promote":
            return answer is None or answer.count > 0
        case "Expire":
            return answer is None or answer.jobs > 0
    return True


async def _finds_something(unit: Any, call: Any) -> bool:
    """Before a sweep has run: whether it is the one that is meant."""
    due = {"Rescue": "leases_expired", "Promote": "delayed_due"}.get(type(call).__name__)
    return due is None or bool(await unit.tx.all(due, now=unit.now, count=1))


def _at_each_stage(points: Points) -> None:
    """Around the transactions of both databases."""
    from ffrtmp.store import postgres_writer, sqlite_process

    run = batches.run

    @functools.wraps(run)
    async def stopping_run(unit: Any, batch: Sequence[Any]) -> list[Any]:
        points.reach("begin", [call for call in batch if await _finds_something(unit, call)])
        answers = await run(unit, batch)
        points.reach("before_commit", batch, answers)
        return answers

    def of_sqlite(self: Any, calls: Sequence[Any]) -> list[Any]:
        answers: list[Any] = sqlite_transaction(self, calls)
        points.reach("after_commit", calls, answers)
        return answers

    async def of_postgres(self: Any, calls: Sequence[Any]) -> list[Any]:
        answers: list[Any] = await postgres_transaction(self, calls)
        points.reach("after_commit", calls, answers)
        return answers

    sqlite_transaction = sqlite_process.Transactions._transaction
    postgres_transaction = postgres_writer._Lane._transaction
    replaced: Sequence[tuple[Any, str, Any]] = (
        (batches, "run", stopping_run),
        (sqlite_process.Transactions, "_transaction", of_sqlite),
        (postgres_writer._Lane, "_transaction", of_postgres),
    )
    for owner, name, value in replaced:
        setattr(owner, name, value)


def main() -> int:
    if mutant := os.environ.get(mutants.VARIABLE):
        from ffrtmp.testing.mutants import catalog

        catalog.MUTANTS[mutant].apply(contextlib.ExitStack())
    if folder := os.environ.get("FFRTMP_TEST_POINTS"):
        _at_each_stage(Points(Path(folder)))
    if sys.argv[1] == SQLITE_WRITER:
        from ffrtmp.store import sqlite_process

        del sys.argv[1]
        sqlite_process.main()
        return 0
    from ffrtmp.cli import main as cli
    from ffrtmp.master.loops import sweeps
    from ffrtmp.store.sqlite_writer import Writer

    Writer.command = WRITER_COMMAND
    if seconds := os.environ.get("FFRTMP_TEST_ORPHAN_SECONDS"):
        vars(sweeps)["_ORPHAN_SECONDS"] = float(seconds)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
