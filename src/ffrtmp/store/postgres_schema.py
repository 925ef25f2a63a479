"""What a master does to the tables when it opens a database, in one transaction that no other master is in."""

from typing import Any

from ffrtmp.store import migrate
from ffrtmp.store.statements import Dialect
from ffrtmp.telemetry import logs


async def upgrade(connection: Any, where: str) -> None:
    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()")
    present = None
    if await connection.fetchval("SELECT to_regclass('schema_version') IS NOT NULL"):
        present = await connection.fetchval("SELECT coalesce(max(number), 0) FROM schema_version")
    steps = migrate.pending(Dialect.POSTGRES, where, present, empty=not tables)
    await connection.execute(migrate.VERSION_TABLE)
    for step in steps:
        await connection.execute(step.script)
        await connection.execute(
            "INSERT INTO schema_version"
            " VALUES ($1, $2, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint))",
            step.number,
            step.name,
        )


async def mend_after_restore(connection: Any) -> None:
    """Events are read in the order of their transactions' numbers, up to the oldest that is open. A dump has the numbers of its own
    server; on another, which has not come so far, those events would not be seen for a long time. They become older
    than any that will come, in the order of their own numbers."""
    newest = await connection.fetchval("SELECT max(xid) >= pg_snapshot_xmax(pg_current_snapshot()) FROM events")
    if not newest:
        return
    await connection.execute("ALTER TABLE events DISABLE TRIGGER events_append_only")
    await connection.execute("UPDATE events SET xid = '0'")
    await connection.execute("ALTER TABLE events ENABLE TRIGGER events_append_only")
    logs.get("store").warning("this database was restored from another server: its history is put in order")
