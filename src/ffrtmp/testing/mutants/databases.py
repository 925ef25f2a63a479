"""Faults of what a database is asked for: to sync before it answers, to hold what is being changed, to show what is committed."""

import sqlite3
from pathlib import Path
from typing import Any

from ffrtmp.store import sqlite_file
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.statements import Dialect
from ffrtmp.testing.mutants.patches import Mutant, Tested, replace, sql


def _unsynced_sqlite(was: Any) -> Any:
    def for_writing(path: Path) -> sqlite3.Connection:
        connection: sqlite3.Connection = was(path)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    return for_writing


def _unsynced_postgres(was: Any) -> Any:
    async def connect(self: PostgresStore) -> Any:
        connection = await was(self)
        await connection.execute("SET synchronous_commit = off")
        return connection

    return connect


MUTANTS = {
    "sqlite-unsynced": Mutant(
        "SQLite answers before the disk has a commit",
        Tested("tests/store/test_crashes.py::test_power_cuts_lose_nothing_that_was_acknowledged"),
        replace(sqlite_file, "for_writing", _unsynced_sqlite),
    ),
    "postgres-unsynced": Mutant(
        "PostgreSQL answers before the disk has a commit",
        Tested("tests/store/test_crashes.py::test_crashes_of_postgresql_lose_nothing_that_was_acknowledged"),
        replace(PostgresStore, "_connect", _unsynced_postgres),
    ),
    "job-not-held": Mutant(
        "a job is changed without a lock on its row",
        Tested("tests/store/test_interleavings.py::test_two_masters_are_as_one_after_the_other[complete]"),
        sql("jobs_by_seq", " FOR UPDATE", "", [Dialect.POSTGRES]),
    ),
    "tail-passes-open-transactions": Mutant(
        "who follows the history is shown an event while an older transaction is open, and misses that one's",
        Tested("tests/store/test_postgres.py::test_a_tail_of_the_history_skips_nothing"),
        sql("events_after", r" AND e\.xid < pg_snapshot_xmin\(pg_current_snapshot\(\)\)", "", [Dialect.POSTGRES]),
    ),
}
