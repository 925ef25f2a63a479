"""Two masters on one PostgreSQL, one of which stood still in the middle of a transaction, so that what it had read is old when it
goes on; and commits whose answer is none. (`test_interleavings` compares what is stored, not times, nodes and connections.)"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from ffrtmp.domain import errors, spec
from ffrtmp.store import statements
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.postgres_tx import Connection
from ffrtmp.store.statements import Dialect
from ffrtmp.testing import factories, postgres
from ffrtmp.testing.stops import Gate, StoppableStore
from ffrtmp.testing.world import Agent, NoWait, World

pytestmark = pytest.mark.postgres


@pytest.fixture
async def masters(database: str) -> AsyncIterator[list[StoppableStore]]:
    stores = [StoppableStore(database, rng=NoWait(seed)) for seed in range(2)]
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.close()


@pytest.fixture
async def admin(database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def _stopped_before(store: StoppableStore, name: str, call: Awaitable[Any]) -> "asyncio.Task[Any]":
    """The call, once it is about to run that statement. Opened by `store.gate.opened`."""
    gate = store.gate = _Before(statements.load(Dialect.POSTGRES)[name].text)
    task = asyncio.ensure_future(call)
    await gate.reached.wait()
    return task


class _Before(Gate):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    async def before(self, statement: str) -> None:
        if statement == self._text:
            self.reached.set()
            await self.opened.wait()


async def test_a_beat_that_stood_still_does_not_shorten_the_lease(masters: list[StoppableStore], admin: Any) -> None:
    """It had read the clock before; the agent has renewed through the other master since, and its fence counts from that."""
    world = World(masters[0])
    await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    late = await _stopped_before(masters[0], "lease_jobs", agent.beat(grant.attempt_id))
    await Agent(masters[1], agent.new, agent.id).beat(grant.attempt_id)
    renewed = await admin.fetchval("SELECT expires_at FROM leases")
    masters[0].gate.opened.set()
    await late
    assert await admin.fetchval("SELECT expires_at FROM leases") >= renewed


async def test_what_was_leased_while_the_agent_registered_anew_is_taken_back_too(
    masters: list[StoppableStore],
) -> None:
    """A long-poll of the agent that died is answered by one master, while another takes in its successor."""
    world = World(masters[0])
    made = await world.submit()
    dead = await world.agent("n")
    registering = await _stopped_before(masters[0], "nodes_by_id", world.store.register(factories.a_node("n")))
    assert await Agent(masters[1], dead.new, dead.id).take()
    masters[0].gate.opened.set()
    assert (await registering).restored == [made.id]


async def test_a_commit_whose_answer_is_an_error_of_the_connection_is_not_repeated(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler says so (08P01) when it lost the server, and closes our connection a moment later."""
    store = PostgresStore(database, rng=NoWait(7), write_connections=1)
    connect = store._connect

    async def connected() -> Connection:
        return cast("Connection", _LosesCommit(await connect()))

    monkeypatch.setattr(store, "_connect", connected)
    await store.open()
    new = factories.a_job()
    with pytest.raises(errors.Unavailable):
        await store.submit(new)
    assert (await store.get_job(new.id)).id == new.id
    await store.close()


class _LosesCommit:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, statement: str, *values: Any) -> str:
        answer = await self._connection.execute(statement, *values)
        if "COMMIT" in statement:
            raise asyncpg.ProtocolViolationError("server conn crashed?")
        return answer


