"""People: they submit, repeat what was not answered, change their minds, and remember what they were told."""

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ffrtmp.domain import errors
from ffrtmp.master.api import jobs
from ffrtmp.testing.simulator.history import Order
from ffrtmp.testing.simulator.master import SimMaster
from ffrtmp.testing.simulator.network import STRAY_SECONDS, Network
from ffrtmp.testing.simulator.scene import Scene

_QUEUES = ("live", "default", "default", "batch")
_PRIORITIES = ("high", "medium", "low")
#: events that are read at a time, and how often one who follows them looks
_PAGE = 50
_LOOK_SECONDS = 20.0


def _page(after: int, master: SimMaster) -> Awaitable[Any]:
    return master.real.store.events(after=after, limit=_PAGE)


class Users:
    def __init__(self, scene: Scene, network: Network) -> None:
        self._scene = scene
        self._network = network
        self._rng = scene.rng
        self._following: asyncio.Task[None] | None = None  #: until the run ends

    async def submit_all(self) -> None:
        """All jobs of the plan, spread over the time in which there are faults."""
        plan = self._scene.plan
        self._following = asyncio.create_task(self._follow())
        moments = sorted(self._rng.uniform(0.0, plan.horizon_seconds * 0.8) for _ in range(plan.jobs))
        async with asyncio.TaskGroup() as group:
            for number, moment in enumerate(moments):
                await asyncio.sleep(max(moment - self._scene.now, 0.0))
                group.create_task(self._one(number))

    async def _one(self, number: int) -> None:
        dice, strikes = self._scene.dice("user", number), self._scene.strikes
        body: dict[str, Any] = {
            "scenario": "720p30-h264",
            "queue": dice.choice(_QUEUES),
            "priority": dice.choice(_PRIORITIES),
            "max_retries": dice.choice((0, 3, 3)),
            "parameters": {"input": "generate", "duration": 2},
        }
        if dice.random() < 0.7:  # the others go into the artifact store
            body["parameters"]["output"] = f"{number}.mp4"
        key = f"key-{number}"
        job = await self._submit(key, msgspec.json.encode(body), dice)
        chance = dice.random()
        if chance < 0.15 and strikes("cancel"):
            await asyncio.sleep(self._scene.job_seconds(dice))
            await self._cancel(job)
        elif 0.15 <= chance < 0.3 and strikes("pause"):
            await asyncio.sleep(self._scene.job_seconds(dice) / 2)
            await self._pause(job, dice.uniform(0.0, 60.0))
        elif 0.3 <= chance < 0.4 and strikes("retry"):
            await asyncio.sleep(dice.uniform(0.0, 100.0))
            await self._retry(job, f"{key}-again", dice)

    async def _submit(self, key: str, body: bytes, dice: random.Random) -> str:
        def ask(master: SimMaster) -> Awaitable[Any]:
            return self._send(master, key, body)

        view = await self._until_answered(ask)
        self._acknowledged(key, view.id)
        if dice.random() < 0.1:  # a person who did not see the answer
            self._acknowledged(key, (await self._until_answered(ask)).id)
        if dice.random() < 0.1:  # a program with a fault
            await self._submit_another(key, body)
        return str(view.id)

    async def _submit_another(self, key: str, body: bytes) -> None:
        other = body.replace(b'"duration":2', b'"duration":3')
        try:
            await self._until_answered(lambda master: self._send(master, key, other))
        except errors.IdempotencyMismatch:
            return
        self._scene.history.taken_wrongly.append(key)

    async def _send(self, master: SimMaster, key: str, body: bytes) -> Any:
        return await jobs.submit(master.call(body, headers={b"idempotency-key": key.encode()}))

    def _acknowledged(self, key: str, job: str) -> None:
        self._scene.history.acknowledged.setdefault(key, set()).add(job)

    async def _retry(self, job: str, key: str, dice: random.Random) -> None:
        async def ask(master: SimMaster) -> Any:
            return await jobs.retry(master.call(headers={b"idempotency-key": key.encode()}, path={"ref": job}))

        try:
            view = await self._until_answered(ask)
        except errors.Conflict:
            self._scene.history.refused.add(key)
            return
        self._acknowledged(key, view.job_id)
        if dice.random() < 0.5:  # as in `_submit`
            self._acknowledged(key, (await self._until_answered(ask)).job_id)

    async def _cancel(self, job: str) -> None:
        if await self._insist(jobs.cancel, job):
            self._scene.history.canceled.setdefault(job, self._scene.now)
            self._scene.history.note(self._scene.now, f"{job}: cancel acknowledged")

    async def _pause(self, job: str, seconds: float) -> None:
        if not await self._insist(jobs.pause, job):
            return
        since = self._scene.now
        self._scene.history.note(since, f"{job}: pause acknowledged")
        await asyncio.sleep(seconds)
        self._scene.history.paused.append(Order(job, since, self._scene.now))
        self._scene.history.note(self._scene.now, f"{job}: resume asked")
        await self._insist(jobs.resume, job)
        # a copy of the pause may have come after it
        await asyncio.sleep(STRAY_SECONDS)
        await self._insist(jobs.resume, job)

    async def _follow(self) -> None:
        """Someone who reads the history as it grows, a page at a time."""
        after = 0
        while True:
            page = await self._until_answered(functools.partial(_page, after))
            self._scene.history.followed += [event.seq for event in page]
            if page:
                after = page[-1].seq
            if len(page) < _PAGE:
                await asyncio.sleep(_LOOK_SECONDS)

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
