"""Runs one mutant against what must find it."""

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ffrtmp.testing import mutants, workers
from ffrtmp.testing.mutants.catalog import MUTANTS
from ffrtmp.testing.mutants.patches import Simulated, Tested
from ffrtmp.testing.simulator import options, plan, run

#: for a run whose fault is that it never ends: far more than one without a fault of ours takes
_SETTLING_SECONDS = 1800.0
#: pytest's exit status when tests ran, and some failed
_FAILED = 1


class CannotRun(Exception):
    """A test is not here, or skips."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    found: bool
    by: str  #: the invariant or the test
    runs: int  #: seeds or tests until it was found, or all that were tried
    where: str = ""  #: how to see it again
    said: str = ""  #: what was found, or why nothing was
    seconds: float = 0.0


def hunt(name: str, seeds: Iterable[int], *, without: bool = True) -> Verdict:
    """`seeds`: those to try in turn, where an invariant of the simulator is to find it. `without`: see too that nothing is found
    without the mutant. Raises CannotRun."""
    began = time.monotonic()
    found_by = MUTANTS[name].found_by
    match found_by:
        case Tested():
            verdict = _tested(name, found_by, without)
        case Simulated():
            verdict = _simulated(name, found_by, seeds, without)
    return msgspec.structs.replace(verdict, seconds=time.monotonic() - began)


def plan_of(name: str, how: Simulated, seed: int) -> plan.Plan:
    """The run in which that seed may show the mutant."""
    made = plan.from_seed(seed, jobs=how.jobs, mutant=name)
    made = msgspec.structs.replace(made, settling_seconds=_SETTLING_SECONDS)
    return made if how.faults is None else msgspec.structs.replace(made, faults=frozenset(how.faults))


def _simulated(name: str, how: Simulated, seeds: Iterable[int], compare: bool) -> Verdict:
    runs, others = 0, ""
    for runs, seed in enumerate(seeds, 1):
        chosen = plan_of(name, how, seed)
        violations = run.simulate(chosen).violations
        said = next((one for one in violations if one.startswith(f"{how.invariant}:")), "")
        if said:
            without = run.simulate(msgspec.structs.replace(chosen, mutant="")).violations if compare else []
            return Verdict(
                name=name,
                found=not without,
                by=how.invariant,
                runs=runs,
                where=" ".join(["python -m ffrtmp.testing.simulator", *options.arguments(chosen)]),
                said=f"without the mutant too: {without[0]}" if without else said,
            )
        others = others or next(iter(violations), "")
    said = f"only {others}" if others else "nothing was wrong"
    return Verdict(name=name, found=False, by=how.invariant, runs=runs, said=said)


def _tested(name: str, how: Tested, compare: bool) -> Verdict:
    file = how.test.partition("::")[0]
    if not Path(file).exists():
        raise CannotRun(f"{name} is found by {file}, which is not here: run this in the root of a checkout")
    failed, said = _pytest(how.test, {mutants.VARIABLE: name})
    always = _pytest(how.test, {})[0] if compare else False
    if always:
        said = "the test fails without the mutant too"
    elif not failed:
        said = "the test passes"
    where = f"{mutants.VARIABLE}={name} python -m pytest '{how.test}'"
    return Verdict(name=name, found=failed and not always, by=how.test, runs=1, where=where, said=said)


def _pytest(test: str, more: dict[str, str]) -> tuple[bool, str]:
    """Whether it failed, and its last words. Raises CannotRun."""
    status, said = workers.output(
        [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-rs", "-p", "no:cacheprovider", "--no-header", test],
        {**os.environ, **more},
    )
    lines = [line for line in said.splitlines() if line.strip()]
    skipped = next((line for line in lines if line.startswith("SKIPPED")), "")
    if skipped or status not in (0, _FAILED):
        raise CannotRun(f"{test} did not run: {skipped or lines[-1]}")
    errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E  ")]
    return status == _FAILED, (errors or lines)[0]
