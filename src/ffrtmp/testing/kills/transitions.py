"""The transitions of a job and a node: how each is brought about, where it can be stopped, and what must become of its job."""

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import httpx
import msgspec

from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.domain.states import JobState
from ffrtmp.testing import programs
from ffrtmp.testing.campaign.bystander import Bystander
from ffrtmp.testing.campaign.history import History
from ffrtmp.testing.deployment import Deployment, Seat, cmdline

T = TypeVar("T")
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_SHAPE = {"codec": "h264", "preset": "ultrafast", "audio": "none"}
_TINY = {"resolution": "64x36", "fps": 5, "duration": 0.4}
#: a second or so of work, and half a minute of it for what is to be canceled
_LONG = {"resolution": "640x360", "fps": 30, "duration": 40}
_ENDLESS = {**_LONG, "duration": 600}
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
        while True:
            try:
                return await ask()
            except errors.Unavailable:
                await asyncio.sleep(_LOOK_SECONDS)

    async def submit(self, clip: dict[str, Any] = _TINY, **more: Any) -> None:
        key, name = f"kill-{self._number}", f"k{self._number:04d}.mp4"
        body = {"parameters": {"input": "generate", **_SHAPE, **clip, "output": name, **more}}
        self.job = (await self.answered(lambda: self.client.submit(body, idempotency_key=key))).id
        self.history.outputs[self.job] = name
        self.history.acknowledge(key, self.job)
        again = await self.answered(lambda: self.client.submit(body, idempotency_key=key))
        self.history.acknowledge(key, again.id)

    async def submit_without_key(self) -> None:
        """One that retention may take away at once: a key is kept for a day, and its job with it."""
        body = {"parameters": {"input": "generate", **_SHAPE, **_TINY, "output": f"k{self._number:04d}.mp4"}}
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
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                view = await self.answered(lambda: self.client.job(self.job))
                if view.state in wanted:
                    return
                self.history.tell(self.job, view.state)
                if self.job in self.history.told:
                    raise AssertionError(f"the job is {view.state} instead of {' or '.join(wanted)}: {view.failure}")
                await asyncio.sleep(_LOOK_SECONDS)

    async def cancel(self) -> None:
        await self.answered(lambda: self.client.cancel(self.job))
        self.history.canceled[self.job] = time.time()

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


async def _nothing(_: Scene) -> None:
    """No scene has to be set."""


async def _end(scene: Scene) -> None:
    await scene.state(JobState.COMPLETED)


async def _submit(scene: Scene) -> None:
    await scene.submit()


async def _set_register(scene: Scene) -> None:
    scene.agent = scene.farm.agents[0]
    await scene.agent.kill()


async def _register(scene: Scene) -> None:
    assert scene.agent is not None
    await scene.farm.start_agent(scene.agent)


async def _registered(scene: Scene) -> None:
    assert scene.agent is not None
    await scene.registered(scene.agent)
    await scene.submit()
    await scene.state(JobState.COMPLETED)


async def _start(scene: Scene) -> None:
    await scene.submit(_LONG)


async def _fail(scene: Scene) -> None:
    await scene.submit(input="missing.mp4")


async def _failed(scene: Scene) -> None:
    await scene.state(JobState.FAILED)


async def _set_running(scene: Scene) -> None:
    await scene.submit_running(_LONG)


async def _set_endless(scene: Scene) -> None:
    await scene.submit_running(_ENDLESS)


async def _give_back(scene: Scene) -> None:
    assert scene.agent is not None
    scene.leaving = scene.agent.program
    scene.agent.signal(signal.SIGTERM)


async def _given_back(scene: Scene) -> None:
    assert scene.agent is not None
    assert scene.leaving is not None
    await scene.leaving.process.wait()
    if scene.agent.program is scene.leaving:
        await scene.farm.start_agent(scene.agent)
    await scene.state(JobState.COMPLETED)


async def _cancel(scene: Scene) -> None:
    await scene.cancel()


async def _canceled(scene: Scene) -> None:
    await scene.state(JobState.CANCELED)


async def _pause(scene: Scene) -> None:
    await scene.answered(lambda: scene.client.pause(scene.job))


async def _paused(scene: Scene) -> None:
    await scene.state(JobState.PAUSED)
    await scene.cancel()
    await scene.state(JobState.CANCELED)


async def _set_paused(scene: Scene) -> None:
    await scene.submit_running(_ENDLESS)
    await scene.client.pause(scene.job)
    await scene.state(JobState.PAUSED)


async def _resume(scene: Scene) -> None:
    await scene.answered(lambda: scene.client.resume(scene.job))


async def _resumed(scene: Scene) -> None:
    await scene.state(JobState.RUNNING)
    await scene.cancel()
    await scene.state(JobState.CANCELED)


