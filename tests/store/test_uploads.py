import pytest

from ffrtmp.domain import errors, job, spec
from ffrtmp.domain.states import JobState
from ffrtmp.store.interface import Store
from ffrtmp.testing import factories
from ffrtmp.testing.world import World

LATER = 2**60


def of_upload(upload_id: str) -> spec.Spec:
    return factories.a_spec(input=spec.Input(kind=spec.InputKind.UPLOAD, upload_id=upload_id, name="clip.mp4"))


async def test_an_upload_begins_and_ends(store: Store) -> None:
    new = factories.an_upload()
    made = await store.create_upload(new)
    assert (made.id, made.name, made.size_bytes, made.complete) == (new.id, new.name, new.size_bytes, False)
    assert made.created_at > 0
    assert await store.create_upload(new) == made
    assert (await store.finish_upload(new.id)).complete
    assert (await store.get_upload(new.id)).complete
    for call in (store.get_upload("x"), store.finish_upload("x")):
        with pytest.raises(errors.NotFound):
            await call


async def test_a_job_needs_its_input_whole(world: World) -> None:
    upload = await world.store.create_upload(factories.an_upload())
    for missing in (upload.id, "nothing"):
        with pytest.raises(errors.InvalidInput) as raised:
            await world.submit(of_upload(missing))
        assert raised.value.faults[0].path == "parameters.input"
    await world.store.finish_upload(upload.id)
    assert (await world.submit(of_upload(upload.id))).state is JobState.QUEUED


async def test_a_measurement_needs_both_of_its_inputs_whole_and_keeps_them(world: World) -> None:
    first = await world.store.create_upload(factories.an_upload())
    second = await world.store.create_upload(factories.an_upload())
    await world.store.finish_upload(first.id)
    of = factories.a_measurement(
        input=spec.Input(kind=spec.InputKind.UPLOAD, upload_id=first.id),
        reference=spec.Input(kind=spec.InputKind.UPLOAD, upload_id=second.id),
    )
    with pytest.raises(errors.InvalidInput) as raised:
        await world.submit(of)
    assert raised.value.faults[0].path == "parameters.measure.reference"
    await world.store.finish_upload(second.id)
    made = await world.submit(of)
    assert await world.store.remove_uploads([first.id, second.id]) == []
    agent = await world.agent()
    [grant] = await agent.lease(request_id="one")
    assert (grant.job_id, grant.kind, grant.spec) == (made.id, job.TaskKind.MEASURE, of)
    assert await agent.lease(request_id="one") == [grant]


async def test_a_result_needs_its_outputs_whole(world: World) -> None:
    made = await world.submit()
    agent = await world.agent()
    grant = await agent.take()
    upload = await world.store.create_upload(factories.an_upload())
    result = factories.a_result(outputs=[factories.an_output(path=None, upload_id=upload.id)])
    with pytest.raises(errors.InvalidInput):
        await agent.complete(grant.attempt_id, result)
    assert await world.state(made) is JobState.ASSIGNED
    await world.store.finish_upload(upload.id)
    await agent.complete(grant.attempt_id, result)
    assert (await world.store.get_job(made.id)).result == result


async def test_retention_returns_uploads_that_no_job_names(world: World) -> None:
    inputs = await world.store.create_upload(factories.an_upload())
    output = await world.store.create_upload(factories.an_upload())
    await world.store.finish_upload(inputs.id)
    await world.store.finish_upload(output.id)
    one, two = await world.submit(of_upload(inputs.id)), await world.submit(of_upload(inputs.id))
    agent = await world.agent()
    first, second = await agent.lease(2)
    outputs: list[job.OutputFile] = [factories.an_output(upload_id=output.id)]
    await agent.complete(first.attempt_id, factories.a_result(outputs=outputs))
    expired = await world.store.expire(finished_before=LATER, limit=10)
    assert (expired.jobs, expired.upload_ids) == (1, [output.id])  # the input is the other job's too
    await agent.complete(second.attempt_id)
    expired = await world.store.expire(finished_before=LATER, limit=10)
    assert (expired.jobs, expired.upload_ids) == (1, [inputs.id])
    assert {first.job_id, second.job_id} == {one.id, two.id}
    with pytest.raises(errors.NotFound):
        await world.store.get_upload(inputs.id)


async def test_an_upload_that_no_job_came_for_goes(world: World) -> None:
    upload, named = [await world.store.create_upload(factories.an_upload()) for _ in range(2)]
    await world.store.finish_upload(named.id)
    assert await world.store.orphans(created_before=0, limit=10) == []
    assert await world.store.orphans(created_before=LATER, limit=10) == [upload.id, named.id]
    await world.submit(of_upload(named.id))  # between the two
    assert await world.store.remove_uploads([named.id, upload.id, "never there"]) == [upload.id]
    assert await world.store.orphans(created_before=LATER, limit=10) == []
    with pytest.raises(errors.NotFound):
        await world.store.get_upload(upload.id)


async def test_retention_leaves_uploads_that_a_job_may_still_come_for(world: World) -> None:
    upload = await world.store.create_upload(factories.an_upload())
    assert (await world.store.expire(finished_before=LATER, limit=10)).upload_ids == []
    assert await world.store.get_upload(upload.id) == upload
