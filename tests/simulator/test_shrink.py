"""A run that fails is made smaller, and a command repeats it."""

import argparse
from collections.abc import Iterator, Sequence

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.testing.simulator import __main__ as command
from ffrtmp.testing.simulator import options, plan, run, shrink


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    run.quiet()
    yield
    structlog.configure(**before)


def _parsed(words: Sequence[str]) -> plan.Plan:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=options.seeds)
    options.add(parser)
    asked = parser.parse_args(words)
    return options.chosen(asked, asked.seeds[0])


def test_little_is_left_of_a_failing_run() -> None:
    whole = plan.from_seed(0, jobs=60, mutant="publish-unasked")
    whole = next(
        msgspec.structs.replace(whole, seed=seed)
        for seed in range(20)
        if run.simulate(msgspec.structs.replace(whole, seed=seed)).violations
    )
    violation = run.simulate(whole).violations[0]
    small = shrink.shrink(whole, violation)
    assert small.violation.partition(":")[0] == violation.partition(":")[0]
    assert small.plan.jobs <= 8
    assert len(small.plan.faults) <= 3
    assert small.strikes <= 3
    again = run.simulate(_parsed(options.arguments(small.plan)))
    assert small.violation in again.violations
    assert len(again.notes) < 20


def test_what_does_not_fail_is_not_made_smaller() -> None:
    with pytest.raises(ValueError, match="seed 0 does not fail again with fenced: so"):
        shrink.shrink(plan.from_seed(0, jobs=5), "fenced: so")


def test_the_runs_are_limited() -> None:
    whole = plan.from_seed(0, jobs=10, mutant="counters-half")
    assert shrink.shrink(whole, run.simulate(whole).violations[0], most_runs=3).runs == 3


@given(st.sets(st.integers(1, 200), max_size=5))
def test_only_what_it_takes_is_left(needed: set[int]) -> None:
    assert set(shrink.minimal(range(1, 201), lambda kept: needed <= set(kept))) == needed


@given(st.frozensets(st.integers(0, 60)))
def test_numbers_are_written_short_and_read_again(numbers: frozenset[int]) -> None:
    made = msgspec.structs.replace(plan.from_seed(3, jobs=60), happening=numbers or frozenset({0}))
    assert _parsed(options.arguments(made)) == made


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"jobs": 1, "masters": 3, "agents": 1, "slots": 4, "ttl_seconds": 6.5},
        {"faults": frozenset(), "horizon_seconds": 77.0, "settling_seconds": 10.0},
        {"faults": frozenset({"drop", "pause"}), "mutant": "no-fence"},
    ],
)
def test_a_plan_is_a_command(changed: dict[str, object]) -> None:
    made = msgspec.structs.replace(plan.from_seed(9, jobs=60), **changed)
    assert _parsed(options.arguments(made)) == made


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seeds", "5-3"], "'5-3' is no range of seeds; write 0-99, or one seed"),
        (["--faults", "drop,rain"], "rain: no such fault; choose from drop, duplicate"),
        (["--jobs", "0"], "'0' must be a number of 1 or more"),
        (["--ttl", "soon"], "'soon' must be a number of seconds above 0"),
        (["--happening", "1-x"], "'1-x' is no number or range of numbers; write 3,7-9"),
        (["--mutant", "none"], "invalid choice: 'none'"),
    ],
)
def test_a_wrong_option_says_what_is_right(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(words)
    assert told in capsys.readouterr().err


def test_a_seed_that_fails_is_told_with_what_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seeds", "1-2", "--jobs", "20", "--mutant", "counters-half", "--shrink", "40"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("seed 1: counted: counters say")
    assert "2 seeds, 40 jobs" in lines[2]
    words = lines[-1].removeprefix("repeat it: python -m ffrtmp.testing.simulator ").split()
    assert command.main(words) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[-1].startswith("counted: ")
    assert any("job 1: job.submitted (to queued" in line for line in told)


def test_a_run_without_a_fault_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seeds", "0-1", "--jobs", "5"]) == 0
    assert "0 seeds failed" in capsys.readouterr().out
