import asyncio

import msgspec
import pytest

from ffrtmp.domain import errors, job, spec
from ffrtmp.domain.states import JobState, TaskState
from ffrtmp.store import interface
from ffrtmp.store.interface import Store
from ffrtmp.testing import factories
from ffrtmp.testing.world import World


async def test_what_was_submitted_is_what_is_read(store: Store) -> None:
    new = factories.a_job(
        tags={"team": "sports", "häß": "✓"},
        queue=spec.Queue.LIVE,
        priority=spec.Priority.HIGH,
        engine=spec.Engine.FFMPEG,
        retry_of="older",
        max_retries=7,
    )
    submitted = await store.submit(new)
    assert submitted.created
    found = await store.get_job(new.id)
    assert found == submitted.job
    assert bytes(found.parameters) == new.parameters
    assert bytes(found.spec) == new.spec
    assert (found.state, found.tags, found.retry_of, found.max_retries) == (JobState.QUEUED, new.tags, "older", 7)
    [task] = await store.tasks(new.id)
    assert (task.id, task.job_id, task.state) == (new.tasks[0].id, new.id, TaskState.QUEUED)


async def test_a_job_is_found_by_its_number_too(world: World) -> None:
    first, second = await world.submit(), await world.submit()
    assert second.sequence_number > first.sequence_number
    assert (await world.store.get_job(str(second.sequence_number))).id == second.id


@pytest.mark.parametrize("ref", ["nothing", "999999", "3abc", "", "-1", "٣", "9" * 30, "1.0"])
async def test_no_such_job(world: World, ref: str) -> None:
    await world.submit()
    with pytest.raises(errors.NotFound):
        await world.store.get_job(ref)


async def test_the_same_key_and_body_are_the_same_job(store: Store) -> None:
    first = await store.submit(factories.a_job(idempotency_key="k1", body_sha256="b1"))
    again = await store.submit(factories.a_job(idempotency_key="k1", body_sha256="b1"))
    assert (first.created, again.created) == (True, False)
    assert again.job == first.job
    other = await store.submit(factories.a_job(idempotency_key="k2", body_sha256="b1"))
    assert other.created


async def test_the_same_key_with_another_body_is_refused(store: Store) -> None:
    await store.submit(factories.a_job(idempotency_key="k1", body_sha256="b1"))
    with pytest.raises(errors.IdempotencyMismatch):
        await store.submit(factories.a_job(idempotency_key="k1", body_sha256="b2"))


async def test_equal_keys_at_the_same_moment_make_one_job(store: Store) -> None:
    calls = [store.submit(factories.a_job(idempotency_key="k", body_sha256="b")) for _ in range(20)]
    calls += [store.submit(factories.a_job(idempotency_key="k", body_sha256="other")) for _ in range(5)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    made = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len({answer.job.id for answer in made}) == 1
    assert sum(answer.created for answer in made) == 1
    assert [type(answer) for answer in answers if isinstance(answer, BaseException)] == (
        [errors.IdempotencyMismatch] * (25 - len(made))
    )
    assert len(made) in (5, 20)


async def test_the_same_key_answers_with_the_job_as_it_is_now(world: World) -> None:
    new = factories.a_job(idempotency_key="k", body_sha256="b")
    made = (await world.store.submit(new)).job
    await world.store.cancel(made.id)
    again = await world.store.submit(factories.a_job(idempotency_key="k", body_sha256="b"))
    assert (again.created, again.job.state) == (False, JobState.CANCELED)


async def test_equal_requirements_are_one_class(world: World) -> None:
    plain = factories.a_spec()
    other = factories.a_spec(requires=spec.Requires(codec=spec.Codec.AV1, labels={"gpu": "yes"}))
    await asyncio.gather(*(world.submit(one) for one in [plain, other] * 5))
    classes = await world.store.classes()
    assert {one.requires.key() for one in classes} == {plain.requires.key(), other.requires.key()}
    assert len(classes) == 2


async def test_a_task_may_have_a_payload_of_its_own(world: World) -> None:
    of, own = factories.a_spec(), factories.a_spec(duration=9.0)
    made = await world.submit(of, tasks=(factories.a_task(of), factories.a_task(of, payload=msgspec.json.encode(own))))
    agent = await world.agent()
    grants = await agent.lease(2)
    assert sorted(grant.spec.duration or 0 for grant in grants) == [2.0, 9.0]
    assert {grant.job_id for grant in grants} == {made.id}


async def test_one_bad_submission_does_not_fail_its_neighbours(store: Store) -> None:
    taken = (await store.submit(factories.a_job())).job.id
    good = [factories.a_job() for _ in range(10)]
    calls = [store.submit(new) for new in (*good[:5], factories.a_job(id=taken), *good[5:])]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers.pop(5), errors.Conflict)
    assert [answer.job.id for answer in answers if not isinstance(answer, BaseException)] == [new.id for new in good]


