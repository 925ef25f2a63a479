"""Publish, complete, fail, give back, log: who may, when, and what becomes of the job."""

import asyncio

import pytest

from ffrtmp.domain import errors, job, spec
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import AttemptState, JobState, TaskState
from ffrtmp.testing import factories
from ffrtmp.testing.world import Agent, World, conflict


async def running(world: World, **fields: object) -> tuple[job.Job, Agent, str]:
    made = await world.submit(**fields)
    agent = await world.agent()
    grant = await agent.take()
    await agent.start(grant)
    return made, agent, grant.attempt_id


async def test_the_whole_way(world: World) -> None:
    made, agent, attempt = await running(world)
    published = await agent.publish(attempt)
    assert (published.attempt_state, published.job_state) == (AttemptState.PUBLISHING, JobState.RUNNING)
    result = factories.a_result()
    done = await agent.complete(attempt, result)
    assert (done.attempt_state, done.job_state, done.replay) == (AttemptState.DONE, JobState.COMPLETED, False)
    found = await world.store.get_job(made.id)
    assert (found.state, found.result, found.failure) == (JobState.COMPLETED, result, None)
    assert found.finished_at is not None
    assert found.started_at is not None
    [tried] = await world.store.attempts(made.id)
    assert (tried.state, tried.result, tried.number) == (AttemptState.DONE, result, 1)
    assert await world.kinds(made) == [
        EventKind.JOB_SUBMITTED,
        EventKind.ATTEMPT_ASSIGNED,
        EventKind.JOB_STATE,
        EventKind.ATTEMPT_STARTED,
        EventKind.JOB_STATE,
        EventKind.ATTEMPT_PUBLISHING,
        EventKind.ATTEMPT_ENDED,
        EventKind.JOB_STATE,
    ]
    counts = await world.store.counts()
    assert counts.completed_by_engine == {spec.Engine.FFMPEG: 1}
    assert counts.jobs == {(JobState.COMPLETED, spec.Queue.DEFAULT, spec.Engine.AUTO): 1}