async def test_an_upload_that_a_job_names_at_this_moment_is_not_removed(
    masters: list[StoppableStore], admin: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the moment as of which a statement sees the tables and its lock on the row, a submission may begin and end."""
    upload = await masters[0].create_upload(factories.an_upload())
    await masters[0].finish_upload(upload.id)
    loaded: Any = statements.load(Dialect.POSTGRES)
    for name in ("upload_remove", "uploads_free"):  # whichever takes the lock: first it waits for us
        if name in loaded and "SKIP LOCKED" in loaded[name].text:
            waits = loaded[name].text.replace("ORDER BY", "AND pg_advisory_xact_lock(7) IS NOT NULL ORDER BY")
            monkeypatch.setitem(loaded, name, msgspec.structs.replace(loaded[name], text=waits))
    holder = await asyncpg.connect(database)
    await holder.execute("SELECT pg_advisory_lock(7)")
    removing = asyncio.create_task(masters[0].remove_uploads([upload.id]))
    while not await admin.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", masters[0].pid):
        assert not removing.done()
    names = spec.Input(kind=spec.InputKind.UPLOAD, upload_id=upload.id, name="clip.mp4")
    await World(masters[1]).submit(factories.a_spec(input=names))
    await holder.close()
    assert await removing == []
    assert (await masters[0].get_upload(upload.id)).complete


async def _over(masters: list[StoppableStore], **fields: Any) -> str:
    """A job that is over, with a log, as old as one that retention takes. Returns its attempt."""
    world = World(masters[0])
    await world.submit(**fields)
    agent = await world.agent()
    grant = await agent.take()
    await agent.complete(grant.attempt_id)
    return grant.attempt_id


async def test_a_log_that_comes_as_its_job_is_removed_leaves_nothing(masters: list[StoppableStore], admin: Any) -> None:
    attempt_id = await _over(masters)
    node_id = await admin.fetchval("SELECT id FROM nodes")
    late = await _stopped_before(masters[0], "attempt_log_put", masters[0].put_log(attempt_id, node_id, "text"))
    expired = await masters[1].expire(finished_before=2**62, limit=10)
    masters[0].gate.opened.set()
    await late
    expired_later = await masters[1].expire(finished_before=2**62, limit=10)
    assert expired.jobs + expired_later.jobs == 1
    assert await admin.fetchval("SELECT count(*) FROM attempt_logs") == 0


async def test_a_key_that_comes_again_as_its_job_is_removed_makes_a_new_job(
    masters: list[StoppableStore], admin: Any
) -> None:
    await _over(masters, idempotency_key="k", body_sha256="b")
    await admin.execute("UPDATE jobs SET created_at = 0")  # older than the promise of G6
    again = factories.a_job(idempotency_key="k", body_sha256="b")
    late = await _stopped_before(masters[0], "jobs_whole", masters[0].submit(again))
    assert (await masters[1].expire(finished_before=2**62, limit=10)).jobs == 1
    masters[0].gate.opened.set()
    submitted = await late
    assert (submitted.created, submitted.job.id) == (True, again.id)


async def test_classes_are_learnt_anew_from_another_server(database: str, admin: Any) -> None:
    """After a fail-over numbers may repeat: what was learnt from the server before would give a job to nodes that cannot run it."""
    store = PostgresStore(database, rng=NoWait(7), write_connections=1)
    await store.open()
    one, two = (factories.a_spec(requires=spec.Requires(encoder=name)) for name in ("one", "two"))
    await World(store).submit(one)
    await admin.execute("TRUNCATE jobs, job_docs, tasks, ready, events, counters, classes RESTART IDENTITY")
    await admin.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    other = PostgresStore(database, rng=NoWait(8))
    await other.open()
    await World(other).submit(two)
    made = await World(store).submit(one)
    requires = await admin.fetchval(
        "SELECT requires FROM classes JOIN tasks ON class_id = classes.id WHERE job_seq = $1", made.sequence_number
    )
    assert '"one"' in requires
    for each in (store, other):
        await each.close()


async def test_a_commit_that_no_standby_confirmed_is_not_acknowledged() -> None:
    """When somebody cancels the wait for a synchronous standby (`pg_cancel_backend`), the server says COMMIT, with a warning."""
    async with postgres.server() as server:
        await server.create("farm")
        store = PostgresStore(server.dsn("farm"), rng=NoWait(7), write_connections=1)
        await store.open()
        admin = await asyncpg.connect(server.dsn("postgres"))
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'absent'")
        await admin.execute("SELECT pg_reload_conf()")
        answers: list[Any] = []
        while not any(isinstance(answer, Exception) for answer in answers):
            submitting = asyncio.create_task(store.submit(factories.a_job()))
            while not submitting.done():
                await admin.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            answers += await asyncio.gather(submitting, return_exceptions=True)
            assert len(answers) < 100, "it waited for nobody, or was acknowledged although nobody confirmed it"
        assert isinstance(answers[-1], errors.Unavailable)
        await admin.close()
        await store.close()
