"""Looks for ready tasks that begin where the last one found some, not at the deleted rows that an old snapshot keeps."""

import contextlib
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ffrtmp.store import statements
from ffrtmp.store.ops.floors import LOWEST, Floors
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.statements import Dialect
from ffrtmp.testing.world import NoWait, World

_HOUR_US = 3_600_000_000
_SECOND_US = 1_000_000


def test_a_look_begins_where_the_last_one_found_the_first_less_a_second() -> None:
    floors = Floors()
    assert floors.key(1, now=0) == LOWEST
    floors.looked(1, LOWEST, 50 * _SECOND_US, now=0)
    assert floors.key(1, now=10) == 49 * _SECOND_US
    assert floors.key(2, now=10) == LOWEST
    floors.looked(1, 49 * _SECOND_US, 60 * _SECOND_US, now=20)
    assert floors.key(1, now=30) == 59 * _SECOND_US
    floors.looked(1, 59 * _SECOND_US, None, now=40)
    assert floors.key(1, now=50) == 59 * _SECOND_US


def test_once_a_second_a_look_begins_at_the_beginning() -> None:
    floors = Floors()
    floors.looked(1, LOWEST, 5, now=0)
    floors.looked(1, floors.key(1, now=10), 5, now=10)
    assert floors.key(1, now=_SECOND_US - 1) > LOWEST
    assert floors.key(1, now=_SECOND_US) == LOWEST


def test_a_clock_that_was_set_back_does_not_end_the_looks_from_the_beginning() -> None:
    floors = Floors()
    floors.looked(1, LOWEST, 5, now=_HOUR_US)
    assert floors.key(1, now=_HOUR_US + 1) > LOWEST
    assert floors.key(1, now=_SECOND_US) == LOWEST


def test_work_that_comes_with_a_lower_key_is_looked_for() -> None:
    floors = Floors()
    floors.looked(1, LOWEST, 50 * _SECOND_US, now=0)
    floors.came(1, 70 * _SECOND_US)
    assert floors.key(1, now=1) == 49 * _SECOND_US
    floors.came(1, 7)
    assert floors.key(1, now=1) == 7


@pytest.fixture
async def masters(database: str) -> AsyncIterator[list[PostgresStore]]:
    stores = [PostgresStore(database, rng=NoWait(seed)) for seed in range(2)]
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.close()


@contextlib.asynccontextmanager
async def _old_snapshot(address: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(address)
    async with connection.transaction(isolation="repeatable_read"):
        await connection.execute("SELECT count(*) FROM jobs")
        yield
    await connection.close()


async def _pages(address: str, class_id: int, from_key: int) -> int:
    """That a look for one task reads."""
    statement = statements.load(Dialect.POSTGRES)["ready_candidates"]
    values = statement.values({"class_id": class_id, "count": 1, "from_key": from_key})
    connection = await asyncpg.connect(address, server_settings={"enable_seqscan": "off", "enable_bitmapscan": "off"})
    try:
        plan = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement.text}", *values)
    finally:
        await connection.close()
    hit, read = re.search(r"Buffers: shared hit=(\d+)(?: read=(\d+))?", plan[0][0] + plan[1][0]).groups()  # type: ignore[union-attr]
    return int(hit) + int(read or 0)


@pytest.mark.postgres
async def test_a_look_does_not_pass_over_what_an_old_snapshot_keeps(
    masters: list[PostgresStore], database: str
) -> None:
    store, _ = masters
    world = World(store)
    agent = await world.agent()
    await world.submit(head_start_us=2 * _HOUR_US)
    [class_id] = [one.id for one in await store.classes()]
    async with _old_snapshot(database):
        for _ in range(20):
            for _ in range(40):
                await world.submit(head_start_us=2 * _HOUR_US)
            for grant in await agent.lease(40):
                await agent.complete(grant.attempt_id)
        last = await world.submit(head_start_us=_HOUR_US)
        await world.submit(head_start_us=_HOUR_US)
        assert last.id in {grant.job_id for grant in await agent.lease(2)}
        floor, tries = LOWEST, 0
        while floor == LOWEST and tries < 20:  # a second may have passed since: the look that is due finds it again
            await world.submit(head_start_us=_HOUR_US)
            await agent.lease()
            await world.submit(head_start_us=_HOUR_US)
            floor, tries = store._floors.key(class_id, await store.now_us()), tries + 1
        whole, bounded = [await _pages(database, class_id, key) for key in (LOWEST, floor)]
    assert whole > 2 * bounded


@pytest.mark.postgres
async def test_work_of_a_higher_rank_goes_first_at_the_master_that_took_it(masters: list[PostgresStore]) -> None:
    world = World(masters[0])
    agent = await world.agent()
    for _ in range(5):
        await world.submit()
    await agent.take()
    high = await world.submit(head_start_us=_HOUR_US)
    assert (await agent.take()).job_id == high.id


@pytest.mark.postgres
async def test_nothing_is_left_lying_below_where_a_look_began(masters: list[PostgresStore]) -> None:
    """Of another master, with a lower key: who asks for more than there is from the floor on gets it too."""
    world, other = World(masters[0]), World(masters[1])
    agent = await world.agent()
    for _ in range(3):
        await world.submit()
    await agent.take()
    high = await other.submit(head_start_us=_HOUR_US)
    grants = await agent.lease(5)
    assert grants[0].job_id == high.id
    assert len(grants) == 3
