"""People: they submit, repeat what was not answered, change their minds, and remember what they were told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ffrtmp.domain import errors
from ffrtmp.master.api import jobs
from ffrtmp.testing.simulator.master import SimMaster
from ffrtmp.testing.simulator.network import Network
from ffrtmp.testing.simulator.scene import Scene

_QUEUES = ("live", "default", "default", "batch")
_PRIORITIES = ("high", "medium", "low")


class Users:
    def __init__(self, scene: Scene, network: Network) -> None:
        self._scene = scene
        self._network = network
        self._rng = scene.rng

    async def submit_all(self) -> None:
        """All jobs of the plan, spread over the time in which there are faults."""
        plan = self._scene.plan
        moments = sorted(self._rng.uniform(0.0, plan.horizon_seconds * 0.8) for _ in range(plan.jobs))
        async with asyncio.TaskGroup() as group:
            for number, moment in enumerate(moments):
                await asyncio.sleep(max(moment - self._scene.now, 0.0))
                group.create_task(self._one(number))

    async def _one(self, number: int) -> None:
        rng, unkind = self._rng, self._scene.unkind
        body = {
            "scenario": "720p30-h264",
            "queue": rng.choice(_QUEUES),
            "priority": rng.choice(_PRIORITIES),
            "max_retries": rng.choice((0, 3, 3)),
            "parameters": {"input": "generate", "duration": 2, "output": f"{number}.mp4"},
        }
        key = f"key-{number}"
        job = await self._submit(key, msgspec.json.encode(body))
        chance = rng.random()
        if unkind("cancel") and chance < 0.15:
            await asyncio.sleep(rng.uniform(0.0, 40.0))
            await self._cancel(job)
        elif unkind("pause") and chance < 0.3:
            await asyncio.sleep(rng.uniform(0.0, 20.0))
            await self._insist(jobs.pause, job)
            await asyncio.sleep(rng.uniform(0.0, 60.0))
            await self._insist(jobs.resume, job)
        elif unkind("retry") and chance < 0.4:
            await asyncio.sleep(rng.uniform(0.0, 100.0))
            await self._retry(job, f"{key}-again")

    async def _submit(self, key: str, body: bytes) -> str:
        async def ask(master: SimMaster) -> Any:
            return await jobs.submit(master.call(body, headers={b"idempotency-key": key.encode()}))

        view = await self._until_answered(ask)
        self._acknowledged(key, view.id)
        if self._rng.random() < 0.1:  # a person who did not see the answer
            self._acknowledged(key, (await self._until_answered(ask)).id)
        return str(view.id)

    def _acknowledged(self, key: str, job: str) -> None:
        self._scene.history.acknowledged.setdefault(key, set()).add(job)

    async def _retry(self, job: str, key: str) -> None:
        async def ask(master: SimMaster) -> Any:
            return await jobs.retry(master.call(headers={b"idempotency-key": key.encode()}, path={"ref": job}))

        try:
            view = await self._until_answered(ask)
        except errors.Conflict:
            return
        self._acknowledged(key, view.job_id)

    async def _cancel(self, job: str) -> None:
        if await self._insist(jobs.cancel, job):
            self._scene.history.canceled.setdefault(job, self._scene.now)
            self._scene.history.note(self._scene.now, f"{job}: cancel acknowledged")

    async def _insist(self, handler: Callable[[Any], Awaitable[Any]], job: str) -> bool:
        """Whether it was done; the state machine may forbid it."""
        try:
            await self._until_answered(lambda master: handler(master.call(path={"ref": job})))
        except errors.Conflict:
            return False
        return True

    async def _until_answered(self, ask: Callable[[SimMaster], Awaitable[Any]]) -> Any:
        while True:
            try:
                return await self._network.call("user", ask)
            except errors.Unavailable:
                await asyncio.sleep(self._rng.uniform(0.1, 3.0))
