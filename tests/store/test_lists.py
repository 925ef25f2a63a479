"""Pages, filters, and the tail of the history."""

import asyncio
from typing import Any

import pytest

from ffrtmp.domain import errors, spec
from ffrtmp.domain.errors import Code
from ffrtmp.domain.states import JobState
from ffrtmp.store.interface import JobFilter
from ffrtmp.testing.world import World


async def every(world: World, which: JobFilter, *, limit: int) -> list[str]:
    found: list[str] = []
    before = None
    while True:
        page = await world.store.list_jobs(which, before=before, limit=limit)
        assert len(page.jobs) <= limit
        found += [made.id for made in page.jobs]
        if page.next_cursor is None:
            return found
        before = page.next_cursor


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_pages_are_newest_first_and_whole(world: World, limit: int) -> None:
    jobs = [await world.submit() for _ in range(7)]
    assert await every(world, JobFilter(), limit=limit) == [made.id for made in reversed(jobs)]


async def test_new_jobs_do_not_disturb_a_walk(world: World) -> None:
    jobs = [await world.submit() for _ in range(4)]
    first = await world.store.list_jobs(JobFilter(), before=None, limit=2)
    await world.submit()
    second = await world.store.list_jobs(JobFilter(), before=first.next_cursor, limit=2)
    assert [made.id for made in first.jobs + second.jobs] == [made.id for made in reversed(jobs)]


async def test_filters(world: World) -> None:
    live = await world.submit(queue=spec.Queue.LIVE, tags={"team": "news", "show": "a"})
    high = await world.submit(priority=spec.Priority.HIGH, tags={"team": "news", "show": "b"})
    gst = await world.submit(engine=spec.Engine.GSTREAMER, tags={"team": "sports"})
    tall = await world.submit(scenario="1080p30-h264")
    plain = await world.submit()
    await world.store.cancel(tall.id)
    agent = await world.agent("encoder-1")
    [grant] = await agent.lease()
    assert grant.job_id == live.id
    cases: list[tuple[dict[str, Any], list[Any]]] = [
        ({"queue": spec.Queue.LIVE}, [live]),
        ({"priority": spec.Priority.HIGH}, [high]),
        ({"engine": spec.Engine.GSTREAMER}, [gst]),
        ({"scenario": "1080p30-h264"}, [tall]),
        ({"node": agent.id}, [live]),
        ({"node": "encoder-1"}, [live]),
        ({"states": (JobState.CANCELED,)}, [tall]),
        ({"states": (JobState.ASSIGNED, JobState.CANCELED)}, [tall, live]),
        ({"states": (JobState.QUEUED, JobState.QUEUED)}, [plain, gst, high]),
        ({"tags": {"team": "news"}}, [high, live]),
        ({"tags": {"team": "news", "show": "b"}}, [high]),
        ({"tags": {"team": "news"}, "states": (JobState.QUEUED, JobState.ASSIGNED)}, [high, live]),
        ({"tags": {"team": "news"}, "queue": spec.Queue.DEFAULT}, [high]),
        ({"tags": {"team": "nobody"}}, []),
    ]
    for fields, expected in cases:
        for limit in (1, 10):
            found = await every(world, JobFilter(**fields), limit=limit)
            assert found == [made.id for made in expected], fields
    with pytest.raises(errors.NotFound, match="There is no node nobody"):
        await every(world, JobFilter(node="nobody"), limit=1)


async def test_the_jobs_of_a_node_that_was_removed(world: World) -> None:
    """By its id, and by its name until another has that."""
    made = await world.submit()
    agent = await world.agent("n")
    await agent.fail((await agent.take()).attempt_id, Code.INPUT_INVALID)
    await agent.beats(drain=True)
    await world.store.remove_node("n")
    for node in ("n", agent.id):
        assert await every(world, JobFilter(node=node), limit=1) == [made.id]
    await world.agent("n")
    assert await every(world, JobFilter(node="n"), limit=1) == []
    assert await every(world, JobFilter(node=agent.id), limit=1) == [made.id]


async def test_events_are_a_stream_that_can_be_resumed(world: World) -> None:
    start = await world.store.last_event()
    await asyncio.gather(*(world.submit() for _ in range(20)))
    whole = await world.store.events(after=start, limit=100)
    assert len(whole) == 20
    assert await world.store.last_event() == whole[-1].seq
    pieces = []
    after = start
    while found := await world.store.events(after=after, limit=3):
        pieces += found
        after = found[-1].seq
    assert pieces == whole
    assert await world.store.events(after=whole[-1].seq, limit=10) == []


async def test_events_of_one_job(world: World) -> None:
    one, two = await world.submit(), await world.submit()
    await world.store.cancel(one.id)
    found = await world.store.events(after=0, limit=100, job_id=one.id)
    assert {event.job_id for event in found} == {one.id}
    assert await world.store.events(after=found[0].seq, limit=100, job_id=one.id) == found[1:]
    assert len(await world.store.events(after=0, limit=100, job_id=two.id)) == 1
    assert await world.store.events(after=0, limit=100, job_id=one.id, node_id="x") == []
    assert await world.store.last_events(one.id, limit=100) == found
    assert await world.store.last_events(one.id, limit=2) == found[-2:]
