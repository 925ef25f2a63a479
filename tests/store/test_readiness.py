"""What `/ready` and `/health` ask of a store: whether the database answers, and whether it takes writes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ffrtmp.domain import errors
from ffrtmp.store import calls, postgres
from ffrtmp.store import writing as writing_module
from ffrtmp.store.interface import Store
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.writing import Writing
from ffrtmp.testing import factories, programs
from ffrtmp.testing import postgres as servers
from ffrtmp.testing.world import World

KILL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND datname = current_database()"""


async def test_a_store_that_works_is_ready(store: Store) -> None:
    await World(store).submit()
    await store.check()
    await store.check_writing()


class Answer:
    """Of a database: an error, or nothing."""

    def __init__(self, error: Exception | None = None, cause: Exception | None = None) -> None:
        self._error = error
        if error is not None:
            error.__cause__ = cause

    async def __call__(self) -> None:
        if self._error is not None:
            raise self._error


async def _refused(watched: Writing, answer: Answer) -> None:
    with pytest.raises(errors.Unavailable):
        await watched.watch(calls.Rescue(10), answer())


async def test_a_refusal_counts_until_a_job_is_taken_or_for_its_time() -> None:
    now = [100.0]
    watched = Writing(TimeoutError, clock=lambda: now[0])
    await _refused(watched, Answer(errors.Unavailable("it was killed"), ConnectionError()))  # over by the next try
    watched.check()
    for lasting in (
        Answer(errors.Unavailable("full", code="disk_full")),
        Answer(errors.Unavailable("x"), TimeoutError()),
    ):
        await _refused(watched, lasting)
        await watched.watch(calls.Rescue(10), Answer()())  # it may have found nothing to write
        with pytest.raises(errors.Unavailable, match="A write was refused 0 s ago"):
            watched.check()
        await watched.watch(calls.Submit(factories.a_job()), Answer()())
        watched.check()
    await _refused(watched, Answer(errors.Unavailable("full", code="disk_full")))
    now[0] += writing_module.REMEMBERED_SECONDS
    with pytest.raises(errors.Unavailable) as told:
        watched.check()
    assert told.value.code == "disk_full"
    now[0] += 1
    watched.check()


@pytest.mark.postgres
async def test_a_database_that_only_reads_is_not_ready(database: str) -> None:
    store = PostgresStore(database)
    await store.open()
    await store.check_writing()
    admin = await asyncpg.connect(database)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await admin.execute(KILL)
    await store.check()  # it can be read
    with pytest.raises(errors.Unavailable, match="only reads"):
        await store.check_writing()
    await admin.execute(f"BEGIN READ WRITE; ALTER DATABASE {name} SET default_transaction_read_only = off; COMMIT")
    await admin.execute(KILL)
    await store.check_writing()
    await admin.close()
    await store.close()


@pytest.fixture
async def own() -> AsyncIterator[servers.Server]:
    async with servers.server() as made:
        await made.create("frozen")
        yield made


@pytest.mark.postgres
async def test_a_frozen_database_is_told_without_waiting_for_it(
    own: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_SILENT_SECONDS", 0.0)
    store = PostgresStore(own.dsn("frozen"))
    await store.open()
    processes = [own.pid, *programs.descendants(own.pid)]
    try:
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        told = await asyncio.gather(*(store.check() for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in told} == {errors.Unavailable}
        assert "has not answered for" in str(told[0])
        readers = store._pool
        assert readers is not None
        assert readers.get_size() - readers.get_idle_size() <= 1  # they do not take what requests read through
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
    monkeypatch.setattr(postgres, "_SILENT_SECONDS", 60.0)
    await store.check()
    await store.close()
