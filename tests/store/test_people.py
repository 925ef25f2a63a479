"""Cancel, pause, resume, reject."""

import pytest

from ffrtmp.domain import errors, spec
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import JobState, TaskState
from ffrtmp.testing import factories
from ffrtmp.testing.world import World, conflict


async def test_a_queued_job_is_canceled_at_once(world: World) -> None:
    made = await world.submit()
    change = await world.store.cancel(str(made.sequence_number))
    assert (change.job.state, change.job.cancel_requested, change.attempts) == (JobState.CANCELED, True, ())
    assert change.job == await world.store.get_job(made.id)
    assert await world.task_states(made) == [TaskState.CANCELED]
    assert await (await world.agent()).lease() == []
    assert (await world.store.cancel(made.id)).job == change.job
    assert await world.kinds(made) == [EventKind.JOB_SUBMITTED, EventKind.JOB_CANCEL_REQUESTED, EventKind.JOB_STATE]


async def test_a_running_job_is_asked_to_end(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    change = await world.store.cancel(made.id)
    assert (change.job.state, change.job.cancel_requested) == (JobState.ASSIGNED, True)
    assert change.attempts == ((agent.id, grant.attempt_id),)
    again = await world.store.cancel(made.id)
    assert again == change
    assert (await world.kinds(made)).count(EventKind.JOB_CANCEL_REQUESTED) == 1


async def test_a_retrying_job_is_canceled_at_once(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    await agent.fail((await agent.take()).attempt_id)
    assert (await world.store.cancel(made.id)).job.state is JobState.CANCELED
    assert (await world.store.promote(10)).count == 0


async def test_what_is_over_cannot_be_changed(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    await agent.complete((await agent.take()).attempt_id)
    for call in (world.store.cancel(made.id), world.store.pause(made.id), world.store.resume(made.id)):
        assert (await conflict(call)).state == "completed"


@pytest.mark.parametrize("what", ["cancel", "pause", "resume"])
async def test_no_such_job(world: World, what: str) -> None:
    for ref in ("nothing", "77"):
        with pytest.raises(errors.NotFound):
            await getattr(world.store, what)(ref)


async def test_a_paused_job_keeps_its_place_in_line(world: World) -> None:
    first = await world.submit()
    second = await world.submit()
    agent = await world.agent()
    paused = await world.store.pause(first.id)
    assert (paused.job.state, paused.job.paused) == (JobState.PAUSED, True)
    assert (await world.store.pause(first.id)).job == paused.job
    assert [depth.count for depth in await world.store.depths()] == [1]
    third = await world.submit()
    resumed = await world.store.resume(first.id)
    assert (resumed.job.state, resumed.job.paused) == (JobState.QUEUED, False)
    assert len(resumed.ready_class_ids) == 1
    assert [grant.job_id for grant in await agent.lease(9)] == [first.id, second.id, third.id]


async def test_a_paused_job_is_not_leased(world: World) -> None:
    made = await world.submit()
    await world.store.pause(made.id)
    assert await (await world.agent()).lease() == []
    assert await world.task_states(made) == [TaskState.QUEUED]


async def test_a_running_job_shows_paused_and_goes_on_running(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    await agent.start(grant)
    assert (await world.store.pause(made.id)).job.state is JobState.PAUSED
    assert (await world.store.resume(made.id)).job.state is JobState.RUNNING
    await world.store.pause(made.id)
    assert (await agent.complete(grant.attempt_id)).job_state is JobState.COMPLETED


async def test_a_paused_job_that_waits_for_its_retry(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    await agent.fail((await agent.take()).attempt_id)
    await world.store.pause(made.id)
    assert (await world.store.promote(10)).count == 0
    assert (await world.store.resume(made.id)).job.state is JobState.RETRYING
    assert (await world.store.promote(10)).count == 1
    assert len(await agent.lease()) == 1


async def test_what_is_given_back_while_paused_waits_for_resume(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    await world.store.pause(made.id)
    ended = await agent.give_back(grant.attempt_id)
    assert (ended.job_state, ended.ready_class_ids) == (JobState.PAUSED, ())
    assert await agent.lease() == []
    await world.store.resume(made.id)
    assert len(await agent.lease()) == 1


async def test_a_paused_job_can_be_canceled(world: World) -> None:
    made = await world.submit()
    await world.store.pause(made.id)
    assert (await world.store.cancel(made.id)).job.state is JobState.CANCELED
    assert (await conflict(world.store.resume(made.id))).state == "canceled"


async def test_what_is_being_canceled_cannot_be_paused(world: World) -> None:
    made = await world.submit()
    await (await world.agent()).take()
    await world.store.cancel(made.id)
    assert (await conflict(world.store.pause(made.id))).code == "canceled"


async def test_jobs_that_no_node_can_run_are_rejected(world: World) -> None:
    impossible = await world.submit(factories.a_spec(requires=spec.Requires(encoder="none_such")))
    running = await world.submit()
    await (await world.agent()).take()  # takes the first: an agent that asks for all classes
    rejected = await world.store.reject([impossible.id, running.id, running.id, "nothing"], "No node has none_such.")
    assert rejected == [running.id]
    found = await world.store.get_job(running.id)
    assert found.state is JobState.REJECTED
    assert found.failure == errors.Failure(code=Code.UNSATISFIABLE, message="No node has none_such.")
    assert await world.task_states(running) == [TaskState.REJECTED]
    assert await world.store.reject([running.id], "again") == []
    assert await world.state(impossible) is JobState.ASSIGNED


async def test_waiting_names_the_jobs_of_a_class_that_wait(world: World) -> None:
    other = factories.a_spec(requires=spec.Requires(encoder="none_such"))
    jobs = [await world.submit(other) for _ in range(3)]
    await world.submit()
    classes = {one.requires.key(): one.id for one in await world.store.classes()}
    wanted = [classes[other.requires.key()]]
    assert await world.store.waiting(wanted, older_than_us=0, limit=10) == [made.id for made in jobs]
    assert len(await world.store.waiting(wanted, older_than_us=0, limit=2)) == 2
    assert await world.store.waiting(wanted, older_than_us=10**12, limit=10) == []
    assert await world.store.waiting([], older_than_us=0, limit=10) == []
