"""Each deliberate fault in the protocol is found, and each invariant finds one. `make mutants` tries them with seeds from 0 on."""

import contextlib
import os
from collections.abc import Iterator

import pytest
import structlog

from ffrtmp.testing.mutants.catalog import MUTANTS
from ffrtmp.testing.mutants.patches import Simulated
from ffrtmp.testing.mutation import __main__ as command
from ffrtmp.testing.mutation import hunt
from ffrtmp.testing.simulator import invariants, run

#: seeds after the known one, for when the simulation has changed
_MORE_SEEDS = 150


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    run.quiet()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_in_the_protocol_is_found(name: str) -> None:
    found_by = MUTANTS[name].found_by
    seeds = [found_by.seed, *range(_MORE_SEEDS)] if isinstance(found_by, Simulated) else []
    try:
        verdict = hunt.hunt(name, seeds, without=bool(seeds))
    except hunt.CannotRun as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
    assert verdict.found, verdict


def test_each_invariant_finds_one() -> None:
    found = {one.found_by.invariant for one in MUTANTS.values() if isinstance(one.found_by, Simulated)}
    known = {check.__name__ for check in (*invariants.ALWAYS, *invariants.AT_REST)}
    assert found == known | {"everything_ends"}


def test_what_is_not_there_is_found_by_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    harmless = MUTANTS["counters-half"]
    monkeypatch.setitem(
        MUTANTS, "harmless", type(harmless)(harmless.breaks, harmless.found_by, lambda _: contextlib.nullcontext())
    )
    verdict = hunt.hunt("harmless", range(2))
    assert not verdict.found
    assert verdict.runs == 2
    assert verdict.said == "nothing was wrong"
    told = command.section([verdict], "the command", "abc", 3.0)
    assert "survived: harmless" in told
    assert "| harmless | what leaves a state is not counted | nothing (`counted` was to) | 2 seeds |" in told