async def test_tags_have_no_nul(store: Store) -> None:
    with pytest.raises(errors.InvalidInput):
        await store.submit(factories.a_job(tags={"a": "b\0c"}))


async def test_submission_is_in_the_history(world: World) -> None:
    made = await world.submit()
    [event] = await world.store.events(after=0, limit=10, job_id=made.id)
    assert (event.kind, event.job_id, event.at) == (job.EventKind.JOB_SUBMITTED, made.id, made.created_at)


async def test_a_batch_is_taken_whole(world: World) -> None:
    new = [factories.a_job(idempotency_key=f"k#{index}", body_sha256="b") for index in range(3)]
    made = await world.store.submit_many(new)
    assert [(one.job.id, one.created) for one in made] == [(one.id, True) for one in new]
    again = await world.store.submit_many(
        [factories.a_job(idempotency_key=f"k#{index}", body_sha256="b") for index in range(3)]
    )
    assert [(one.job.id, one.created) for one in again] == [(one.id, False) for one in new]
    agent = await world.agent()
    assert {grant.job_id for grant in await agent.lease(9)} == {one.id for one in new}


async def test_a_batch_with_a_wrong_job_leaves_nothing(world: World) -> None:
    missing = factories.a_spec(input=spec.Input(kind=spec.InputKind.UPLOAD, upload_id="none"))
    with pytest.raises(errors.InvalidInput) as raised:
        await world.store.submit_many([factories.a_job(), factories.a_job(missing), factories.a_job()])
    assert [fault.path for fault in raised.value.faults] == ["jobs.1.parameters.input"]
    await world.submit(idempotency_key="k#1", body_sha256="b")
    keyed = [factories.a_job(idempotency_key=f"k#{index}", body_sha256="other") for index in range(3)]
    with pytest.raises(errors.IdempotencyMismatch):
        await world.store.submit_many(keyed)
    taken = (await world.submit()).id
    with pytest.raises(errors.Conflict):
        await world.store.submit_many([factories.a_job(), factories.a_job(id=taken)])
    page = await world.store.list_jobs(interface.JobFilter(), before=None, limit=10)
    assert len(page.jobs) == 2
    assert (await world.store.counts()).jobs == {(JobState.QUEUED, spec.Queue.DEFAULT, spec.Engine.AUTO): 2}


async def test_a_batch_with_two_bodies_under_one_key_leaves_nothing(world: World) -> None:
    batch = [factories.a_job(idempotency_key="k", body_sha256=body) for body in ("a", "b")]
    with pytest.raises(errors.IdempotencyMismatch):
        await world.store.submit_many(batch)
    assert (await world.store.counts()).jobs == {}
    again = [factories.a_job(idempotency_key="k", body_sha256="a") for _ in range(2)]
    answers = await world.store.submit_many(again)
    assert [answer.created for answer in answers] == [True, False]
    assert answers[0].job.id == answers[1].job.id