async def test_complete_straight_after_the_lease(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    await agent.complete(grant.attempt_id)
    found = await world.store.get_job(made.id)
    assert (found.state, found.started_at) == (JobState.COMPLETED, found.finished_at)


async def test_replays_answer_the_same(world: World) -> None:
    _, agent, attempt = await running(world)
    await agent.publish(attempt)
    assert (await agent.publish(attempt)).replay
    first, second = await asyncio.gather(agent.complete(attempt), agent.complete(attempt))
    third = await agent.complete(attempt)
    assert sorted([first.replay, second.replay]) == [False, True]
    assert third.replay
    assert {(one.attempt_state, one.job_state) for one in (first, second, third)} == {
        (AttemptState.DONE, JobState.COMPLETED)
    }


async def test_a_failed_attempt_fails_again_the_same(world: World) -> None:
    _, agent, attempt = await running(world, max_retries=0)
    first = await agent.fail(attempt, Code.INPUT_INVALID)
    again = await agent.fail(attempt, Code.INPUT_INVALID)
    assert (first.attempt_state, first.job_state, first.replay) == (AttemptState.FAILED, JobState.FAILED, False)
    assert (again.attempt_state, again.job_state, again.replay) == (AttemptState.FAILED, JobState.FAILED, True)


async def test_what_is_over_cannot_end_otherwise(world: World) -> None:
    made, agent, attempt = await running(world)
    await agent.complete(attempt)
    for call in (agent.fail(attempt), agent.give_back(attempt), agent.publish(attempt)):
        found = await conflict(call)
        assert (found.state, found.code) == ("done", "stale_attempt")
    assert await world.state(made) is JobState.COMPLETED


async def test_only_its_node_reports(world: World) -> None:
    made, agent, attempt = await running(world)
    stranger = await world.agent()
    before = agent.incarnation
    for call in (
        stranger.complete(attempt),
        stranger.fail(attempt),
        stranger.publish(attempt),
        stranger.give_back(attempt),
    ):
        assert (await conflict(call)).state == "running"
    agent.incarnation = "an earlier life"
    assert (await conflict(agent.complete(attempt))).state == "running"
    agent.incarnation = before
    await agent.complete(attempt)
    assert await world.state(made) is JobState.COMPLETED


async def test_an_unknown_attempt(world: World) -> None:
    agent = await world.agent()
    for call in (agent.complete("x"), agent.fail("x"), agent.publish("x"), agent.give_back("x")):
        with pytest.raises(errors.NotFound):
            await call


async def test_nothing_of_a_canceled_job_is_published(world: World) -> None:
    made, agent, attempt = await running(world)
    await world.store.cancel(made.id)
    assert (await conflict(agent.publish(attempt))).code == "canceled"
    assert (await conflict(agent.complete(attempt))).code == "canceled"
    ended = await agent.fail(attempt, Code.CANCELED)
    assert (ended.attempt_state, ended.job_state) == (AttemptState.CANCELED, JobState.CANCELED)
    assert (await conflict(agent.complete(attempt))).code == "canceled"
    assert (await world.store.counts()).failures == {}


async def test_what_publishes_is_past_being_canceled(world: World) -> None:
    made, agent, attempt = await running(world)
    await agent.publish(attempt)
    assert (await conflict(world.store.cancel(made.id))).code == "publishing"
    assert (await agent.complete(attempt)).job_state is JobState.COMPLETED


async def test_any_failure_of_a_canceled_job_ends_it_as_canceled(world: World) -> None:
    made, agent, attempt = await running(world)
    await world.store.cancel(made.id)
    ended = await agent.fail(attempt, Code.ENGINE_CRASHED)
    assert (ended.attempt_state, ended.job_state) == (AttemptState.CANCELED, JobState.CANCELED)
    assert await world.task_states(made) == [TaskState.CANCELED]


async def test_a_transient_failure_is_tried_again(world: World) -> None:
    made, agent, attempt = await running(world)
    ended = await agent.fail(attempt, Code.STALLED)
    assert (ended.attempt_state, ended.job_state, ended.retry) == (AttemptState.FAILED, JobState.RETRYING, 1)
    assert ended.run_at is not None
    assert await agent.lease() == []
    promoted = await world.store.promote(10)
    assert (promoted.count, len(promoted.ready_class_ids), promoted.next_due_us) == (1, 1, None)
    assert await world.state(made) is JobState.QUEUED
    grant = await agent.take()
    assert (grant.number, grant.job_id) == (2, made.id)
    await agent.complete(grant.attempt_id)
    found = await world.store.get_job(made.id)
    assert (found.state, found.retry_count) == (JobState.COMPLETED, 1)
    assert [one.state for one in await world.store.attempts(made.id)] == [AttemptState.FAILED, AttemptState.DONE]
    counts = await world.store.counts()
    assert (counts.retries, counts.failures) == (1, {Code.STALLED: 1})


async def test_retries_run_out(world: World) -> None:
    made, agent, attempt = await running(world, max_retries=2)
    for _ in range(2):
        await agent.fail(attempt, Code.TRANSFER_FAILED)
        await world.store.promote(10)
        attempt = (await agent.take()).attempt_id
    ended = await agent.fail(attempt, Code.TRANSFER_FAILED)
    assert (ended.job_state, ended.retry, ended.max_retries) == (JobState.FAILED, 2, 2)
    found = await world.store.get_job(made.id)
    assert found.failure is not None
    assert found.failure.code is Code.TRANSFER_FAILED


async def test_a_permanent_failure_is_final(world: World) -> None:
    made, agent, attempt = await running(world)
    verdict = factories.a_result(verdict=job.Verdict(level="standard", passed=False, problems=["short"]))
    await agent.fail(attempt, Code.INPUT_INVALID, result=verdict)
    found = await world.store.get_job(made.id)
    assert (found.state, found.retry_count, found.result) == (JobState.FAILED, 0, verdict)
    assert found.failure == errors.Failure(code=Code.INPUT_INVALID, message="it is input_invalid")


async def test_running_out_of_time_has_its_own_state(world: World) -> None:
    made, agent, attempt = await running(world)
    ended = await agent.fail(attempt, Code.TIMED_OUT)
    assert (ended.attempt_state, ended.job_state) == (AttemptState.TIMED_OUT, JobState.TIMED_OUT)
    assert await world.task_states(made) == [TaskState.TIMED_OUT]


async def test_a_job_that_kills_its_engine_three_times_is_poison(world: World) -> None:
    made, agent, attempt = await running(world, max_retries=99)
    for _ in range(2):
        assert (await agent.fail(attempt, Code.ENGINE_CRASHED)).job_state is JobState.RETRYING
        await world.store.promote(10)
        attempt = (await agent.take()).attempt_id
    assert (await agent.fail(attempt, Code.ENGINE_CRASHED)).job_state is JobState.FAILED
    found = await world.store.get_job(made.id)
    assert found.failure is not None
    assert found.failure.code is Code.POISON
    assert "engine_crashed" in found.failure.message


async def test_giving_back_costs_nothing(world: World) -> None:
    made, agent, attempt = await running(world)
    behind = await world.submit()
    ended = await agent.give_back(attempt)
    assert (ended.attempt_state, ended.job_state, ended.retry) == (AttemptState.RETURNED, JobState.QUEUED, 0)
    assert ended.ready_class_ids == tuple(one.id for one in await world.store.classes())
    assert (await agent.give_back(attempt)).replay
    [task] = await world.store.tasks(made.id)
    assert (task.failures, task.crashes) == (0, 0)
    assert [grant.job_id for grant in await agent.lease(2)] == [made.id, behind.id]  # its old place in line


async def test_what_publishes_cannot_be_given_back(world: World) -> None:
    _, agent, attempt = await running(world)
    await agent.publish(attempt)
    assert (await conflict(agent.give_back(attempt))).code == "publishing"


async def test_what_publishes_is_given_back_at_its_fence_and_its_successor_knows_the_file(world: World) -> None:
    made, agent, attempt = await running(world)
    await agent.publish(attempt, factories.an_output("clip.mp4"))
    ended = await agent.give_back(attempt, fenced=True)
    assert (ended.attempt_state, ended.job_state, ended.retry) == (AttemptState.RETURNED, JobState.QUEUED, 0)
    assert [output.name for output in (await agent.take()).prior_publications] == ["clip.mp4"]
    assert await world.state(made) is JobState.ASSIGNED


async def test_giving_back_a_canceled_job_ends_it(world: World) -> None:
    made, agent, attempt = await running(world)
    await world.store.cancel(made.id)
    assert (await agent.give_back(attempt)).job_state is JobState.CANCELED
    assert await world.state(made) is JobState.CANCELED


async def test_the_next_attempt_knows_what_was_about_to_be_published(world: World) -> None:
    _, agent, attempt = await running(world)
    output = factories.an_output("a.mp4")
    await agent.publish(attempt, output)
    await agent.fail(attempt, Code.TRANSFER_FAILED)
    await world.store.promote(10)
    [grant] = await agent.lease(request_id="r")
    assert grant.prior_publications == [output]
    assert await agent.lease(request_id="r") == [grant]


async def test_logs_are_kept_with_their_attempts(world: World) -> None:
    made, agent, attempt = await running(world)
    assert await world.store.logs(made.id) == []
    await world.store.put_log(attempt, agent.id, "first")
    await asyncio.gather(*(world.store.put_log(attempt, agent.id, f"line\0 {n}") for n in range(3)))
    [(found, text)] = await world.store.logs(made.id)
    assert (found.id, text) == (attempt, "line␀ 2")
    await agent.complete(attempt)
    await world.store.put_log(attempt, agent.id, "last")
    assert [text for _, text in await world.store.logs(made.id)] == ["last"]
    with pytest.raises(errors.NotFound):
        await world.store.put_log("x", agent.id, "?")
    await conflict(world.store.put_log(attempt, "somebody else", "?"))


async def test_a_report_and_a_cancel_at_the_same_moment_have_one_winner(world: World) -> None:
    for _ in range(10):
        made, agent, attempt = await running(world)
        done, canceled = await asyncio.gather(
            agent.complete(attempt), world.store.cancel(made.id), return_exceptions=True
        )
        assert isinstance(done, errors.Conflict) != isinstance(canceled, errors.Conflict)
        expected = JobState.RUNNING if isinstance(done, errors.Conflict) else JobState.COMPLETED
        assert await world.state(made) is expected
        if isinstance(done, errors.Conflict):
            await agent.fail(attempt, Code.CANCELED)
