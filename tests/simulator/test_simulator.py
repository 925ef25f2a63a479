"""Farms under faults, from seeds. `make simulate SEEDS=0-2999` runs more of them."""

import asyncio
from collections.abc import Iterator

import pytest
import structlog

from ffrtmp.testing.simulator import plan, run
from ffrtmp.testing.simulator.run import Outcome, quiet, simulate
from ffrtmp.testing.simulator.world import World


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    quiet()
    yield
    structlog.configure(**before)


def _run(seed: int, *, jobs: int = 60, tell: bool = False) -> Outcome:
    return simulate(plan.from_seed(seed, jobs=jobs), tell=tell)


@pytest.mark.parametrize("first", range(0, 40, 5))
def test_whatever_happens_the_guarantees_hold(first: int) -> None:
    for seed in range(first, first + 5):
        assert _run(seed).violations == [], f"repeat it: python -m ffrtmp.testing.simulator --seeds {seed} --trace"


def test_some_farms_are_calm() -> None:
    """What must hold without faults is asked of runs that have none."""
    calm = [seed for seed in range(100) if not plan.from_seed(seed, jobs=60).faults]
    assert len(calm) == 2
    for seed in calm:
        outcome = _run(seed)
        assert outcome.violations == []
        assert (outcome.faults, outcome.attempts) == (0, 60)


def test_what_goes_first_may_fill_an_idle_farm_before_a_poll_finds_what_came_before_it() -> None:
    outcome = _run(8749, jobs=20)
    assert (outcome.violations, outcome.faults) == ([], 0)


def test_a_seed_decides_everything() -> None:
    told = _run(7, tell=True).told
    assert told == _run(7, tell=True).told
    assert any("fault: " in line for line in told)
    assert any("job 1: job.submitted (to queued" in line for line in told)


def test_there_are_faults_and_they_cost_attempts() -> None:
    outcomes = [_run(seed, jobs=30) for seed in range(5)]
    assert sum(outcome.faults for outcome in outcomes) > 20
    assert sum(outcome.attempts for outcome in outcomes) > 5 * 30


def test_what_is_left_of_a_run_may_still_use_its_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that was due as the run ended found the database closed, and the seed counted as failed."""
    committed: list[object] = []

    async def over(world: World) -> list[str]:
        asyncio.get_running_loop().call_soon(lambda: committed.extend(world.database.rows("SELECT 1")))
        return []

    monkeypatch.setattr(run, "_verdict", over)
    assert _run(1).violations == []
    assert committed == [(1,)]
