"""Connections to a SQLite database, and the upgrade of its schema."""

import sqlite3
from pathlib import Path

from ffrtmp.store import migrate
from ffrtmp.store.statements import Dialect


def for_writing(path: Path) -> sqlite3.Connection:
    """The one connection that writes: every commit is synced before it counts."""
    return _connect(
        path,
        "journal_mode=WAL",
        "synchronous=FULL",
        "cache_size=-16384",
        "wal_autocheckpoint=16384",  # pages, 64 MB: a page that many commits touched is copied once
        "journal_size_limit=67108864",
    )


def for_reading(path: Path) -> sqlite3.Connection:
    return _connect(path, "query_only=1", "cache_size=-4096")


def _connect(path: Path, *pragmas: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=512)
    for pragma in ("busy_timeout=10000", "temp_store=MEMORY", *pragmas):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def upgrade(connection: sqlite3.Connection, where: str, now: int) -> None:
    """Bring the schema up to ours, or raise SchemaTooNew or NotOurs. All steps are one transaction."""
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
