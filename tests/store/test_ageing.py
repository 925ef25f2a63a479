"""G8: no ready job waits for ever behind higher priorities. How long, in steps on a clock that is moved by hand."""

from pathlib import Path

import pytest

from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.scheduling import order
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.testing import ageing
from ffrtmp.testing.clocks import Clock
from ffrtmp.testing.world import World

_STEP_SECONDS = 600.0
_BELOW = [
    (queue, priority)
    for queue in (Queue.DEFAULT, Queue.BATCH)
    for priority in Priority
    if (queue, priority) != (Queue.DEFAULT, Priority.HIGH)
]


@pytest.mark.parametrize(("queue", "priority"), _BELOW)
async def test_a_low_rank_is_overtaken_until_its_bound_and_no_longer(
    queue: Queue, priority: Priority, tmp_path: Path
) -> None:
    clock = Clock()
    store = SqliteStore(tmp_path / "queue.db", clock=clock.read)
    await store.open()
    try:
        found = await ageing.starve(World(store), clock, queue, priority, step_seconds=_STEP_SECONDS)
    finally:
        await store.close()
    bound = ageing.bound_seconds(queue, priority)
    assert 0 < bound <= order.STARVATION_BOUND_US / 1e6
    # a job that comes at the very bound has the same key, and comes after
    assert found == ageing.Starved(bound, round(bound / _STEP_SECONDS), bound - _STEP_SECONDS)
