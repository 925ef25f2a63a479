"""Whatever happens in whatever order: counters equal a recount, and the tables agree with the rules and with one another."""

import asyncio
import contextlib
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffrtmp.domain.states import JobState
from ffrtmp.store import interface, sqlite_file
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.testing.story import DEEDS, Player, Sql, check
from ffrtmp.testing.world import NoWait, World


@pytest.mark.parametrize("seed", range(4))
async def test_counters_equal_a_recount(world: World, sql: Sql, seed: int) -> None:
    rng = random.Random(seed)
    player = Player(world, rng)
    for _ in range(25):
        # several at one moment, so that they meet in one transaction
        await asyncio.gather(*(player.do(rng.choice(DEEDS)) for _ in range(rng.randint(1, 8))))
    await check(world.store, sql)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(st.sampled_from(DEEDS), max_size=40), seed=st.integers(0, 2**16))
def test_any_story_keeps_the_books(tmp_path_factory: pytest.TempPathFactory, deeds: list[str], seed: int) -> None:
    """The same with stories that Hypothesis writes, and shortens when one goes wrong."""

    async def play() -> None:
        store = SqliteStore(tmp_path_factory.mktemp("story") / "queue.db", rng=NoWait(7))
        await store.open()
        try:
            player = Player(World(store), random.Random(seed))
            for deed in ["submit", "register", *deeds]:
                await player.do(deed)

            async def sql(text: str) -> list[tuple[Any, ...]]:
                with contextlib.closing(sqlite_file.for_reading(store.path)) as connection:
                    return connection.execute(text).fetchall()

            await check(store, sql)
        finally:
            await store.close()

    asyncio.run(play())


async def test_reading_the_numbers_touches_a_handful_of_rows(world: World, sql: Sql) -> None:
    await asyncio.gather(*(world.submit() for _ in range(200)))
    agent = await world.agent()
    for grant in await agent.lease(50):
        await agent.complete(grant.attempt_id)
    [(rows,)] = await sql("SELECT count(*) FROM counters")
    assert rows <= 6 * 2  # states, a class, an engine, nodes; by two writers
    page = await world.store.list_jobs(interface.JobFilter(states=(JobState.COMPLETED,)), before=None, limit=100)
    assert len(page.jobs) == 50
