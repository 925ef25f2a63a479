"""A sweep is stopped where it does something: most of them find nothing, and to be killed in one of those proves nothing."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ffrtmp.store import calls, postgres_writer, sqlite_process
from ffrtmp.store.ops import batch as batches
from ffrtmp.store.sqlite_process import Batch
from ffrtmp.testing import launcher
from ffrtmp.testing.simulator.store import Database, Store
from ffrtmp.testing.world import World

_HOUR_US = 3600 * 1_000_000


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What each transaction is found to be the beginning of."""
    found: list[list[str]] = []

    class Noting(launcher.Points):
        def reach(self, stage: str, calls: Sequence[Any], answers: Sequence[Any] | None = None) -> None:
            if stage == "begin":
                found.append([type(call).__name__ for call in calls])

    for owner, name in (
        (batches, "run"),
        (sqlite_process.Transactions, "_transaction"),
        (postgres_writer._Lane, "_transaction"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # as it was, at the end
    launcher._at_each_stage(Noting(tmp_path))
    return found


async def test_a_sweep_begins_where_it_finds_something(begun: list[list[str]]) -> None:
    database = Database(random.Random(1))
    world = World(Store(database, lambda: 0.0, lambda: 0.0))
    agent = await world.agent()
    await world.submit()
    await agent.take()
    now = database.now_us()
    begun.clear()
    # the lease ends within the first hour, and its retry waits for some seconds of the second
    for hours, sweep in ((0, calls.Rescue(9)), (1, calls.Rescue(9)), (1, calls.Promote(9)), (2, calls.Promote(9))):
        database.transactions.run(Batch(now + hours * _HOUR_US, [sweep]))
    database.close()
    assert begun == [[], ["Rescue"], [], ["Promote"]]
