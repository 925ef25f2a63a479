"""G8, measured: how long work of the lowest rank waits behind an endless stream of the highest."""

from pathlib import Path

from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.scheduling import assign, order
from ffrtmp.store import interface
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.testing import factories
from ffrtmp.testing.clocks import Clock
from ffrtmp.testing.world import World

_MINUTE_US = 60_000_000


async def test_the_lowest_rank_is_served_within_the_bound(tmp_path: Path) -> None:
    """Each minute there is one slot, and one more job of the highest rank (`live` apart) that wants it."""
    clock = Clock()
    start = clock()
    store = SqliteStore(tmp_path / "queue.db", clock_us=clock)
    await store.open()
    world = World(store)

    async def submit(queue: Queue, priority: Priority) -> str:
        head_start = order.head_start_us(queue, priority)
        return (await world.submit(queue=queue, priority=priority, head_start_us=head_start)).id

    agent = await world.agent()
    low = await submit(Queue.BATCH, Priority.LOW)
    served = ""
    while served != low:
        await submit(Queue.DEFAULT, Priority.HIGH)
        [known] = await store.classes()
        call = interface.LeaseCall(
            node_id=agent.id,
            incarnation=agent.incarnation,
            request_id=factories.new_id(),
            slots=1,
            class_ids=(known.id,),
            attempt_ids=(factories.new_id(),),
        )
        [grant] = await store.lease(call, assign.choose)
        served = grant.job_id
        await agent.complete(grant.attempt_id)
        clock.advance(seconds=60)
    waited = clock() - start
    assert order.STARVATION_BOUND_US <= waited <= order.STARVATION_BOUND_US + 2 * _MINUTE_US
    await store.close()
