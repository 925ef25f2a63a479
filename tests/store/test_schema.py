"""Migrations, the committed snapshot, and what the database itself forbids."""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ffrtmp.domain import states
from ffrtmp.domain.errors import Code
from ffrtmp.store import migrate, statements
from ffrtmp.store.interface import Store
from ffrtmp.store.statements import Dialect
from ffrtmp.testing.world import World

Sql = Callable[[str], Awaitable[list[tuple[Any, ...]]]]
SNAPSHOTS = Path(__file__).parent / "snapshots"

COLUMNS = """SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || coalesce(collation_name, '') || ' '
    || is_nullable || ' ' || coalesce(column_default, '') || ' ' || coalesce(identity_generation, '')
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY tablename, indexname"
TRIGGERS = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname"
OPTIONS = "SELECT relname || ' ' || reloptions::text FROM pg_class WHERE reloptions IS NOT NULL ORDER BY relname"
ON_SQLITE = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type, name"


async def test_the_schema_is_the_snapshot(store: Store, kind: str, sql: Sql) -> None:
    """After a new migration: FFRTMP_SNAPSHOT=write, and look at the difference."""
    queries = [ON_SQLITE] if kind == "sqlite" else [COLUMNS, INDEXES, TRIGGERS, OPTIONS]
    answers = [await sql(query) for query in queries]
    found = "".join(f"{row[0]}\n" for answer in answers for row in answer)
    snapshot = SNAPSHOTS / f"{kind}.txt"
    if os.environ.get("FFRTMP_SNAPSHOT") == "write":
        snapshot.write_text(found)
    assert found == snapshot.read_text()


async def test_a_newer_schema_is_refused(make_store: Callable[[], Store], sql: Sql) -> None:
    first = make_store()
    await first.open()
    await first.close()
    await sql("INSERT INTO schema_version VALUES (9999, 'later', 0)")
    second = make_store()
    with pytest.raises(migrate.SchemaTooNew, match="9999"):
        await second.open()
    await second.close()


async def test_a_database_of_something_else_is_refused(make_store: Callable[[], Store], sql: Sql) -> None:
    await sql("CREATE TABLE accounts (id int)")
    store = make_store()
    with pytest.raises(migrate.NotOurs):
        await store.open()
    assert await sql("SELECT count(*) FROM accounts") == [(0,)]


async def test_opening_again_keeps_everything(make_store: Callable[[], Store]) -> None:
    first = make_store()
    await first.open()
    made = await World(first).submit()
    await first.close()
    second = make_store()
    await second.open()
    assert (await second.get_job(made.id)) == made
    assert (await World(second).submit()).sequence_number == made.sequence_number + 1
    assert len(await second.classes()) == 1
    await second.close()


async def test_a_database_of_the_first_version_is_upgraded(
    make_store: Callable[[], Store], kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    first = migrate.Step(*statements.migrations(Dialect(kind))[0])
    script = f"{migrate.VERSION_TABLE};{first.script};INSERT INTO schema_version VALUES (1, 'initial', 0);"
    if kind == "sqlite":
        connection = sqlite3.connect(tmp_path / "queue.db")
        connection.executescript(script)
        connection.close()
    else:
        server = await asyncpg.connect(request.getfixturevalue("database"))
        await server.execute(script)
        await server.close()
    store = make_store()
    await store.open()
    made = await World(store).submit()
    await store.cancel(made.id)
    await store.expire(finished_before=2**60, limit=10)
    assert await store.removed_uploads(limit=1) == []
    await store.close()


@pytest.mark.parametrize(
    ("table", "terminal", "other"),
    [
        ("jobs", states.JOB_TERMINAL, "queued"),
        ("tasks", states.TASK_TERMINAL, "queued"),
        ("attempts", states.ATTEMPT_TERMINAL, "running"),
    ],
)
async def test_the_database_forbids_leaving_a_terminal_state(
    world: World, sql: Sql, table: str, terminal: frozenset[str], other: str
) -> None:
    agent = await world.agent()
    for state in sorted(terminal):
        await world.submit()
        await agent.fail((await agent.take()).attempt_id, Code.STALLED)
        await sql(f"DELETE FROM {table}")
        if table != "jobs":
            await sql("DELETE FROM jobs")
        for name in ("jobs", "tasks", "attempts", "ready", "delayed", "leases"):
            if name != table:
                await sql(f"DELETE FROM {name}")
        await world.submit()
        await agent.take()
        await sql(f"UPDATE {table} SET state = '{state}'")
        with pytest.raises(Exception, match="terminal state"):
            await sql(f"UPDATE {table} SET state = '{other}'")
        await sql(f"DELETE FROM {table}")
        for name in ("jobs", "tasks", "attempts", "leases"):
            await sql(f"DELETE FROM {name}")


async def test_events_are_append_only(world: World, sql: Sql) -> None:
    await world.submit()
    with pytest.raises(Exception, match="append-only"):
        await sql("UPDATE events SET kind = 'other'")


@pytest.mark.parametrize("dialect", list(Dialect))
def test_triggers_know_every_terminal_state(dialect: Dialect) -> None:
    [(_, _, script)] = statements.migrations(dialect)[:1]
    for terminal in (states.JOB_TERMINAL, states.TASK_TERMINAL, states.ATTEMPT_TERMINAL):
        assert "IN (" + ", ".join(f"'{state}'" for state in sorted(terminal)) + ")" in script


def test_both_databases_have_the_same_statements() -> None:
    only_there = {"job_last_number", "time_latest"}  # PostgreSQL gives the numbers and the time itself
    assert set(statements.load(Dialect.SQLITE)) == set(statements.load(Dialect.POSTGRES)) | only_there


def test_every_statement_is_used() -> None:
    source = Path(statements.__file__).parent
    code = "".join(file.read_text() for file in source.rglob("*.py"))
    made = {f"{table}_{what}" for table in ("ready", "delayed") for what in ("insert", "delete")}
    unused = {name for name in statements.load(Dialect.SQLITE) if f'"{name}"' not in code} - made
    assert unused == set()


async def test_masters_that_start_together_upgrade_once(kind: str, make_store: Callable[[], Store]) -> None:
    if kind == "sqlite":
        pytest.skip("one master at a time")
    stores = [make_store() for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    numbers = [(await World(store).submit()).sequence_number for store in stores]
    assert numbers == sorted(set(numbers))
    await asyncio.gather(*(store.close() for store in stores))
