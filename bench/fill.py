"""A database with many finished jobs: copies of one that really ran, made in SQL."""

import sqlite3
from pathlib import Path

#: table → what differs in a copy (everything else is as in job 1)
_COPIES = {
    "jobs": {"seq": "n.value", "id": "printf('copy-%012d', n.value)"},
    "job_docs": {"job_seq": "n.value"},
    "tasks": {"job_seq": "n.value", "id": "printf('task-%012d', n.value)"},
    "attempts": {"job_seq": "n.value", "id": "printf('attempt-%012d', n.value)"},
    "events": {"seq": "n.value + 1000000", "job_seq": "n.value"},
}


def finished(path: Path, total: int) -> None:
    """Fill up to `total` finished jobs by copying job 1, which must be there and finished. The master must not be running."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA synchronous = OFF")
        (there,) = db.execute("SELECT max(seq) FROM jobs").fetchone()
        for name, changed in _COPIES.items():
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
            values = [changed.get(column, f"t.{column}") for column in columns]
            key = "seq" if name == "jobs" else "job_seq"
            one = f"(SELECT * FROM {name} WHERE {key} = 1 LIMIT 1)"
            db.execute(
                f"WITH RECURSIVE n(value) AS (SELECT ? UNION ALL SELECT value + 1 FROM n WHERE value < ?)"
                f" INSERT INTO {name} ({', '.join(columns)}) SELECT {', '.join(values)} FROM n, {one} t",
                (there + 1, total),
            )
        (name,) = db.execute("SELECT name FROM counters WHERE name LIKE 'job|completed|%'").fetchone()
        db.execute("UPDATE counters SET value = ? WHERE name = ?", (total, name))
        db.commit()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("ANALYZE")
