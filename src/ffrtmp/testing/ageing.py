"""How long a task of a low rank waits behind a stream of a higher one that takes all there is: G8, on a clock moved by hand."""

import msgspec

from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.scheduling import order
from ffrtmp.testing.clocks import Clock
from ffrtmp.testing.world import World

#: the highest rank that the bound is for: `live` is outside it
_ABOVE = (Queue.DEFAULT, Priority.HIGH)


class Starved(msgspec.Struct, frozen=True):
    """What became of the job of the low rank."""

    waited_seconds: float
    overtaken: int  #: by so many jobs
    latest_seconds: float  #: of them, the one that became ready last did so this much later than it


def bound_seconds(queue: Queue, priority: Priority) -> float:
    """By how much later the work that overtakes this rank may have become ready."""
    return (order.head_start_us(*_ABOVE) - order.head_start_us(queue, priority)) / 1e6


async def starve(world: World, clock: Clock, queue: Queue, priority: Priority, *, step_seconds: float) -> Starved:
    """In each step a job of the highest rank comes, and one job is leased and completed: whoever is first. `clock` is the
    store's. Raises AssertionError when the job is still waiting at twice its bound."""
    agent = await world.agent()
    low = await world.submit(head_start_us=order.head_start_us(queue, priority), queue=queue, priority=priority)
    overtaken, latest, passed = 0, 0.0, 0.0
    while passed <= 2 * bound_seconds(queue, priority) + step_seconds:
        await world.submit(head_start_us=order.head_start_us(*_ABOVE), queue=_ABOVE[0], priority=_ABOVE[1])
        grant = await agent.take()
        await agent.complete(grant.attempt_id)
        if grant.job_id == low.id:
            return Starved(passed, overtaken, latest)
        overtaken, latest = overtaken + 1, passed
        passed += step_seconds
        clock.advance(seconds=step_seconds)
    raise AssertionError(f"a {queue.value}/{priority.value} job still waits after {passed:g} s")
