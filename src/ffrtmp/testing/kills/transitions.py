"""The transitions of a job and a node: how each is brought about, where it can be stopped, and what must become of its job."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.states import JobState
from ffrtmp.testing.kills.scene import LOOK_SECONDS, PATIENCE_SECONDS, Scene

#: a second or so of work, and half a minute of it for what is to be canceled
_LONG = {"resolution": "640x360", "fps": 30, "duration": 40}
_ENDLESS = {**_LONG, "duration": 600}


async def _nothing(_: Scene) -> None:
    """No scene has to be set."""


async def _end(scene: Scene) -> None:
    await scene.state(JobState.COMPLETED)


async def _submit(scene: Scene) -> None:
    await scene.submit()


async def _submit_batch(scene: Scene) -> None:
    await scene.submit_batch()


async def _submit_upload(scene: Scene) -> None:
    await scene.submit(upload=True)


async def _submit_hopeless(scene: Scene) -> None:
    await scene.submit(requires={"labels": {"nowhere": "to be found"}})


async def _rejected(scene: Scene) -> None:
    await scene.state(JobState.REJECTED)


async def _set_node(scene: Scene) -> None:
    scene.agent = scene.farm.agents[0]


async def _drain(scene: Scene) -> None:
    await scene.drain(on=True)


async def _drained(scene: Scene) -> None:
    """What is submitted now another node runs."""
    await scene.submit()
    await scene.state(JobState.COMPLETED)
    assert scene.agent is not None
    view = await scene.client.job(scene.job)
    assert view.node_name != scene.agent.name, f"{scene.agent.name} is drained and ran it"
    await scene.drain(on=False)


async def _set_drained(scene: Scene) -> None:
    await _set_node(scene)
    await scene.drain(on=True)


async def _undrain(scene: Scene) -> None:
    await scene.drain(on=False)


async def _undrained(scene: Scene) -> None:
    """The other is drained: it must be this one that runs what is submitted now."""
    undrained, other = scene.farm.agents[0], scene.farm.agents[1]
    scene.agent = other
    await scene.drain(on=True)
    await scene.submit()
    await scene.state(JobState.COMPLETED)
    assert (await scene.client.job(scene.job)).node_name == undrained.name
    await scene.drain(on=False)


async def _set_gone(scene: Scene) -> None:
    await _set_node(scene)
    assert scene.agent is not None
    await scene.agent.stop()


async def _remove(scene: Scene) -> None:
    assert scene.agent is not None
    name = scene.agent.name
    with contextlib.suppress(errors.NotFound):  # it was removed, and the answer was lost
        await scene.answered(lambda: scene.client.remove_node(name))


async def _removed(scene: Scene) -> None:
    """Its name is free: an agent joins with it, and runs what is submitted then."""
    await _register(scene)
    await _undrained(scene)


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
    scene.history.doomed[scene.job] = Code.INPUT_MISSING


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
    await _fail(scene)
    await scene.state(JobState.FAILED)


async def _retry(scene: Scene) -> None:
    key = f"retry-{scene.job}"
    first = await scene.answered(lambda: scene.client.retry(scene.job, idempotency_key=key))
    again = await scene.answered(lambda: scene.client.retry(scene.job, idempotency_key=key))
    for answer in (first, again):
        scene.history.acknowledge(key, answer.job_id)
    scene.job = first.job_id
    scene.history.doomed[scene.job] = Code.INPUT_MISSING


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
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await scene.answered(lambda: scene.client.jobs(limit=1))).jobs:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(LOOK_SECONDS)


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
    Transition(
        name="submit a batch",
        kind="SubmitMany",
        request=b"POST /jobs/batch ",
        do=_submit_batch,
        after=_end,
        by_user=True,
        without_agent=_NO_AGENT,
    ),
    Transition(name="lease", kind="Lease", request=b"/lease ", do=_submit, after=_end),
    Transition(name="start", kind="Beat", request=b'"started":true', do=_start, after=_end),
    Transition(name="publish", kind="Publish", request=b"/publish ", do=_submit, after=_end),
    Transition(name="complete", kind="Complete", request=b"/complete ", do=_submit, after=_end),
    Transition(name="begin an upload", kind="CreateUpload", request=b"POST /uploads ", do=_submit_upload, after=_end),
    Transition(name="end an upload", kind="FinishUpload", request=b"PUT /uploads/", do=_submit_upload, after=_end),
    Transition(name="complete an upload's job", kind="Complete", request=b"/complete ", do=_submit_upload, after=_end),
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
        name="drain", kind="Drain", request=b"/drain ", before=_set_node, do=_drain, after=_drained, by_user=True
    ),
    Transition(
        name="undrain",
        kind="Drain",
        request=b"/drain?on=false ",
        before=_set_drained,
        do=_undrain,
        after=_undrained,
        by_user=True,
    ),
    Transition(
        name="remove a node",
        kind="RemoveNode",
        request=b"DELETE /nodes/",
        before=_set_gone,
        do=_remove,
        after=_removed,
        by_user=True,
        without_agent="a node is removed when its agent is gone",
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
        name="reject",
        kind="Reject",
        request=b"",
        do=_submit_hopeless,
        after=_rejected,
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
