"""What a seed decides beforehand: how large the farm is, and how unkind the world."""

import random

import msgspec

#: faults that a run can be spared, one by one: what is left when a failing seed is shrunk is what it takes
FAULTS = (
    "drop",
    "duplicate",
    "slow",
    "partition",
    "kill_agent",
    "freeze_agent",
    "stop_agent",
    "kill_master",
    "slow_disk",
    "drift",
    "poison",
    "failures",
    "cancel",
    "pause",
    "retry",
    "drain",
    "same_name",
    "freeze_master",
)
#: came later: from dice of their own, so that all else that a seed decides stayed as it was
_LATER = frozenset({"same_name", "freeze_master"})
#: one run of so many has none of them: with each in two of three runs, chance alone would hardly ever make one
_CALM_EVERY = 50


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    seed: int
    jobs: int
    masters: int
    agents: int
    slots: int
    ttl_seconds: float
    horizon_seconds: float  #: faults end here; then everything has to come to its end
    faults: frozenset[str]
    mutant: str = ""
    settling_seconds: float = 7200.0  #: after the last fault everything must be over in this time
    happening: frozenset[int] | None = (
        None  #: of the faults that strike one by one, by their numbers: only these. None: all
    )

    def has(self, fault: str) -> bool:
        return fault in self.faults


def from_seed(seed: int, *, jobs: int, mutant: str = "") -> Plan:
    rng = random.Random(seed)
    # each fault in two of three runs: what hides behind one shows where it is absent
    faults = frozenset(
        fault
        for fault in FAULTS
        if (random.Random(f"{seed}/plan/{fault}") if fault in _LATER else rng).random() < 2 / 3
    )
    if seed % _CALM_EVERY == _CALM_EVERY - 1:
        faults = frozenset()
    return Plan(
        seed=seed,
        jobs=jobs,
        masters=rng.choice((1, 1, 2, 3)),
        agents=rng.randint(1, 6),
        slots=rng.choice((1, 2, 4)),
        ttl_seconds=rng.choice((9.0, 15.0, 30.0)),
        horizon_seconds=rng.choice((60.0, 120.0, 300.0)),
        faults=faults,
        mutant=mutant,
    )
