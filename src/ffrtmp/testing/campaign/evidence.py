"""What a farm says of itself when it has come to rest, and what it leaves behind."""

import asyncio
import hashlib
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from ffrtmp.client.client import Client
from ffrtmp.protocol import views
from ffrtmp.testing import deployment, programs
from ffrtmp.testing.campaign import invariants
from ffrtmp.testing.campaign.bystander import Bystander, running_attempts
from ffrtmp.testing.campaign.history import History
from ffrtmp.testing.deployment import LAUNCHER, Deployment

_TABLES = ("leases", "ready", "delayed")
_LOOK_SECONDS = 0.2
_LOOKS = 150


async def gather(farm: Deployment, calm: Client, bystander: Bystander, history: History) -> invariants.Evidence:
    """Looks at the farm at rest, drains it, sweeps it, and looks at what is left. The farm is stopped then."""
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
    named = {output.upload_id for view in jobs.values() if view.result for output in view.result.outputs}
    left += [f"unnamed upload {name}" for name in await _swept(farm, named)]
    running = await asyncio.to_thread(running_attempts)
    left += [f"attempt {attempt} still runs" for attempt in running if attempt in history.attempts]
    left += [str(path) for path in farm.root.rglob("*.ffrtmp-part")]
    left += [str(path) for agent in farm.agents for path in (farm.root / f"work-{agent.name}").glob("attempts/*")]
    watched = bystander.close()
    hashes, artifacts = await asyncio.to_thread(lambda: (_hashes(farm.media), _hashes(farm.artifacts)))
    return invariants.Evidence(history, jobs, counted, hashes, artifacts, left, watched)


async def _swept(farm: Deployment, named: set[str | None]) -> list[str]:
    """What is left in the artifact store that no job names, after the sweep for it. It takes what is a day old: here, at once."""
    if not farm.artifacts.exists():
        return []
    master = farm.masters[0]
    await farm.start_master(master, launcher=LAUNCHER, env={"FFRTMP_TEST_ORPHAN_SECONDS": "0"})
    left: list[str] = []
    for _ in range(_LOOKS):
        left = [path.name for path in farm.artifacts.iterdir() if path.name not in named and path.name != ".lock"]
        if not left:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    await master.stop()
    return left


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
