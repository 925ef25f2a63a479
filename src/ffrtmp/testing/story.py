"""Stories for a store: things done to it in any order, and the check that its tables agree with the rules and with one another."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from ffrtmp.domain import errors, spec, states
from ffrtmp.domain.errors import Code
from ffrtmp.domain.states import JobState, TaskState
from ffrtmp.store.interface import Store
from ffrtmp.testing import factories
from ffrtmp.testing.world import Agent, World

Sql = Callable[[str], Awaitable[list[tuple[Any, ...]]]]


class Player:
    """Does one thing after another to whatever is there."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        self.jobs: list[str] = []
        self.agents: list[Agent] = []
        self.held: list[tuple[Agent, str]] = []

    async def do(self, what: str) -> None:
        # an error of these is an answer: the state machine forbids it
        with contextlib.suppress(errors.Conflict, errors.NotFound, errors.InvalidInput):
            await getattr(self, what)()

    async def submit(self) -> None:
        of = factories.a_spec(
            requires=spec.Requires(codec=self.rng.choice([spec.Codec.H264, spec.Codec.AV1]), generates_input=True)
        )
        tasks = [
            factories.a_task(of, depends_on=self.rng.sample(range(index), self.rng.randint(0, index)))
            for index in range(self.rng.choice([1, 1, 1, 4]))
        ]
        made = await self.world.submit(
            of,
            tasks=tuple(tasks),
            queue=self.rng.choice(list(spec.Queue)),
            engine=self.rng.choice(list(spec.Engine)),
            max_retries=self.rng.choice([0, 2]),
        )
        self.jobs.append(made.id)

    async def register(self) -> None:
        ttl_us = self.rng.choice([-1_000_000, 60_000_000])
        self.agents.append(await self.world.agent(f"n{self.rng.randrange(3)}", ttl_us=ttl_us))

    async def lease(self) -> None:
        if self.agents:
            agent = self.rng.choice(self.agents)
            self.held += [(agent, grant.attempt_id) for grant in await agent.lease(self.rng.randint(1, 3))]

    def _held(self) -> tuple[Agent, str]:
        if not self.held:
            raise errors.NotFound
        return self.rng.choice(self.held)

    def _job(self) -> str:
        if not self.jobs:
            raise errors.NotFound
        return self.rng.choice(self.jobs)

    async def start(self) -> None:
        agent, attempt = self._held()
        await agent.beat(attempt, started=True)

    async def publish(self) -> None:
        agent, attempt = self._held()
        await agent.publish(attempt)

    async def complete(self) -> None:
        agent, attempt = self._held()
        await agent.complete(attempt)

    async def fail(self) -> None:
        agent, attempt = self._held()
        codes = [Code.STALLED, Code.ENGINE_CRASHED, Code.INPUT_INVALID, Code.TIMED_OUT, Code.CANCELED]
        await agent.fail(attempt, self.rng.choice(codes))

    async def give_back(self) -> None:
        agent, attempt = self._held()
        await agent.give_back(attempt)

    async def cancel(self) -> None:
        await self.world.store.cancel(self._job())

    async def pause(self) -> None:
        await self.world.store.pause(self._job())

    async def resume(self) -> None:
        await self.world.store.resume(self._job())

    async def reject(self) -> None:
        await self.world.store.reject([self._job()], "no")

    async def rescue(self) -> None:
        await self.world.store.rescue(10)

    async def promote(self) -> None:
        await self.world.store.promote(10)

    async def expire(self) -> None:
        await self.world.store.expire(finished_before=2**60, limit=3)


DEEDS = [name for name, value in vars(Player).items() if asyncio.iscoroutinefunction(value) and name != "do"]


async def check(store: Store, sql: Sql) -> None:
    """The tables against themselves, each other and the counters."""
    jobs = await sql("SELECT seq, state, queue, engine, paused, cancel_requested FROM jobs")
    tasks = await sql("SELECT job_seq, position, state, class_id, sort_key, run_at, pending_deps FROM tasks")
    by_job: dict[int, list[tuple[Any, ...]]] = {}
    for task in tasks:
        by_job.setdefault(task[0], []).append(task)
    leases = {(row[0], row[1]) for row in await sql("SELECT job_seq, position FROM leases")}
    ready, delayed = set(), set()
    depth: Counter[tuple[int, str, str]] = Counter()
    for seq, state, queue, _, paused, cancel_requested in jobs:
        over = JobState(state) in states.JOB_TERMINAL
        derived = states.job_state((TaskState(task[2]) for task in by_job[seq]), paused=bool(paused))
        assert derived == state, (seq, state, by_job[seq])
        for _, position, task_state, class_id, sort_key, run_at, pending in by_job[seq]:
            active = (seq, position) in leases
            assert (task_state in ("assigned", "running")) <= active
            assert active <= (task_state in ("assigned", "running") or over)
            assert (task_state == "blocked") <= (pending > 0)
            if task_state == "blocked":
                depth[(class_id, queue, "blocked")] += 1
            if not (over or paused or cancel_requested) and task_state == "queued":
                ready.add((class_id, sort_key, seq, position))
                depth[(class_id, queue, "queued")] += 1
            if not (over or paused or cancel_requested) and task_state == "retrying":
                delayed.add((run_at, seq, position))
                depth[(class_id, queue, "retrying")] += 1
    assert {tuple(row) for row in await sql("SELECT class_id, sort_key, job_seq, position FROM ready")} == ready
    assert {tuple(row) for row in await sql("SELECT run_at, job_seq, position FROM delayed")} == delayed
    counts = await store.counts()
    recount = Counter((JobState(row[1]), spec.Queue(row[2]), spec.Engine(row[3])) for row in jobs)
    assert counts.jobs == dict(recount)
    live = await sql("SELECT job_seq FROM attempts WHERE state IN ('assigned', 'running', 'publishing')")
    assert len(live) == len(leases)
    found = {(one.class_id, one.queue.value, one.state.value): one.count for one in await store.depths()}
    assert found == dict(depth)
    assert counts.nodes == len(await store.nodes())
