"""Group commit: what the callers may rely on."""

import asyncio
import operator
import weakref
from collections.abc import Awaitable, Callable

import pytest

from ffrtmp.domain import errors
from ffrtmp.store import interface
from ffrtmp.store.interface import Store
from ffrtmp.testing import factories
from ffrtmp.testing.world import World


async def test_many_calls_of_many_kinds_at_one_moment(world: World) -> None:
    agent = await world.agent()
    for _ in range(30):
        await world.submit()
    grants = await agent.lease(30)
    others = [await world.submit() for _ in range(30)]
    await asyncio.gather(
        *(agent.complete(grant.attempt_id) for grant in grants),
        *(world.store.cancel(made.id) for made in others),
        *(world.submit() for _ in range(30)),
        *(agent.beats() for _ in range(30)),
        world.store.promote(10),
        world.store.rescue(10),
    )
    assert len(await agent.lease(100)) == 30


async def test_beats_do_not_wait_behind_bulk_work(world: World) -> None:
    """Many large batches were there first: an agent's beat is answered after one of them at the most."""
    agent = await world.agent()
    await world.submit()
    grant = await agent.take()
    done: list[str] = []

    async def noted(what: str, call: Awaitable[object]) -> None:
        await call
        done.append(what)

    bulk = [
        asyncio.create_task(noted("bulk", world.store.submit_many([factories.a_job() for _ in range(100)])))
        for _ in range(8)
    ]
    await asyncio.sleep(0)
    await noted("beat", agent.beat(grant.attempt_id, started=True))
    await asyncio.gather(*bulk)
    assert done.index("beat") <= 2


async def test_a_call_that_nobody_waits_for_does_not_hurt_the_others(store: Store) -> None:
    calls = [asyncio.create_task(store.submit(factories.a_job())) for _ in range(50)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    for answer in answers[1::2]:
        assert isinstance(answer, interface.Submitted)
        assert (await store.get_job(answer.job.id)) == answer.job


async def test_closing_writes_what_was_queued(make_store: Callable[[], Store]) -> None:
    store = make_store()
    await store.open()
    calls = [asyncio.create_task(store.submit(factories.a_job())) for _ in range(300)]
    await asyncio.sleep(0)
    await store.close()
    made = [answer.job for answer in await asyncio.gather(*calls)]
    with pytest.raises(errors.Unavailable):
        await store.submit(factories.a_job())
    with pytest.raises(errors.Unavailable):
        await store.get_job("1")
    again = make_store()
    await again.open()
    for job in made:
        assert (await again.get_job(job.id)) == job
    await again.close()


async def test_a_bad_call_fails_alone(world: World) -> None:
    agent = await world.agent()
    await world.submit()
    await world.submit()
    [class_id] = [one.id for one in await world.store.classes()]

    call = interface.LeaseCall(
        node_id=agent.id,
        incarnation=agent.incarnation,
        request_id="r",
        slots=1,
        class_ids=(class_id,),
        attempt_ids=("a",),
    )
    answers = await asyncio.gather(
        world.submit(),
        world.store.lease(call, operator.truediv),
        agent.lease(2),
        world.submit(),
        return_exceptions=True,
    )
    assert isinstance(answers[1], TypeError)
    assert not any(isinstance(answers[index], BaseException) for index in (0, 2, 3))
    assert (await world.store.counts()).jobs
    with pytest.raises(errors.NotFound):
        await world.store.get_job("nothing")


async def test_a_refusal_leaves_nothing_in_memory(world: World) -> None:
    left = [await _refused(world) for _ in range(20)]
    # no garbage collection: a master that is asked wrong things all day must not depend on it
    assert [one() for one in left[:-1]] == [None] * 19


async def _refused(world: World) -> weakref.ref[errors.Conflict]:
    made = await world.submit()
    await world.store.cancel(made.id)
    try:
        await world.store.pause(made.id)
    except errors.Conflict as error:
        return weakref.ref(error)
    raise AssertionError("a canceled job was paused")
