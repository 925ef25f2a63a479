"""The smallest run that fails as a given one does: fewest kinds of faults, jobs and machines, then fewest faults.

A smaller run has other dice, so that the fault may not show at the first throw: each is tried with a few. What is left of the
faults that strike one by one (a message lost, a machine killed) is found by delta debugging (A. Zeller and R. Hildebrandt,
"Simplifying and Isolating Failure-Inducing Input", IEEE Transactions on Software Engineering, 2002).
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from ffrtmp.testing.simulator import run
from ffrtmp.testing.simulator.plan import Plan

#: how many dice a smaller run is tried with, its own first
_THROWS = 6


class Shrunk(msgspec.Struct, frozen=True):
    plan: Plan
    violation: str
    strikes: int  #: faults that strike one by one and are left
    runs: int  #: that it took


class _OutOfRuns(Exception):
    pass


class _Search:
    """`fails` keeps the smallest plan that did."""

    def __init__(self, plan: Plan, violation: str, most_runs: int) -> None:
        self.plan = plan
        self.violation = violation
        self.strikes = 0
        self.runs = 0
        self._invariant = violation.partition(":")[0]
        self._most_runs = most_runs

    def fails(self, candidate: Plan) -> bool:
        """Whether it breaks the same invariant; then it is what is to be made smaller still."""
        if self.runs == self._most_runs:
            raise _OutOfRuns
        self.runs += 1
        outcome = run.simulate(candidate)
        for violation in outcome.violations:
            if violation.startswith(f"{self._invariant}:"):
                self.plan, self.violation, self.strikes = candidate, violation, outcome.strikes
                return True
        return False

    def changed(self, **fields: object) -> bool:
        """Whether it fails with these too, with one of a few dice."""
        seeds = [self.plan.seed, *(seed for seed in range(_THROWS) if seed != self.plan.seed)][:_THROWS]
        return any(self.fails(msgspec.structs.replace(self.plan, seed=seed, **fields)) for seed in seeds)


def shrink(plan: Plan, violation: str, *, most_runs: int = 300) -> Shrunk:
    """`violation`: one that the plan's run is known for. Raises ValueError when it does not show again."""
    search = _Search(plan, violation, most_runs)
    if not search.fails(plan):
        raise ValueError(f"seed {plan.seed} does not fail again with {violation}")
    try:
        while any([_fewer_kinds(search), _fewer_of_all(search)]):
            pass
        _fewer_strikes(search)
    except _OutOfRuns:
        pass
    happening = search.plan.happening
    strikes = search.strikes if happening is None else sum(number <= search.strikes for number in happening)
    return Shrunk(search.plan, search.violation, strikes, search.runs)


def _fewer_kinds(search: _Search) -> bool:
    before = search.plan.faults
    if before and search.changed(faults=frozenset()):
        return True
    for kind in sorted(before):
        search.changed(faults=search.plan.faults - {kind})
    return search.plan.faults != before


def _fewer_of_all(search: _Search) -> bool:
    before = search.plan
    for field in ("jobs", "agents", "masters", "slots"):
        for value in _smaller(getattr(search.plan, field)):
            if search.changed(**{field: value}):
                break
    after = search.plan
    return (before.jobs, before.agents, before.masters, before.slots) != (
        after.jobs,
        after.agents,
        after.masters,
        after.slots,
    )


def _smaller(value: int) -> Iterator[int]:
    """1, 2, 4 … up to one less than the value: small runs are quick."""
    tried = 1
    while tried < value:
        yield tried
        tried = min(2 * tried, value - 1) if tried < value - 1 else value


def _fewer_strikes(search: _Search) -> None:
    def fails(kept: Sequence[int]) -> bool:
        return search.fails(msgspec.structs.replace(search.plan, happening=frozenset(kept)))

    minimal(range(1, search.strikes + 1), fails)


def minimal(of: Sequence[int], fails: Callable[[Sequence[int]], bool]) -> list[int]:
    """A part of `of` that fails and from which nothing can be left out: delta debugging."""
    kept, pieces = list(of), 2
    if fails([]):
        return []
    while len(kept) > 1:
        size = -(-len(kept) // pieces)
        parts = [kept[at : at + size] for at in range(0, len(kept), size)]
        # a part alone, then all but a part
        for rest in (*parts, *([one for one in kept if one not in part] for part in parts)):
            if len(rest) < len(kept) and fails(rest):
                kept, pieces = rest, 2 if rest in parts else max(pieces - 1, 2)
                break
        else:
            if pieces >= len(kept):
                break
            pieces = min(2 * pieces, len(kept))
    return kept
