"""What only PostgreSQL has: several masters, connections that die, transactions that overlap."""

import asyncio
import contextlib
import random
import re
import traceback
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from ffrtmp.domain import errors, spec
from ffrtmp.domain.errors import Code
from ffrtmp.domain.states import JobState
from ffrtmp.store import postgres_writer, statements
from ffrtmp.store.interface import JobFilter
from ffrtmp.store.ops import read
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.postgres_tx import Connection
from ffrtmp.store.statements import Dialect
from ffrtmp.testing import factories
from ffrtmp.testing.story import DEEDS, Player, check
from ffrtmp.testing.world import Agent, NoWait, World

KILL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND datname = current_database()"""

pytestmark = pytest.mark.postgres


@pytest.fixture
async def masters(database: str) -> AsyncIterator[list[PostgresStore]]:
    stores = [PostgresStore(database, rng=NoWait(seed)) for seed in range(2)]
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.close()


async def test_two_masters_never_give_a_task_twice(masters: list[PostgresStore]) -> None:
    world, other = (World(store) for store in masters)
    jobs = [await world.submit() for _ in range(100)]
    agents = [await world.agent() for _ in range(10)]
    for agent in agents[5:]:
        agent.store = other.store
    granted = []
    while len(granted) < 100:
        found = await asyncio.gather(*(agent.lease(3) for agent in agents))
        granted += [grant for grants in found for grant in grants]
    assert sorted(grant.job_id for grant in granted) == sorted(made.id for made in jobs)


async def test_a_lease_that_ended_shows_although_its_job_is_held(masters: list[PostgresStore], database: str) -> None:
    world = World(masters[0])
    made = await world.submit()
    agent = await world.agent(ttl_us=-1_000_000)
    await agent.take()
    holder = await asyncpg.connect(database)
    async with holder.transaction():
        await holder.execute("SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE", made.id)
        rescued = await masters[0].rescue(10)
        assert rescued.attempts == []
        assert rescued.oldest_expired_us >= 1_000_000
    await holder.close()
    assert len((await masters[0].rescue(10)).attempts) == 1


async def test_one_key_at_two_masters_makes_one_job(masters: list[PostgresStore]) -> None:
    for number in range(20):
        key = f"key-{number}"
        answers = await asyncio.gather(
            *(
                store.submit(factories.a_job(idempotency_key=key, body_sha256="b"))
                for store in masters
                for _ in range(3)
            )
        )
        assert len({answer.job.id for answer in answers}) == 1
        assert sum(answer.created for answer in answers) == 1


async def test_one_request_at_two_masters_is_granted_once(masters: list[PostgresStore]) -> None:
    world = World(masters[0])
    for _ in range(40):
        await world.submit()
    agent = await world.agent()
    twin = Agent(masters[1], agent.new, agent.id)
    for number in range(10):
        one, two = await asyncio.gather(agent.lease(2, request_id=f"r{number}"), twin.lease(2, request_id=f"r{number}"))
        assert one == two


async def test_a_new_class_at_two_masters_is_one_class(masters: list[PostgresStore]) -> None:
    for number in range(10):
        of = factories.a_spec(requires=spec.Requires(encoder=f"encoder-{number}"))
        await asyncio.gather(*(World(store).submit(of) for store in masters for _ in range(2)))
    assert len(await masters[0].classes()) == 10


async def test_masters_do_not_wait_for_one_another_in_a_circle(masters: list[PostgresStore]) -> None:
    world, other = (World(store) for store in masters)
    agent, twin = await world.agent(), await other.agent()
    for _ in range(10):
        jobs = [await world.submit() for _ in range(20)]
        grants = await agent.lease(20)
        twin.id, twin.incarnation = agent.id, agent.incarnation
        await asyncio.gather(
            *(agent.start(grant) for grant in grants),
            *(twin.complete(grant.attempt_id) for grant in reversed(grants)),
            *(world.store.cancel(made.id) for made in reversed(jobs)),
            *(other.store.pause(made.id) for made in jobs),
            *(twin.beats() for _ in range(5)),
            return_exceptions=True,
        )
        for grant in grants:
            with contextlib.suppress(errors.Conflict):
                await agent.fail(grant.attempt_id, Code.CANCELED)
    assert await masters[0].depths() == []


@pytest.mark.parametrize("seed", range(3))
async def test_two_masters_keep_the_books_and_never_lock_each_other_out(
    masters: list[PostgresStore], database: str, seed: int
) -> None:
    rng = random.Random(seed)
    admin = await asyncpg.connect(database)

    async def sql(text: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await admin.fetch(text)]

    players = [Player(World(store), rng) for store in masters]
    for player in players[1:]:  # the same jobs, agents and attempts, through another master
        player.jobs, player.agents, player.held = players[0].jobs, players[0].agents, players[0].held
    for _ in range(30):
        for agent in players[0].agents:
            agent.store = rng.choice(masters)
        await asyncio.gather(*(rng.choice(players).do(rng.choice(DEEDS)) for _ in range(12)))
    await check(masters[0], sql)
    assert await sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
    await admin.close()


async def test_a_tail_of_the_history_skips_nothing(masters: list[PostgresStore], database: str) -> None:
    """A transaction that began first and commits last has the lower numbers: a reader must not pass it by."""
    store = masters[0]
    made = await World(store).submit()
    start = await store.last_event()
    slow = await asyncpg.connect(database)
    insert = "INSERT INTO events (at, kind, job_seq, data) VALUES (1, 'job.state', $1, '{}')"
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute(insert, made.sequence_number)
    await World(store).submit()
    early = await store.events(after=start, limit=10)
    assert await store.last_event() == (early[-1].seq if early else start)
    await transaction.commit()
    await slow.close()
    late = await store.events(after=early[-1].seq if early else start, limit=10)
    assert sorted(event.kind.value for event in early + late) == ["job.state", "job.submitted"]


async def test_connections_that_died_are_replaced(masters: list[PostgresStore], database: str) -> None:
    world = World(masters[0])
    made = await world.submit()
    admin = await asyncpg.connect(database)
    for _ in range(3):
        await admin.fetch(KILL)
        assert (await world.store.get_job(made.id)) == made
        await asyncio.gather(*(world.submit() for _ in range(10)))
    await admin.close()


async def test_a_server_that_only_reads_is_left(masters: list[PostgresStore], database: str) -> None:
    world = World(masters[0])
    admin = await asyncpg.connect(database)
    where = f"ALTER DATABASE {await admin.fetchval('SELECT current_database()')}"
    await admin.execute(f"{where} SET default_transaction_read_only = on")  # as a standby's sessions have it
    await admin.execute(KILL)
    with pytest.raises(errors.Unavailable, match="read-only"):
        await world.submit()
    await admin.execute(f"{where} RESET default_transaction_read_only")
    await world.submit()
    await admin.close()


async def test_an_address_may_ask_for_the_server_that_writes(database: str) -> None:
    """As for a fail-over: it names several hosts, and `target_session_attrs=read-write`."""
    store = PostgresStore(f"{database}?target_session_attrs=read-write")
    await store.open()
    assert (await World(store).submit()).id == (await store.get_job("1")).id
    await store.close()


async def test_what_may_have_been_committed_is_never_lost_or_doubled(
    masters: list[PostgresStore], database: str
) -> None:
    store = masters[0]
    admin = await asyncpg.connect(database)
    keys = [factories.new_id() for _ in range(200)]

    async def submit(key: str) -> str:
        while True:
            try:
                return (await store.submit(factories.a_job(idempotency_key=key, body_sha256="b"))).job.id
            except errors.Unavailable:
                continue

    calls = [asyncio.create_task(submit(key)) for key in keys]
    for _ in range(5):
        await admin.fetch(KILL)
    ids = await asyncio.gather(*calls)
    assert len(set(ids)) == 200
    assert await admin.fetchval("SELECT count(*) FROM jobs") == 200
    await admin.close()


async def test_no_server(tmp_path: object) -> None:
    store = PostgresStore(f"postgresql://user:secret@/none?host={tmp_path}")
    with pytest.raises(errors.Unavailable) as raised:
        await store.open()
    assert "secret" not in str(raised.value)
    assert "secret" not in store.describe()
    with pytest.raises(errors.Unavailable):
        await store.submit(factories.a_job())


def test_a_time_limit_that_passed_is_told_in_words() -> None:
    assert str(postgres_writer.told(TimeoutError())) == "The database did not answer as it should: no answer in time."


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://user:sec#ret@db.example/none",
        "postgresql://user:sec/ret@db.example/none",
        "postgresql://user:sec?ret@db.example/none",
        "postgresql://user:secret@db.example:port/none",
        "postgresql://user:secret@[::1/none",
        "host=db.example password=secret",
        "mysql://user:secret@db.example/none",
    ],
)
async def test_an_address_that_is_none(dsn: str) -> None:
    store = PostgresStore(dsn)
    with pytest.raises(errors.InvalidInput, match="write --db-dsn") as raised:
        await store.open()
    for told in (str(raised.value), "".join(traceback.format_exception(raised.value)), store.describe()):
        assert not re.search(r"sec|ret\b", told.replace("_without_secrets", "")), told


def test_a_description_names_the_host() -> None:
    for dsn, told in (
        ("postgresql://user:a@db.example:5433/farm?sslmode=require", "db.example:5433/farm"),
        ("postgres://one.example:1,two.example:2/farm", "one.example:1,two.example:2/farm"),
        ("postgresql://user:a@[::1]:5432/farm", "[::1]:5432/farm"),
        ("postgresql:///farm", "localhost/farm"),
        ("postgresql://user:a@b?c@db.example/farm", "of --db-dsn"),
        ("postgresql://user@/farm?host=/run/postgresql", "/run/postgresql/farm"),
    ):
        assert PostgresStore(dsn).describe().endswith(f", {told}")


async def test_limits_are_set_on_every_session(masters: list[PostgresStore], database: str) -> None:
    assert masters[0]._pool is not None
    async with masters[0]._pool.acquire() as connection:
        assert await connection.fetchval("SHOW statement_timeout") == "15s"
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "15s"
        # a page of a large table would start workers, which take longer than the page
        assert await connection.fetchval("SHOW max_parallel_workers_per_gather") == "0"
    connection = await masters[0]._connect()
    assert await connection.fetchval("SHOW statement_timeout") == "15s"
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    await connection.close()


async def _plan(connection: Connection, text: str, values: Sequence[object]) -> str:
    literals = ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in values)
    await connection.execute(f"PREPARE one AS {text}")
    rows = await connection.fetch(f"EXPLAIN EXECUTE one ({literals})")
    await connection.execute("DEALLOCATE one")
    return "\n".join(row[0] for row in rows)


async def test_the_history_of_another_server_is_seen_after_a_restore(
    masters: list[PostgresStore], database: str
) -> None:
    """Transactions have higher numbers there than any of this server: as `pg_dump` and `pg_restore` leave them."""
    world = World(masters[0])
    first, second = await world.submit(), await world.submit()
    admin = await asyncpg.connect(database)
    await admin.execute("ALTER TABLE events DISABLE TRIGGER events_append_only")
    await admin.execute("UPDATE events SET xid = CAST(CAST(CAST(xid AS text) AS bigint) + 1000000000 AS text)::xid8")
    await admin.execute("ALTER TABLE events ENABLE TRIGGER events_append_only")
    assert await masters[0].events(after=0, limit=10) == []
    restored = PostgresStore(database)
    await restored.open()
    third = await World(restored).submit()
    seen = await restored.events(after=0, limit=10)
    assert [event.job_id for event in seen] == [first.id, second.id, third.id]
    assert await restored.events(after=seen[1].seq, limit=10) == [seen[2]]  # who follows it goes on where it was
    assert await restored.last_event() == seen[2].seq
    with pytest.raises(asyncpg.CheckViolationError, match="append-only"):
        await admin.execute("UPDATE events SET data = ''")
    await admin.close()
    await restored.close()


async def test_walks_use_an_index(masters: list[PostgresStore]) -> None:
    """Each single filter, and the tail of the history, is one walk along one index: nothing is sorted or scanned."""
    await World(masters[0]).submit()
    connection = await masters[0]._connect()
    filters: list[tuple[JobFilter, JobState | None]] = [
        (JobFilter(), None),
        (JobFilter(), JobState.QUEUED),
        (JobFilter(queue=spec.Queue.LIVE), None),
        (JobFilter(priority=spec.Priority.LOW), None),
        (JobFilter(engine=spec.Engine.FFMPEG), None),
        (JobFilter(scenario="x"), None),
        (JobFilter(node="n"), None),
        (JobFilter(tags={"a": "b"}), None),
    ]
    plans = []
    for which, state in filters:
        more, values = read._filters(which, state)
        statement = statements.variant(Dialect.POSTGRES, "job_page", more)
        plans.append(await _plan(connection, statement.text, statement.values({**values, "before": 9, "count": 9})))
    values = {"after": 1, "count": 9, "node_id": "n", "job_id": "j", "class_id": 1, "now": 1, "from_key": 1}
    values |= {"sort_key": 1, "job_seq": 1, "position": 1}
    for name in (
        "events_after",
        "events_of_node",
        "events_of_job",
        "events_of_job_last",
        "ready_candidates",
        "ready_ahead",
        "delayed_due",
    ):
        statement = statements.load(Dialect.POSTGRES)[name]
        plans.append(await _plan(connection, statement.text, statement.values(values)))
    for plan in plans:
        assert "Sort" not in plan, plan
        assert "Seq Scan" not in plan, plan
        assert "Bitmap" not in plan, plan
    await connection.close()
