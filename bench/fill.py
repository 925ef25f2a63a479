"""A database with many finished jobs: copies of one that really ran, made in SQL."""

import sqlite3
from pathlib import Path

import asyncpg

#: table → what differs in a copy (everything else is as in job 1). Events keep clear of the numbers that are there.
_COPIES = {
    "jobs": {"seq": "n.value", "id": "{id}"},
    "job_docs": {"job_seq": "n.value"},
    "tasks": {"job_seq": "n.value", "id": "{id}"},
    "attempts": {"job_seq": "n.value", "id": "{id}"},
    "events": {"seq": "n.value + 1000000", "job_seq": "n.value"},
}


def _insert(table: str, columns: list[str], *, series: str, new_id: str, overriding: str = "") -> str:
    values = [_COPIES[table].get(column, f"t.{column}").format(id=new_id) for column in columns]
    key = "seq" if table == "jobs" else "job_seq"
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) {overriding} SELECT {', '.join(values)}"
        f" FROM {series}, (SELECT * FROM {table} WHERE {key} = 1 LIMIT 1) t"
    )


def finished(path: Path, total: int) -> None:
    """Fill up to `total` finished jobs by copying job 1, which must be there and finished. The master must not be running."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA synchronous = OFF")
        (there,) = db.execute("SELECT max(seq) FROM jobs").fetchone()
        counting = f"SELECT {there + 1} UNION ALL SELECT value + 1 FROM n WHERE value < {total}"
        for table in _COPIES:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            series = f"(WITH RECURSIVE n(value) AS ({counting}) SELECT value FROM n) n"
            db.execute(_insert(table, columns, series=series, new_id="printf('copy-%012d', n.value)"))
        db.execute("UPDATE counters SET value = ? WHERE name LIKE 'job|completed|%'", (total,))
        db.commit()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("ANALYZE")


async def finished_postgres(address: str, total: int) -> None:
    """The same on PostgreSQL."""
    db = await asyncpg.connect(address)
    there = await db.fetchval("SELECT max(seq) FROM jobs")
    for table in _COPIES:
        found = await db.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1"
            " AND column_name <> 'xid'",
            table,
        )
        series = f"generate_series({there + 1}, {total}) AS n(value)"
        new_id = "'copy-' || lpad(n.value::text, 12, '0')"
        columns = [row[0] for row in found]
        await db.execute(_insert(table, columns, series=series, new_id=new_id, overriding="OVERRIDING SYSTEM VALUE"))
    # one row a shard: all but one give theirs up
    await db.execute("UPDATE counters SET value = 0 WHERE name LIKE 'job|completed|%'")
    await db.execute(
        "UPDATE counters SET value = $1 WHERE (name, shard) ="
        " (SELECT name, min(shard) FROM counters WHERE name LIKE 'job|completed|%' GROUP BY name LIMIT 1)",
        total,
    )
    await db.execute("VACUUM ANALYZE")
    await db.execute("CHECKPOINT")
    await db.close()
