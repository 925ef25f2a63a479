"""The bound on waiting (G8): how long each rank waits behind a stream of the highest that takes all there is, in simulated time."""

import tempfile
from pathlib import Path

from bench import report
from ffrtmp.domain import units
from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.testing import ageing
from ffrtmp.testing.clocks import Clock
from ffrtmp.testing.world import World


async def run(*, quick: bool = False) -> str:
    step_seconds = 900.0 if quick else 60.0
    rows = []
    for queue in (Queue.DEFAULT, Queue.BATCH):
        for priority in Priority:
            bound = ageing.bound_seconds(queue, priority)
            if bound == 0:
                continue
            with tempfile.TemporaryDirectory() as place:
                clock = Clock()
                store = SqliteStore(Path(place) / "queue.db", clock=clock.read)
                await store.open()
                found = await ageing.starve(World(store), clock, queue, priority, step_seconds=step_seconds)
                await store.close()
            times = (units.human_seconds(seconds) for seconds in (bound, found.latest_seconds, found.waited_seconds))
            rows.append([queue.value, priority.value, *times, found.overtaken])
    head = [
        "queue",
        "priority",
        "bound",
        "last overtaken by work that came later by",
        "leased after",
        "jobs that overtook it",
    ]
    return report.table(head, rows)
