"""What everyone in a run shares: the plan, the dice, the clock, the history, the database."""

import asyncio
import math
import random
from collections.abc import Callable

from ffrtmp.testing.simulator.history import History
from ffrtmp.testing.simulator.plan import Plan
from ffrtmp.testing.simulator.store import Database


class Scene:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._loop = asyncio.get_running_loop()
        self.rng = random.Random(plan.seed)
        self.history = History()
        self.database = Database(random.Random(self.rng.random()))
        self._scripts: dict[str, str] = {}

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

    def commit_seconds(self) -> float:
        if self.unkind("slow_disk") and self.rng.random() < 0.02:
            return self.rng.uniform(0.5, 4.0)
        return self.rng.uniform(0.0005, 0.01)

    def job_seconds(self) -> float:
        """Most are short, some outlast a lease."""
        return 0.5 * math.pow(80.0, self.rng.random())

    def script(self, job_id: str) -> str:
        """What is wrong with a job, the same for each of its attempts."""
        if job_id not in self._scripts:
            chance = self.rng.random()
            found = "poison" if chance < 0.03 else "fails" if chance < 0.2 else "fine"
            asked = {"poison": "poison", "fails": "failures"}.get(found)
            self._scripts[job_id] = found if asked is None or self.plan.has(asked) else "fine"
        return self._scripts[job_id]