async def _set_failed(scene: Scene) -> None:
    await scene.submit(input="missing.mp4")
    await scene.state(JobState.FAILED)


async def _retry(scene: Scene) -> None:
    key = f"retry-{scene.job}"
    first = await scene.answered(lambda: scene.client.retry(scene.job, idempotency_key=key))
    again = await scene.answered(lambda: scene.client.retry(scene.job, idempotency_key=key))
    for answer in (first, again):
        scene.history.acknowledge(key, answer.job_id)
    scene.job = first.job_id


async def _rescue(scene: Scene) -> None:
    assert scene.agent is not None
    scene.history.frozen.setdefault(scene.agent.name, []).append((0.0, float("inf")))
    scene.agent.signal(signal.SIGSTOP)


async def _rescued(scene: Scene) -> None:
    assert scene.agent is not None
    await scene.state(JobState.COMPLETED)
    scene.agent.signal(signal.SIGCONT)


async def _promote(scene: Scene) -> None:
    os.kill(scene.engine(), signal.SIGKILL)


async def _set_expire(scene: Scene) -> None:
    """A job that is over, and older than a master that was started so keeps."""
    await scene.submit_without_key()
    await scene.state(JobState.COMPLETED)
    [master] = scene.farm.masters
    await master.stop()
    master.options = ("--retention", "1s")
    await asyncio.sleep(1.1)


async def _expire(scene: Scene) -> None:
    [master] = scene.farm.masters
    with contextlib.suppress(AssertionError):  # it is killed before it is ready
        await scene.farm.start_master(master)


async def _expired(scene: Scene) -> None:
    """Started once more, since a sweep comes at each start: it is gone, and the books are right."""
    [master] = scene.farm.masters
    await master.stop()
    await scene.farm.start_master(master)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (await scene.answered(lambda: scene.client.jobs(limit=1))).jobs:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(_LOOK_SECONDS)


Do = Callable[[Scene], Coroutine[Any, Any, None]]
_NO_AGENT = "no agent takes part"


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """`kind`: of the store's call. `request`: what is in its request, sent by agents or users; b"": a sweep of the master's own.
    `without_agent`: why there is no agent to kill."""

    name: str
    kind: str
    request: bytes
    do: Do
    after: Do
    before: Do = _nothing
    by_user: bool = False
    without_agent: str = ""


TRANSITIONS: tuple[Transition, ...] = (
    Transition(
        name="submit",
        kind="Submit",
        request=b"POST /jobs ",
        do=_submit,
        after=_end,
        by_user=True,
        without_agent=_NO_AGENT,
    ),
    Transition(
        name="register",
        kind="Register",
        request=b"POST /nodes/register ",
        before=_set_register,
        do=_register,
        after=_registered,
    ),
    Transition(name="lease", kind="Lease", request=b"/lease ", do=_submit, after=_end),
    Transition(name="start", kind="Beat", request=b'"started":true', do=_start, after=_end),
    Transition(name="publish", kind="Publish", request=b"/publish ", do=_submit, after=_end),
    Transition(name="complete", kind="Complete", request=b"/complete ", do=_submit, after=_end),
    Transition(name="fail", kind="Fail", request=b"/fail ", do=_fail, after=_failed),
    Transition(
        name="give back", kind="GiveBack", request=b"/give-back ", before=_set_running, do=_give_back, after=_given_back
    ),
    Transition(
        name="cancel",
        kind="Cancel",
        request=b"/cancel ",
        before=_set_endless,
        do=_cancel,
        after=_canceled,
        by_user=True,
    ),
    Transition(
        name="pause", kind="Pause", request=b"/pause ", before=_set_endless, do=_pause, after=_paused, by_user=True
    ),
    Transition(
        name="resume", kind="Resume", request=b"/resume ", before=_set_paused, do=_resume, after=_resumed, by_user=True
    ),
    Transition(
        name="retry",
        kind="Submit",
        request=b"/retry ",
        before=_set_failed,
        do=_retry,
        after=_failed,
        by_user=True,
        without_agent=_NO_AGENT,
    ),
    Transition(
        name="rescue",
        kind="Rescue",
        request=b"",
        before=_set_running,
        do=_rescue,
        after=_rescued,
        without_agent="its agent is lost already",
    ),
    Transition(
        name="promote",
        kind="Promote",
        request=b"",
        before=_set_running,
        do=_promote,
        after=_end,
        without_agent=_NO_AGENT,
    ),
    Transition(
        name="expire",
        kind="Expire",
        request=b"",
        before=_set_expire,
        do=_expire,
        after=_expired,
        without_agent=_NO_AGENT,
    ),
)
