"""Rescue, promote, expire. Leases that have ended are made with a lease time below zero: no test waits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ffrtmp.domain import errors, retry, spec
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import AttemptState, JobState
from ffrtmp.store import interface
from ffrtmp.testing import factories
from ffrtmp.testing.world import World, conflict

Sql = Callable[[str], Awaitable[list[tuple[Any, ...]]]]
LATER = 2**60


async def test_a_lease_that_ended_is_rescued(world: World) -> None:
    made = await world.submit()
    agent = await world.agent(ttl_us=-1_000_000)
    grant = await agent.take()
    rescued = await world.store.rescue(10)
    [result] = rescued.attempts
    assert (result.attempt_id, result.attempt_state) == (grant.attempt_id, AttemptState.LOST)
    assert result.job_state is JobState.RETRYING
    assert rescued.oldest_expired_us >= 1_000_000
    assert (await conflict(agent.complete(grant.attempt_id))).state == "lost"
    [attempt] = await world.store.attempts(made.id)
    assert attempt.failure is not None
    assert attempt.failure.code is Code.LEASE_EXPIRED
    counts = await world.store.counts()
    assert (counts.lease_expiries, counts.failures) == (1, {Code.LEASE_EXPIRED: 1})
    assert (await world.store.rescue(10)).attempts == []
    assert (await world.store.promote(10)).count == 1
    assert (await agent.take()).number == 2


async def test_a_lease_is_rescued_whatever_became_of_its_node(world: World, sql: Sql) -> None:
    made = await world.submit()
    await (await world.agent(ttl_us=-1_000_000)).take()
    await sql("DELETE FROM nodes")
    assert [one.job_state for one in (await world.store.rescue(10)).attempts] == [JobState.RETRYING]
    await world.store.promote(10)
    assert (await (await world.agent()).take()).job_id == made.id


async def test_a_lease_that_lives_is_left_alone(world: World) -> None:
    made = await world.submit()
    await (await world.agent()).take()
    assert (await world.store.rescue(10)).attempts == []
    assert await world.state(made) is JobState.ASSIGNED


async def test_a_beat_keeps_the_lease(world: World) -> None:
    await world.submit()
    short = await world.agent("n", ttl_us=-1_000_000)
    grant = await short.take()
    await world.store.register(factories.a_node("n", incarnation=short.incarnation, ttl_us=60_000_000))
    await short.start(grant)
    assert (await world.store.rescue(10)).attempts == []
    await short.complete(grant.attempt_id)


async def test_three_lost_leases_are_poison(world: World) -> None:
    made = await world.submit(max_retries=99)
    agent = await world.agent(ttl_us=-1_000_000)
    for _ in range(3):
        await agent.take()
        await world.store.rescue(10)
        await world.store.promote(10)
    found = await world.store.get_job(made.id)
    assert found.state is JobState.FAILED
    assert found.failure is not None
    assert found.failure.code is Code.POISON


async def test_leases_that_end_while_their_agents_live_are_no_poison(world: World) -> None:
    made = await world.submit(max_retries=3)
    agent = await world.agent(ttl_us=-1_000_000)
    for _ in range(5):
        grant = await agent.take()
        await world.store.rescue(10)
        excused = await agent.give_back(grant.attempt_id, fenced=True)
        assert (excused.attempt_state, excused.job_state, excused.retry) == (AttemptState.LOST, JobState.QUEUED, 0)
        assert excused.ready_class_ids  # it need not wait
        again = await agent.give_back(grant.attempt_id, fenced=True)
        assert again.replay
        assert not again.ready_class_ids
    [task] = await world.store.tasks(made.id)
    assert (task.failures, task.crashes) == (0, 0)
    assert (await world.kinds(made)).count(EventKind.ATTEMPT_EXCUSED) == 5


async def test_an_agent_that_lives_excuses_while_the_next_attempt_runs(world: World) -> None:
    made = await world.submit()
    late, other = await world.agent(ttl_us=-1_000_000), await world.agent()
    lost = await late.take()
    await world.store.rescue(10)
    await world.store.promote(10)
    grant = await other.take()
    assert (await late.give_back(lost.attempt_id, fenced=True)).job_state is JobState.ASSIGNED
    await other.complete(grant.attempt_id)
    [task] = await world.store.tasks(made.id)
    assert task.crashes == 0
    assert await world.state(made) is JobState.COMPLETED
    assert (await late.give_back(lost.attempt_id, fenced=True)).replay


async def test_a_stranger_excuses_nothing(world: World) -> None:
    made = await world.submit()
    agent, stranger = await world.agent(ttl_us=-1_000_000), await world.agent()
    grant = await agent.take()
    await world.store.rescue(10)
    assert (await conflict(stranger.give_back(grant.attempt_id, fenced=True))).state == "lost"
    agent.incarnation = "a later life"
    assert (await conflict(agent.give_back(grant.attempt_id, fenced=True))).state == "lost"
    [task] = await world.store.tasks(made.id)
    assert task.crashes == 1


async def test_an_agent_whose_name_was_taken_excuses_what_it_had(world: World) -> None:
    made = await world.submit()
    first = await world.agent("twin")
    grant = await first.take()
    await world.agent("twin")
    assert [task.crashes for task in await world.store.tasks(made.id)] == [1]
    await first.give_back(grant.attempt_id, fenced=True)
    assert [task.crashes for task in await world.store.tasks(made.id)] == [0]


async def test_what_never_keeps_its_lease_is_not_tried_for_ever(world: World) -> None:
    made = await world.submit(max_retries=99)
    agent = await world.agent()
    for _ in range(retry.EXCUSED_ATTEMPTS + retry.POISON_CRASHES - 1):
        grant = await agent.take()
        await agent.give_back(grant.attempt_id, fenced=True)
        await world.store.promote(10)
    assert await world.state(made) is JobState.FAILED
    with pytest.raises(ValueError, match="not enough values"):
        await agent.take()


async def test_a_canceled_job_whose_node_died_is_canceled(world: World) -> None:
    made = await world.submit()
    await (await world.agent(ttl_us=-1_000_000)).take()
    await world.store.cancel(made.id)
    assert await world.state(made) is JobState.ASSIGNED
    [result] = (await world.store.rescue(10)).attempts
    assert (result.attempt_state, result.job_state) == (AttemptState.LOST, JobState.CANCELED)


async def test_a_publishing_attempt_can_be_lost_too(world: World) -> None:
    made = await world.submit()
    agent = await world.agent(ttl_us=-1_000_000)
    grant = await agent.take()
    output = factories.an_output()
    await agent.publish(grant.attempt_id, output)
    await world.store.rescue(10)
    assert await world.state(made) is JobState.RETRYING
    await world.store.promote(10)
    assert (await agent.take()).prior_publications == [output]


async def test_sweeps_are_bounded(world: World) -> None:
    for _ in range(5):
        await world.submit()
    agent = await world.agent(ttl_us=-1_000_000)
    assert len(await agent.lease(5)) == 5
    assert len((await world.store.rescue(2)).attempts) == 2
    assert len((await world.store.rescue(9)).attempts) == 3
    assert (await world.store.promote(2)).count == 2
    promoted = await world.store.promote(2)
    assert (promoted.count, promoted.next_due_us) == (2, 0)


async def test_sweeps_at_one_moment_do_each_thing_once(world: World) -> None:
    for _ in range(6):
        await world.submit()
    agent = await world.agent(ttl_us=-1_000_000)
    await agent.lease(6)
    rescued = await asyncio.gather(*(world.store.rescue(100) for _ in range(5)))
    assert sum(len(one.attempts) for one in rescued) == 6
    promoted = await asyncio.gather(*(world.store.promote(100) for _ in range(5)))
    assert sum(one.count for one in promoted) == 6


async def test_retention_removes_all_that_belongs_to_a_job(world: World, sql: Sql) -> None:
    finished = await world.submit(tags={"a": "b"})
    canceled = await world.submit()
    queued = await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    await world.store.put_log(grant.attempt_id, agent.id, "text")
    await agent.publish(grant.attempt_id)
    await agent.complete(grant.attempt_id)
    await world.store.cancel(canceled.id)
    assert (await world.store.expire(finished_before=0, limit=10)).jobs == 0
    assert (await world.store.expire(finished_before=LATER, limit=1)).jobs == 1
    assert (await world.store.expire(finished_before=LATER, limit=10)).jobs == 1
    page = await world.store.list_jobs(interface.JobFilter(), before=None, limit=10)
    assert [one.id for one in page.jobs] == [queued.id]
    assert (await world.store.counts()).jobs == {(JobState.QUEUED, spec.Queue.DEFAULT, spec.Engine.AUTO): 1}
    for table in ("job_docs", "tasks", "events", "attempts", "attempt_logs", "job_tags", "publications"):
        rows = await sql(f"SELECT job_seq FROM {table} WHERE job_seq IS NOT NULL")
        assert {row[0] for row in rows} <= {queued.sequence_number}, table
    another = await world.submit()
    assert another.sequence_number > max(finished.sequence_number, queued.sequence_number)


async def test_retention_removes_the_history_of_nodes(world: World, sql: Sql) -> None:
    made = await world.submit()
    agent = await world.agent("n")
    await agent.complete((await agent.take()).attempt_id)
    await world.store.drain("n", on=True)
    assert (await world.store.expire(finished_before=0, limit=10)).jobs == 0
    assert await sql("SELECT count(*) FROM events WHERE kind LIKE 'node.%'") == [(2,)]
    await world.store.expire(finished_before=LATER, limit=10)
    assert await sql("SELECT count(*) FROM events") == [(0,)]
    with pytest.raises(errors.NotFound):
        await world.store.get_job(made.id)
    assert (await world.store.get_node("n")).draining


async def test_retention_removes_nodes_that_were_removed(world: World, sql: Sql) -> None:
    made = await world.submit()
    named, other = await world.agent("named"), await world.agent("other")
    await named.give_back((await named.take()).attempt_id)
    await other.fail((await other.take()).attempt_id)
    for agent in (named, other):
        await agent.beats(drain=True)
        await world.store.remove_node(agent.id)
    await world.store.expire(finished_before=0, limit=10)
    assert await sql("SELECT count(*) FROM nodes") == [(2,)]
    await world.store.expire(finished_before=LATER, limit=10)
    assert await sql("SELECT name FROM nodes") == [("other",)]  # the job names it, and is not over
    assert [attempt.node_name for attempt in await world.store.attempts(made.id)] == [named.id, "other"]
    await world.store.cancel(made.id)
    for _ in range(2):
        await world.store.expire(finished_before=LATER, limit=10)
    assert await sql("SELECT count(*) FROM nodes") == [(0,)]


async def test_a_number_is_never_used_again(world: World) -> None:
    last = await world.submit()
    await world.store.cancel(last.id)
    await world.store.expire(finished_before=LATER, limit=10)
    assert (await world.submit()).sequence_number > last.sequence_number


async def test_a_key_is_known_for_a_day_whatever_the_retention(world: World, sql: Sql) -> None:
    made = await world.submit(idempotency_key="k", body_sha256="b")
    await world.store.cancel(made.id)
    assert (await world.store.expire(finished_before=LATER, limit=10)).jobs == 0
    assert not (await world.store.submit(factories.a_job(idempotency_key="k", body_sha256="b"))).created
    await sql(f"UPDATE jobs SET created_at = created_at - {25 * 3600 * 1_000_000}")
    assert (await world.store.expire(finished_before=LATER, limit=10)).jobs == 1
    assert (await world.store.submit(factories.a_job(idempotency_key="k", body_sha256="b"))).created


async def test_old_lease_requests_go(world: World, sql: Sql) -> None:
    await world.submit()
    agent = await world.agent()
    await agent.lease(request_id="r")
    await world.store.expire(finished_before=0, limit=10)
    assert await sql("SELECT count(*) FROM lease_requests") == [(1,)]
    await sql("UPDATE lease_requests SET created_at = 0")
    await world.store.expire(finished_before=0, limit=10)
    assert await sql("SELECT count(*) FROM lease_requests") == [(0,)]
