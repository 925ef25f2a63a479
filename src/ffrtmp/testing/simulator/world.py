"""A run: everything that a plan says, from the first job to the last, and then the checks."""

import asyncio
import contextlib
import random
from collections.abc import Iterator

from ffrtmp.master import attempts, context
from ffrtmp.testing.simulator.faults import Faults
from ffrtmp.testing.simulator.host import Host
from ffrtmp.testing.simulator.master import SimMaster
from ffrtmp.testing.simulator.network import Network
from ffrtmp.testing.simulator.plan import Plan
from ffrtmp.testing.simulator.scene import Scene
from ffrtmp.testing.simulator.users import Users


class World(Scene):
    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.masters = [SimMaster(self, f"m{number}") for number in range(plan.masters)]
        self.network = Network(self, self.masters)
        self.hosts = [Host(self, self.network, f"a{number}") for number in range(plan.agents)]

    async def run(self) -> None:
        """Raises AssertionError when not everything comes to its end."""
        with self._named():
            await self._play()

    async def _play(self) -> None:
        for master in self.masters:
            await master.start()
        for host in self.hosts:
            host.start()
        faults = asyncio.create_task(Faults(self, self.network, self.masters, self.hosts).run())
        await Users(self, self.network).submit_all()
        await faults
        for master in self.masters:
            if not master.up:
                await master.start()
        await self._settle()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Ids from the seed too, so that a run repeats in everything."""
        numbers = random.Random(self.rng.random())

        def new_id() -> str:
            return f"{numbers.getrandbits(128):032x}"

        before = context.new_id, attempts.new_attempt_id
        context.new_id = attempts.new_attempt_id = new_id
        try:
            yield
        finally:
            context.new_id, attempts.new_attempt_id = before

    async def _settle(self) -> None:
        until = self.now + self.plan.settling_seconds
        while self.now < until:
            for host in self.hosts:
                if not host.up:
                    host.restart_later()
            open_jobs = self.database.rows(
                "SELECT count(*) FROM jobs"
                " WHERE state NOT IN ('completed', 'failed', 'canceled', 'rejected', 'timed_out')"
            )
            if open_jobs == [(0,)] and not any(host.tasks for host in self.hosts):
                return
            await asyncio.sleep(5.0)
        left = self.database.rows(
            "SELECT id, state, paused, cancel_requested FROM jobs"
            " WHERE state NOT IN ('completed', 'failed', 'canceled', 'rejected', 'timed_out')"
        )
        raise AssertionError(f"not everything came to its end: {left[:5]}")
