"""`ffrtmp master --workers N`: real processes on one port."""

import asyncio
import os
import re
import shutil
import signal
from pathlib import Path

import httpx
import psutil
import pytest

from ffrtmp.client.client import Client
from ffrtmp.telemetry import metrics
from ffrtmp.testing import programs, slow
from ffrtmp.testing.waiting import until

pytestmark = pytest.mark.postgres


def _workers(master: programs.Program) -> list[int]:
    return [line["pid"] for line in master.logged if line.get("event") == "a worker is ready"]


async def _requests(metrics_url: str) -> float:
    """Answered `GET /queue`, as one scrape tells."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(metrics_url)).text
    found = re.findall(r'ffrtmp_http_requests_total\{route="GET /queue",status="2xx"\} (\S+)', text)
    assert len(found) <= 1, text
    return float(found[0]) if found else 0.0


async def _ask(url: str, times: int) -> None:
    """Each on a connection of its own, so that every worker gets some."""
    for _ in range(times):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            (await client.get("/queue")).raise_for_status()


async def test_a_killed_worker_is_replaced_and_jobs_and_counts_are_whole(tmp_path: Path, database: str) -> None:
    async with programs.farm(tmp_path, dsn=database) as farm:
        master = await farm.master("--workers", "2")
        assert len(_workers(master)) == 2
        # work is looked for at each poll: the workers do not wake each other
        agent = await farm.agent(
            "a", master, "--poll-interval", "1s", "--ffmpeg", str(slow.ffmpeg(tmp_path)), masters=[farm.url]
        )
        await _ask(farm.url, 40)
        assert await _requests(farm.metrics_url) == 40
        async with Client(farm.url) as client:
            made = await client.submit(
                {"parameters": {**slow.clip(8), "output": "out.mp4", "codec": "h264", "preset": "ultrafast"}}
            )
            await until(client, made.id, "running")
            victim = _workers(master)[0]
            os.kill(victim, signal.SIGKILL)
            ended = await master.event("a worker ended; another takes its place")
            assert (ended["pid"], ended["why"]) == (victim, "signal SIGKILL")
            done = await until(client, made.id)
            assert done.state == "completed"
            assert [attempt.state for attempt in (await client.tasks(made.id)).attempts] == ["done"]
        await master.count("a worker is ready", 3)
        await _ask(farm.url, 40)
        for _ in range(8):  # whichever of them is asked
            assert await _requests(farm.metrics_url) == 80
        assert await agent.stop() == 0
        processes = programs.descendants(master.pid)
        assert len(processes & set(_workers(master))) == 2
        assert await master.stop() == 0
        await programs.gone(processes)


async def test_a_cleaner_of_temporary_files_keeps_no_worker_from_starting(tmp_path: Path, database: str) -> None:
    async with programs.farm(tmp_path, dsn=database) as farm:
        master = await farm.master("--workers", "2")
        victim, other = _workers(master)
        shutil.rmtree(psutil.Process(other).environ()[metrics.SHARED])
        os.kill(victim, signal.SIGKILL)
        said = await master.event("the folder of the workers' metrics was removed, and is made anew")
        assert said["level"] == "warning"
        await master.count("a worker is ready", 3)
        os.kill(other, signal.SIGKILL)  # what it counted went with the folder
        await master.count("a worker is ready", 4)
        await _ask(farm.url, 20)
        assert await _requests(farm.metrics_url) == 20


async def test_workers_end_with_their_parent_however_it_ends(tmp_path: Path, database: str) -> None:
    async with programs.farm(tmp_path, dsn=database) as farm:
        master = await farm.master("--workers", "2")
        processes = programs.descendants(master.pid)
        await master.kill()
        await programs.gone(processes)
        # and nothing of them is in the way
        await farm.master("--workers", "2")


async def test_a_second_master_on_the_port_is_refused(tmp_path: Path, database: str) -> None:
    async with programs.farm(tmp_path, dsn=database) as farm:
        await farm.master("--workers", "2")
        farm.urls["second"] = farm.url
        for workers in ("1", "2"):
            with pytest.raises(AssertionError, match=r"Cannot listen on 127\.0\.0\.1:\d+ \(Address already in use\)"):
                await farm.master("--workers", workers, name="second")


async def test_more_workers_than_connections_are_refused(tmp_path: Path, database: str) -> None:
    async with programs.farm(tmp_path, dsn=database) as farm:
        with pytest.raises(AssertionError, match=r"--workers 500 may need \d+ connections, .* give at most \d+"):
            await farm.master("--workers", "500")


async def test_workers_that_cannot_start_end_the_master(tmp_path: Path, database: str) -> None:
    async with programs.farm(tmp_path, dsn=database) as farm:
        (tmp_path / "taken").touch()
        with pytest.raises(AssertionError, match="artifact directory"):
            await farm.master("--workers", "2", "--artifacts", str(tmp_path / "taken"))
        assert await asyncio.wait_for(farm.programs[0].process.wait(), programs.PATIENCE_SECONDS) == 2
