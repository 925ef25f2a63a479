"""How long until a job goes on after its agent was killed, and until a canceled job's processes are gone: real processes."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import report
from ffrtmp.client.client import Client
from ffrtmp.protocol import views
from ffrtmp.testing import programs
from ffrtmp.testing.waiting import until

_LEASE_SECONDS = 6
#: in real time and canceled at the end: always in the middle when it is killed
_LONG = {"input": "generate", "codec": "h264", "preset": "veryslow", "duration": 600}


async def run(*, quick: bool = False) -> str:
    killed, canceled = (1, 2) if quick else (10, 40)
    rows = [
        await _row(
            "kill -9, another agent takes the job", f"≤ {_LEASE_SECONDS} (lease time) + 5 s", _by_another, killed
        ),
        await _row("kill -9, the agent is started again at once", "its start, no lease time", _by_itself, killed),
        await _row("cancel, until no process is left", "median ≤ 1 s", _cancel, canceled),
    ]
    return report.table(["what happens", "bound", "s", "times"], rows)


async def _row(
    name: str, bound: str, measure: Callable[[programs.Farm, Client, int], Awaitable[list[float]]], times: int
) -> list[object]:
    with tempfile.TemporaryDirectory() as place:
        async with programs.farm(Path(place)) as farm, asyncio.timeout(600), Client((await _ready(farm)).url) as client:
            seconds = await measure(farm, client, times)
    return [name, bound, report.spread(seconds, "{:.2f}"), len(seconds)]


async def _ready(farm: programs.Farm) -> programs.Farm:
    await farm.master("--lease-time", f"{_LEASE_SECONDS}s")
    return farm


async def _running(client: Client, number: int) -> views.JobView:
    made = await client.submit({"parameters": {**_LONG, "output": f"{number}.mp4"}})
    return await until(client, made.id, "running")


async def _again(client: Client, job: str) -> None:
    """Returns when a second attempt has begun."""
    async for _ in client.events(job=job, after=0):
        if len((await client.tasks(job)).attempts) > 1:
            return


async def _by_another(farm: programs.Farm, client: Client, times: int) -> list[float]:
    master = farm.programs[0]
    agents = {name: await farm.agent(name, master) for name in ("a", "b")}
    seconds = []
    for number in range(times):
        job = await _running(client, number)
        victim = str(job.node_name)
        began = time.monotonic()
        await agents[victim].kill()
        await _again(client, job.id)
        seconds.append(time.monotonic() - began)
        await client.cancel(job.id)
        await until(client, job.id, "canceled")
        agents[victim] = await farm.agent(victim, master)
    return seconds


async def _by_itself(farm: programs.Farm, client: Client, times: int) -> list[float]:
    master = farm.programs[0]
    agent = await farm.agent("a", master)
    seconds = []
    for number in range(times):
        job = await _running(client, number)
        await agent.kill()
        began = time.monotonic()
        started = asyncio.create_task(farm.agent("a", master))
        await _again(client, job.id)
        seconds.append(time.monotonic() - began)
        agent = await started
        await client.cancel(job.id)
        await until(client, job.id, "canceled")
    return seconds


async def _cancel(farm: programs.Farm, client: Client, times: int) -> list[float]:
    agent = await farm.agent("a", farm.programs[0])
    seconds = []
    idle = programs.descendants(agent.pid)
    for number in range(times):
        job = await _running(client, number)
        engines = programs.descendants(agent.pid) - idle
        assert engines, "the job runs without a process"
        began = time.monotonic()
        await client.cancel(job.id)
        await programs.gone(engines)
        seconds.append(time.monotonic() - began)
        await until(client, job.id, "canceled")
    return seconds
