"""What a transition of the kill matrix is brought about with: one job on the farm, and who has it."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.domain.states import JobState
from ffrtmp.testing import programs, waiting
from ffrtmp.testing.campaign.bystander import Bystander
from ffrtmp.testing.campaign.history import History
from ffrtmp.testing.deployment import Deployment, Seat, cmdline

T = TypeVar("T")
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.05
_SHAPE = {"codec": "h264", "preset": "ultrafast", "audio": "none"}
TINY = {"resolution": "64x36", "fps": 5, "duration": 0.4}
_ENGINE = b"-progress\0"


class Scene:
    """One transition of one job on the farm. `job` and `agent` are known once there is a job, and an agent that has it."""

    _numbers = itertools.count(1)

    def __init__(self, farm: Deployment, client: Client, bystander: Bystander, history: History) -> None:
        self.farm = farm
        self.client = client
        self.bystander = bystander
        self.history = history
        self.job = ""
        self.agent: Seat | None = None
        self.leaving: programs.Program | None = None
        self._number = next(Scene._numbers)

    async def answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks until there is an answer."""
        return await waiting.answered(ask, LOOK_SECONDS)

    async def submit(self, clip: dict[str, Any] = TINY, *, upload: bool = False, **more: Any) -> None:
        """`upload`: its result goes into the artifact store, not into the media root."""
        key, name = f"kill-{self._number}", "" if upload else f"k{self._number:04d}.mp4"
        body = self._body(name, **clip, **more)
        for _ in range(2):
            self.job = (await self.answered(lambda: self.client.submit(body, idempotency_key=key))).id
            self.history.acknowledge(key, self.job)
        self.history.outputs[self.job] = name

    async def submit_batch(self) -> None:
        """Of two. `job` is the last one."""
        key, names = f"kill-{self._number}", [f"k{self._number:04d}-{part}.mp4" for part in "ab"]
        bodies = [self._body(name, **TINY) for name in names]
        for _ in range(2):
            made = await self.answered(lambda: self.client.submit_batch(bodies, idempotency_key=key))
            for name, one in zip(names, made.jobs, strict=True):
                self.job = one.id
                self.history.outputs[one.id] = name
                self.history.acknowledge(f"{key} {name}", one.id)

    def _body(self, output: str, **parameters: Any) -> dict[str, Any]:
        named = {"output": output} if output else {}
        return {"parameters": {"input": "generate", **_SHAPE, **named, **parameters}}

    async def submit_without_key(self) -> None:
        """One that retention may take away at once: a key is kept for a day, and its job with it."""
        body = self._body(f"k{self._number:04d}.mp4", **TINY)
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{self.farm.calm_url}/jobs", json=body)
        self.job = answer.raise_for_status().json()["id"]
        self.history.acknowledge(f"kill-{self._number}", self.job)

    async def submit_running(self, clip: dict[str, Any]) -> None:
        await self.submit(clip)
        await self.state(JobState.RUNNING)
        view = await self.client.job(self.job)
        self.agent = self.seat(view.node_name or "")

    async def state(self, *wanted: str) -> None:
        """Returns when the job is in one of these states. Raises AssertionError when it has its end in another, or never comes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                view = await self.answered(lambda: self.client.job(self.job))
                if view.state in wanted:
                    return
                self.history.tell(self.job, view.state)
                if self.job in self.history.told:
                    raise AssertionError(f"the job is {view.state} instead of {' or '.join(wanted)}: {view.failure}")
                await asyncio.sleep(LOOK_SECONDS)

    async def cancel(self) -> None:
        await self.answered(lambda: self.client.cancel(self.job))
        self.history.canceled[self.job] = time.time()

    async def drain(self, *, on: bool) -> None:
        """Or no longer. Of a node that its agent is about to register again: when it has."""
        assert self.agent is not None
        name = self.agent.name
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    view = await self.answered(lambda: self.client.drain(name, on=on))
                except errors.NotFound:
                    await asyncio.sleep(LOOK_SECONDS)
                else:
                    assert view.draining is on
                    return

    def seat(self, name: str) -> Seat:
        return next(agent for agent in self.farm.agents if agent.name == name)

    async def registered(self, seat: Seat) -> None:
        assert seat.program is not None
        await seat.program.event("registered")

    def engine(self) -> int:
        """The process that encodes."""
        assert self.agent is not None
        found = [pid for pid in programs.descendants(self.agent.pid) if _ENGINE in cmdline(pid)]
        assert found, f"no encode runs on {self.agent.name}"
        return found[0]
