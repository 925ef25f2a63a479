"""What everyone in a run shares: the plan, the dice, the clock, the history, the database."""

import asyncio
import math
import random
from collections.abc import Callable

from ffrtmp.testing.simulator.history import History
from ffrtmp.testing.simulator.plan import FAULTS, Plan
from ffrtmp.testing.simulator.store import Database

#: of a head start in the queue
SECONDS_TO_A_MINUTE = 0.5


class Scene:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._loop = asyncio.get_running_loop()
        self.rng = random.Random(plan.seed)
        self.history = History()
        self.database = Database(random.Random(self.rng.random()))
        self.strikes_made = 0  #: faults that happen one by one, with those that the plan leaves out
        self._strikes = {fault: self.dice(fault) for fault in FAULTS}

    @property
    def now(self) -> float:
        return self._loop.time()

    def later(self, seconds: float, act: Callable[[], object]) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, act)

    @property
    def settling(self) -> bool:
        return self.now >= self.plan.horizon_seconds

    def unkind(self, fault: str) -> bool:
        """Whether this fault happens now: only those of the plan, and only before its horizon."""
        return self.plan.has(fault) and not self.settling

    def dice(self, *about: object) -> random.Random:
        """Of one thing alone: what is left out elsewhere does not change how they fall."""
        return random.Random("/".join(map(str, (self.plan.seed, *about))))

    def strikes(self, fault: str, chance: float = 1.0) -> bool:
        """Whether this fault happens now, by chance. They are numbered: a plan may leave out some of them."""
        if not self.unkind(fault) or (chance < 1.0 and self._strikes[fault].random() >= chance):
            return False
        self.strikes_made += 1
        return self.plan.happening is None or self.strikes_made in self.plan.happening

    def commit_seconds(self) -> float:
        if self.strikes("slow_disk", 0.02):
            return self.rng.uniform(0.5, 4.0)
        return self.rng.uniform(0.0005, 0.01)

    def job_seconds(self, dice: random.Random) -> float:
        """Most are short, some outlast a lease."""
        return 0.5 * math.pow(80.0, dice.random())

    def script(self, job: int) -> str:
        """What is wrong with a job, the same for each of its attempts."""
        chance = self.dice("job", job).random()
        found = "poison" if chance < 0.03 else "fails" if chance < 0.2 else "fine"
        asked = {"poison": "poison", "fails": "failures"}.get(found)
        return found if asked is None or self.plan.has(asked) else "fine"
