"""Farms under faults, from seeds. `make simulate SEEDS=0-2999` runs more of them."""

import itertools
from collections.abc import Iterator

import pytest
import structlog

from ffrtmp.testing.simulator import plan
from ffrtmp.testing.simulator.__main__ import Outcome, quiet, simulate
from ffrtmp.testing.simulator.mutants import MUTANTS


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    quiet()
    yield
    structlog.configure(**before)


def _run(seed: int, *, jobs: int = 60, mutant: str = "") -> Outcome:
    return simulate(plan.from_seed(seed, jobs=jobs, mutant=mutant))


@pytest.mark.parametrize("first", range(0, 40, 5))
def test_whatever_happens_the_guarantees_hold(first: int) -> None:
    for seed in range(first, first + 5):
        assert _run(seed).violations == [], f"repeat it: python -m ffrtmp.testing.simulator --seeds {seed} --trace"


def test_a_seed_decides_everything() -> None:
    assert _run(7).lines == _run(7).lines


def test_there_are_faults_and_they_cost_attempts() -> None:
    outcomes = [_run(seed, jobs=30) for seed in range(5)]
    assert sum(outcome.faults for outcome in outcomes) > 20
    assert sum(outcome.attempts for outcome in outcomes) > 5 * 30


@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_in_the_protocol_is_found(name: str) -> None:
    found = itertools.chain.from_iterable(_run(seed, jobs=30, mutant=name).violations for seed in range(16))
    assert next(found, None) is not None
    assert _run(0, jobs=30).violations == []
