"""One campaign from its start to its verdict."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ffrtmp.client.client import Client
from ffrtmp.domain.states import JobState
from ffrtmp.testing import deployment
from ffrtmp.testing.campaign import invariants
from ffrtmp.testing.campaign.bystander import Bystander
from ffrtmp.testing.campaign.evidence import gather
from ffrtmp.testing.campaign.faults import Faults
from ffrtmp.testing.campaign.history import History
from ffrtmp.testing.campaign.plan import Plan
from ffrtmp.testing.campaign.users import Users
from ffrtmp.testing.deployment import Deployment

#: with no news for so long, jobs that have no end will have none
_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 1.0


class Outcome(msgspec.Struct):
    plan: Plan
    history: History
    verdicts: list[invariants.Verdict]
    states: dict[str, int]
    attempts: int
    seconds: float

    @property
    def broken(self) -> list[str]:
        return [f"{verdict.name}: {what}" for verdict in self.verdicts for what in verdict.broken]


async def run(plan: Plan, root: Path, progress: Callable[[str], None]) -> Outcome:
    """Raises what keeps the farm from being started; what is wrong with a run is in its outcome."""
    history = History(root / "history.jsonl")
    began = time.monotonic()
    try:
        async with (
            deployment.deployed(root, plan.layout, random.Random(f"{plan.seed}/network")) as farm,
            Client(farm.url) as client,
            Client(farm.calm_url) as calm,
        ):
            progress(f"{plan.layout.masters} masters and {plan.layout.agents} agents run, in {root}")
            bystander = Bystander(calm, farm.media, history)
            looking = asyncio.create_task(bystander.run())
            try:
                await _play(plan, farm, client, bystander, history, progress)
                evidence = await gather(farm, calm, bystander, history)
            finally:
                looking.cancel()
                await asyncio.wait({looking})
        states: dict[str, int] = {}
        for view in evidence.jobs.values():
            ended = (
                f"{view.state} over {view.failure.code}"
                if view.state == JobState.FAILED and view.failure
                else view.state
            )
            states[ended] = states.get(ended, 0) + 1
        verdicts = invariants.judge(evidence)
        return Outcome(plan, history, verdicts, states, len(history.attempts), time.monotonic() - began)
    finally:
        history.close()


async def _play(
    plan: Plan,
    farm: Deployment,
    client: Client,
    bystander: Bystander,
    history: History,
    progress: Callable[[str], None],
) -> None:
    """Until every job has ended and every fault is over, or nothing happens any more."""
    users = Users(plan, client, bystander, history)
    hurting = asyncio.create_task(Faults(plan, farm, users, bystander, history).run())
    people = asyncio.create_task(users.run())
    began = time.monotonic()
    try:
        while pending := {task for task in (hurting, people) if not task.done()}:
            await asyncio.wait(pending, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            done, seconds = history.finished, time.monotonic() - began
            left = seconds * max(plan.jobs - done, 0) / done if done else 0.0
            progress(
                f"{done} of {plan.jobs} jobs, {history.faults.total()} of {plan.faults} faults, {left:.0f} s to go"
            )
            for task in (hurting, people):
                if task.done():
                    task.result()
            if hurting.done() and time.monotonic() - bystander.last_event > _PATIENCE_SECONDS:
                return  # what has no end is found by the invariants
    finally:
        for task in (hurting, people):
            task.cancel()
        await asyncio.wait({hurting, people})
