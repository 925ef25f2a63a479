"""How large a campaign is, and what the people in it do: decided by the seed alone."""

import random
from typing import Any

import msgspec

from ffrtmp.testing import slow
from ffrtmp.testing.deployment import Layout

#: lease times that a slow job runs: one until its lease is over, one until it runs again, one in which both would run
SLOW_LEASES = 3.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    seed: int
    jobs: int
    faults: int
    layout: Layout
    open_jobs: int = 64  #: at the same time: people wait for some before they submit more
    kinds: tuple[str, ...] = ()  #: of faults; all that the farm can have when empty


class Wish(msgspec.Struct, frozen=True):
    """One person's job, and what they do with it."""

    key: str
    body: dict[str, Any]
    output: str  #: "" for the artifact store
    act: str = ""  #: cancel, pause (and resume), retry (after a cancel: what completed is not tried again)
    when_running: bool = False
    wait_seconds: float = 0.0
    repeats: bool = False  #: sends it again under its key
    confuses: bool = False  #: sends something else under its key


def slow_wish(plan: Plan, number: int) -> Wish:
    """A job that is still running when a lease which nobody renews is over and another agent has it."""
    seconds = SLOW_LEASES * plan.layout.lease_seconds
    parameters = {**slow.clip(seconds), "codec": "h264", "preset": "ultrafast", "audio": "none"}
    # that engine is the slow one; by itself a live job goes to GStreamer where an agent has it
    output = f"slow{number:03d}.mp4"
    return Wish(
        key=f"slow-{plan.seed}-{number}",
        body={"parameters": {**parameters, "output": output}, "queue": "live", "priority": "high", "engine": "ffmpeg"},
        output=output,
    )


def wish(plan: Plan, number: int) -> Wish:
    rng = random.Random(f"{plan.seed}/{number}")
    long = rng.random() < 0.03
    chance = rng.random()
    act = "cancel" if chance < 0.08 or (long and chance < 0.6) else ""
    act = act or ("pause" if chance < 0.14 else "retry" if chance < 0.18 else "")
    # a retried job writes where the first one wrote: only the artifact store has room for both
    output = "" if act == "retry" or rng.random() < 0.25 else f"j{number:05d}.mp4"
    # the cheapest run that is a real one: one encode of two frames, verified and published; the long ones are there to be hit
    clip = {"resolution": "640x360", "fps": 30, "duration": 20} if long else {"resolution": "64x36", "fps": 5}
    parameters = {"input": "generate", "codec": "h264", "duration": 0.4, "preset": "ultrafast", "audio": "none", **clip}
    if output:
        # an overwriting job could publish twice unseen: the watch over the directory sees each rename
        parameters |= {"output": output, "overwrite": rng.random() < 0.3}
    body = {
        "parameters": parameters,
        "queue": rng.choice(("live", "default", "default", "batch")),
        "priority": rng.choice(("high", "medium", "low")),
    }
    return Wish(
        key=f"key-{plan.seed}-{number}",
        body=body,
        output=output,
        act=act,
        when_running=act == "cancel" and rng.random() < (0.9 if long else 0.3),
        wait_seconds=rng.choice((0.0, rng.uniform(0.0, 1.5))),
        repeats=rng.random() < 0.1,
        confuses=rng.random() < 0.02,
    )
