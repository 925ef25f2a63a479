"""Several masters on one PostgreSQL, and agents that know all of them: real processes."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from ffrtmp.client.client import Client
from ffrtmp.testing import programs, slow
from ffrtmp.testing.waiting import until

from ..acceptance.conftest import BUNNY

pytestmark = pytest.mark.postgres

_SLOW = {"output": "out.mp4", "codec": "h264", "preset": "ultrafast", "audio": "none"}
_DEAD = "http://127.0.0.1:9"  # discard: nothing listens there


async def test_an_agent_with_a_dead_master_in_its_list_runs_a_job(tmp_path: Path, database: str) -> None:
    async with programs.farm(tmp_path, dsn=database) as farm:
        master = await farm.master()
        for name in ("a", "b", "c"):  # each draws which one it asks first
            await farm.agent(name, master, masters=[_DEAD, farm.url])
        shutil.copy(BUNNY, farm.media / "in.mp4")
        async with await Client.connect([_DEAD, farm.url]) as client:
            made = await client.submit(
                {"parameters": {"input": "in.mp4", "output": "out.mp4", "codec": "h264", "duration": 1}}
            )
            assert (await until(client, made.id)).state == "completed"
    assert (farm.media / "out.mp4").is_file()


async def test_the_job_of_an_agent_goes_on_when_its_master_is_killed(tmp_path: Path, database: str) -> None:
    async with programs.farm(tmp_path, dsn=database) as farm:
        # 3 s is the shortest lease: an agent that waited for its master would lose it before the job's end
        running = {}
        for name in ("m1", "m2"):
            running[name] = await farm.master("--lease-time", "3s", name=name)
        program = str(slow.ffmpeg(tmp_path))
        agent = await farm.agent("a", running["m1"], "--ffmpeg", program, masters=list(farm.urls.values()))
        async with await Client.connect(farm.urls.values()) as client:
            made = await client.submit({"parameters": {**slow.clip(8), **_SLOW}})
            await until(client, made.id, "running")
            used = next(name for name, master in running.items() if any("node" in line for line in master.logged))
            other = next(name for name in running if name != used)
            await running[used].kill()
            changed = await agent.event("master changed")
            assert (changed["from"], changed["to"]) == (farm.urls[used], farm.urls[other])
            done = await until(client, made.id)
            assert done.state == "completed"
            assert [attempt.state for attempt in (await client.tasks(made.id)).attempts] == ["done"]
            assert done.result is not None
            assert done.result.verdict is not None
            assert done.result.verdict.passed


async def test_the_job_of_an_agent_goes_on_when_its_master_is_frozen(tmp_path: Path, database: str) -> None:
    """Connections are taken and nothing is answered: only the time-outs tell."""
    async with programs.farm(tmp_path, dsn=database) as farm:
        running = {}
        for name in ("m1", "m2"):
            # longer than PostgreSQL lets a transaction stand idle, which the frozen one may leave behind
            running[name] = await farm.master("--lease-time", "30s", name=name)
        program = str(slow.ffmpeg(tmp_path))
        agent = await farm.agent("a", running["m1"], "--ffmpeg", program, masters=list(farm.urls.values()))
        used = next(name for name, master in running.items() if any("node" in line for line in master.logged))
        other = next(name for name in running if name != used)
        async with Client(farm.urls[other]) as client:
            made = await client.submit({"parameters": {**slow.clip(15), **_SLOW}})
            await until(client, made.id, "running")
            os.kill(running[used].pid, signal.SIGSTOP)
            try:
                changed = await agent.event("master changed")
                assert (changed["from"], changed["to"]) == (farm.urls[used], farm.urls[other])
                assert (await until(client, made.id)).state == "completed"
            finally:
                await running[used].kill()
            assert [attempt.state for attempt in (await client.tasks(made.id)).attempts] == ["done"]
