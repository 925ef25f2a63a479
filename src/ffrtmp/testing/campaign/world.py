"""One campaign from its start to its verdict."""

import asyncio
import hashlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from ffrtmp.client.client import Client
from ffrtmp.protocol import views
from ffrtmp.testing import deployment, programs
from ffrtmp.testing.campaign import invariants
from ffrtmp.testing.campaign.bystander import Bystander, running_attempts
from ffrtmp.testing.campaign.faults import Faults
from ffrtmp.testing.campaign.history import History
from ffrtmp.testing.campaign.plan import Plan
from ffrtmp.testing.campaign.users import Users
from ffrtmp.testing.deployment import Deployment

#: with no news for so long, jobs that have no end will have none
_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 1.0
_TABLES = ("leases", "ready", "delayed")


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
                evidence = await _rest(farm, calm, bystander, history)
            finally:
                looking.cancel()
                await asyncio.wait({looking})
        states: dict[str, int] = {}
        for view in evidence.jobs.values():
            states[view.state] = states.get(view.state, 0) + 1
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
    faults = Faults(plan, farm, bystander, history)
    hurting = asyncio.create_task(faults.run())
    people = asyncio.create_task(Users(plan, client, bystander, history).run())
    began = time.monotonic()
    try:
        while pending := {task for task in (hurting, people) if not task.done()}:
            await asyncio.wait(pending, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            done, seconds = history.finished, time.monotonic() - began
            left = seconds * (plan.jobs - done) / done if done else 0.0
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


async def _rest(farm: Deployment, calm: Client, bystander: Bystander, history: History) -> invariants.Evidence:
    """Looks at the farm at rest, drains it, and looks at what is left."""
    jobs = {view.id: view for view in await _listed(calm)}
    counted = {master.name: await _counted(master.metrics_url) for master in farm.masters}
    for agent in farm.agents:
        if agent.up:
            await agent.stop()
    left = [f"{len(rows)} rows in {table}: {rows[:3]}" for table in _TABLES if (rows := await _rows(farm, table))]
    for master in farm.masters:
        processes = programs.descendants(master.pid)
        await master.stop()
        left += [f"process {pid} of {master.name}" for pid in processes if deployment.cmdline(pid)]
    running = await asyncio.to_thread(running_attempts)
    left += [f"attempt {attempt} still runs" for attempt in running if attempt in history.attempts]
    left += invariants.partial_files(farm.root)
    left += [str(path) for agent in farm.agents for path in (farm.root / f"work-{agent.name}").glob("attempts/*")]
    watched = bystander.close()
    hashes, artifacts = await asyncio.to_thread(lambda: (_hashes(farm.media), _hashes(farm.artifacts)))
    return invariants.Evidence(history, jobs, counted, hashes, artifacts, left, watched)


async def _rows(farm: Deployment, table: str) -> list[tuple[object, ...]]:
    return await farm.rows(f"SELECT * FROM {table}")  # noqa: S608 - names from above


async def _listed(client: Client) -> list[views.JobView]:
    found, cursor = [], None
    while True:
        page = await client.jobs(limit=1000, cursor=cursor)
        found += page.jobs
        if (cursor := page.next_cursor) is None:
            return found


async def _counted(url: str) -> dict[str, float]:
    """Jobs by state, as a master's metrics have them."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(url, timeout=30.0)).text
    return {
        sample.labels["state"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "ffrtmp_jobs_total"
    }


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("*")
        if path.is_file() and not path.name.startswith(".")
    }
