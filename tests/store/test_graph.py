"""Jobs of several tasks."""

import pytest

from ffrtmp.domain import job
from ffrtmp.domain.errors import Code
from ffrtmp.domain.states import AttemptState, JobState, TaskState
from ffrtmp.protocol.agent import CommandKind
from ffrtmp.testing import factories
from ffrtmp.testing.world import Agent, World, conflict


async def diamond(world: World, **fields: object) -> job.Job:
    """probe → two chunks → stitch"""
    of = factories.a_spec()
    tasks = (
        factories.a_task(of),
        factories.a_task(of, depends_on=[0]),
        factories.a_task(of, depends_on=[0]),
        factories.a_task(of, depends_on=[1, 2]),
    )
    return await world.submit(of, tasks=tasks, **fields)


@pytest.fixture
async def agent(world: World) -> Agent:
    return await world.agent()


async def test_a_task_is_queued_when_its_last_dependency_is_done(world: World, agent: Agent) -> None:
    made = await diamond(world)
    assert [task.pending_deps for task in await world.store.tasks(made.id)] == [0, 1, 1, 2]
    probe = await agent.take()
    assert await agent.lease() == []
    done = await agent.complete(probe.attempt_id)
    assert (done.job_state, len(done.ready_class_ids)) == (JobState.RUNNING, 2)
    one, two = await agent.lease(3)
    assert (await agent.complete(one.attempt_id)).ready_class_ids == ()
    assert await agent.lease() == []
    assert (await world.store.get_job(made.id)).progress == job.Progress(percent=50.0)
    assert len((await agent.complete(two.attempt_id)).ready_class_ids) == 1
    stitch = await agent.take()
    result = factories.a_result(encoder="stitch")
    assert (await agent.complete(stitch.attempt_id, result)).job_state is JobState.COMPLETED
    found = await world.store.get_job(made.id)
    assert found.result == result
    assert await world.task_states(made) == [TaskState.DONE] * 4


async def test_the_failure_of_one_ends_all(world: World, agent: Agent) -> None:
    made = await diamond(world)
    await agent.complete((await agent.take()).attempt_id)
    one, two = await agent.lease(2)
    await agent.start(two)
    assert (await agent.fail(one.attempt_id, Code.INPUT_INVALID)).job_state is JobState.FAILED
    assert await world.task_states(made) == [
        TaskState.DONE,
        TaskState.FAILED,
        TaskState.CANCELED,
        TaskState.CANCELED,
    ]
    assert await world.store.directives(agent.id) == {two.attempt_id: CommandKind.CANCEL}
    assert await agent.beat(two.attempt_id, started=True) is CommandKind.CANCEL
    assert (await conflict(agent.complete(two.attempt_id))).code == "canceled"
    ended = await agent.fail(two.attempt_id, Code.CANCELED)
    assert (ended.attempt_state, ended.job_state) == (AttemptState.CANCELED, JobState.FAILED)
    found = await world.store.get_job(made.id)
    assert found.failure is not None
    assert found.failure.code is Code.INPUT_INVALID
    assert await world.store.depths() == []


async def test_a_retry_of_one_leaves_the_others_alone(world: World, agent: Agent) -> None:
    made = await diamond(world)
    await agent.complete((await agent.take()).attempt_id)
    one, two = await agent.lease(2)
    await agent.start(two)
    assert (await agent.fail(one.attempt_id)).job_state is JobState.RUNNING
    await world.store.promote(10)
    await agent.complete(two.attempt_id)
    again = await agent.take()
    assert again.task_id == one.task_id
    await agent.complete(again.attempt_id)
    await agent.complete((await agent.take()).attempt_id)
    found = await world.store.get_job(made.id)
    assert (found.state, found.retry_count) == (JobState.COMPLETED, 1)


async def test_cancel_with_some_running(world: World, agent: Agent) -> None:
    made = await diamond(world)
    await agent.complete((await agent.take()).attempt_id)
    one = await agent.take()
    change = await world.store.cancel(made.id)
    assert change.attempts == ((agent.id, one.attempt_id),)
    assert await agent.lease() == []  # the other chunk may not start any more
    assert (await agent.fail(one.attempt_id, Code.CANCELED)).job_state is JobState.CANCELED
    assert await world.task_states(made) == [TaskState.DONE] + [TaskState.CANCELED] * 3


async def test_what_becomes_ready_while_paused_waits_for_resume(world: World, agent: Agent) -> None:
    made = await diamond(world)
    probe = await agent.take()
    await world.store.pause(made.id)
    done = await agent.complete(probe.attempt_id)
    assert (done.job_state, done.ready_class_ids) == (JobState.PAUSED, ())
    assert await agent.lease() == []
    await world.store.resume(made.id)
    assert len(await agent.lease(5)) == 2


async def test_reports_of_one_job_in_one_batch(world: World, agent: Agent) -> None:
    import asyncio

    of = factories.a_spec()
    chunks = tuple(factories.a_task(of) for _ in range(40))
    stitch = factories.a_task(of, depends_on=range(40))
    made = await world.submit(of, tasks=(*chunks, stitch))
    grants = await agent.lease(50)
    assert len(grants) == 40
    await asyncio.gather(*(agent.complete(grant.attempt_id) for grant in grants))
    last = await agent.take()
    assert last.task_id == stitch.id
    await agent.complete(last.attempt_id)
    assert await world.state(made) is JobState.COMPLETED
