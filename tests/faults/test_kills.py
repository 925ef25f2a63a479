"""kill -9 of an agent in the middle of a job, and of the master in the middle of submissions: real processes."""

import asyncio
import contextlib
import shutil
from pathlib import Path

import pytest

from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.testing import programs
from ffrtmp.testing.waiting import until

from ..acceptance.conftest import BUNNY

#: seconds of work on any machine, so that it is killed in the middle
_SLOW = {"codec": "h265", "preset": "slower", "duration": 1}


def _media(farm: programs.Farm) -> set[str]:
    return {path.name for path in farm.media.iterdir()}


async def test_a_killed_agents_job_completes_on_another_and_nothing_is_left(tmp_path: Path) -> None:
    async with programs.farm(tmp_path) as farm:
        master = await farm.master("--lease-time", "4s")
        agents = {name: await farm.agent(name, master) for name in ("a", "b")}
        shutil.copy(BUNNY, farm.media / "in.mp4")
        async with Client(farm.url) as client:
            made = await client.submit({"parameters": {"input": "in.mp4", "output": "out.mp4", **_SLOW}})
            running = await until(client, made.id, "running")
            victim = agents[str(running.node_name)]
            children = programs.descendants(victim.pid)
            assert children
            await victim.kill()
            await programs.gone(children)
            done = await until(client, made.id, "completed")
            assert done.node_name != running.node_name
            assert done.result is not None
            assert done.result.verdict is not None
            assert done.result.verdict.passed
            attempts = (await client.tasks(made.id)).attempts
            assert [attempt.state for attempt in attempts] == ["lost", "done"]
            assert attempts[0].failure is not None
            assert attempts[0].failure.code == "lease_expired"
        assert "out.mp4" in _media(farm)
        assert not any(name.endswith(".mp4") and name not in ("in.mp4", "out.mp4") for name in _media(farm))
        # the killed agent sweeps what it left when it comes back
        await farm.agent(str(running.node_name), master)
        assert _media(farm) == {"in.mp4", "out.mp4"}
        assert not list((tmp_path / f"work-{running.node_name}").glob("attempts/*"))


async def test_a_restarted_agents_job_is_back_at_once(tmp_path: Path) -> None:
    async with programs.farm(tmp_path) as farm:
        master = await farm.master("--lease-time", "1h")  # so that only the restart can bring it back
        agent = await farm.agent("a", master)
        shutil.copy(BUNNY, farm.media / "in.mp4")
        async with Client(farm.url) as client:
            made = await client.submit({"parameters": {"input": "in.mp4", "output": "out.mp4", **_SLOW}})
            await until(client, made.id, "running")
            await agent.kill()
            await farm.agent("a", master)
            await until(client, made.id, "completed")
            assert [attempt.state for attempt in (await client.tasks(made.id)).attempts] == ["lost", "done"]
        assert _media(farm) == {"in.mp4", "out.mp4"}


@pytest.mark.parametrize("acknowledged_before", [5, 60])
async def test_a_killed_master_loses_no_acknowledged_job_and_doubles_none(
    tmp_path: Path, acknowledged_before: int
) -> None:
    bodies = {
        f"key-{number}": {"scenario": "720p30-h264", "parameters": {"tags": {"n": str(number)}}}
        for number in range(400)
    }
    acknowledged: dict[str, str] = {}
    async with programs.farm(tmp_path) as farm:
        master = await farm.master()
        enough = asyncio.Event()

        async def submit(client: Client, keys: list[str]) -> None:
            for key in keys:
                made = await client.submit(bodies[key], idempotency_key=key)
                acknowledged[key] = made.id
                if len(acknowledged) >= acknowledged_before:
                    enough.set()

        async with contextlib.AsyncExitStack() as stack:
            keys = list(bodies)
            submitters = []
            for worker in range(8):
                client = await stack.enter_async_context(Client(farm.url))
                submitters.append(asyncio.create_task(submit(client, keys[worker::8])))
            await enough.wait()
            await master.kill()
            ends = await asyncio.gather(*submitters, return_exceptions=True)
            assert all(end is None or isinstance(end, errors.Unavailable) for end in ends), ends
        assert len(acknowledged) >= acknowledged_before
        await farm.master()
        async with Client(farm.url) as client:
            for job_id in acknowledged.values():
                assert (await client.job(job_id)).state == "queued"
            for key, body in bodies.items():
                again = await client.submit(body, idempotency_key=key)
                assert acknowledged.setdefault(key, again.id) == again.id
            assert len(set(acknowledged.values())) == len(bodies)
            listed, cursor = [], None
            while True:
                page = await client.jobs(limit=1000, cursor=cursor)
                listed += page.jobs
                if (cursor := page.next_cursor) is None:
                    break
            assert {job.id for job in listed} == set(acknowledged.values())


async def test_a_job_goes_on_while_its_only_master_is_away(tmp_path: Path) -> None:
    """And its result is taken when the master is back, since the lease still lives."""
    async with programs.farm(tmp_path) as farm:
        master = await farm.master("--lease-time", "10m")
        agent = await farm.agent("a", master)
        shutil.copy(BUNNY, farm.media / "in.mp4")
        async with Client(farm.url) as client:
            made = await client.submit({"parameters": {"input": "in.mp4", "output": "out.mp4", **_SLOW}})
            await until(client, made.id, "running")
            await master.kill()
            await agent.event("report failed")  # it came to the end of its work, and may not publish yet
            assert "out.mp4" not in _media(farm)
            await farm.master("--lease-time", "10m")
            await until(client, made.id, "completed")
            assert [attempt.state for attempt in (await client.tasks(made.id)).attempts] == ["done"]
        assert _media(farm) == {"in.mp4", "out.mp4"}


async def test_sigterm_lets_an_agent_finish(tmp_path: Path) -> None:
    async with programs.farm(tmp_path) as farm:
        agent = await farm.agent("a", await farm.master(), "--stop-grace", "10m")
        shutil.copy(BUNNY, farm.media / "in.mp4")
        async with Client(farm.url) as client:
            made = await client.submit({"parameters": {"input": "in.mp4", "output": "out.mp4", **_SLOW}})
            waits = await client.submit({"parameters": {"input": "in.mp4", "output": "next.mp4", **_SLOW}})
            await until(client, made.id, "running")
            assert await agent.stop() == 0
            assert (await client.job(made.id)).state == "completed"
            assert (await client.job(waits.id)).state == "queued"
        assert _media(farm) == {"in.mp4", "out.mp4"}


@pytest.mark.parametrize("again", [False, True], ids=["after its grace", "at a second signal"])
async def test_sigterm_gives_back_what_an_agent_cannot_finish(tmp_path: Path, again: bool) -> None:
    async with programs.farm(tmp_path) as farm:
        master = await farm.master("--lease-time", "10m")  # so that only giving it back can bring it to another
        agent = await farm.agent("a", master, "--stop-grace", "10m" if again else "0s")
        shutil.copy(BUNNY, farm.media / "in.mp4")
        async with Client(farm.url) as client:
            made = await client.submit({"parameters": {"input": "in.mp4", "output": "out.mp4", **_SLOW}})
            await until(client, made.id, "running")
            if again:
                agent.process.terminate()
                await agent.event("stopping; what runs may finish")
            assert await agent.stop() == 0
            assert _media(farm) == {"in.mp4"}
            await farm.agent("b", master)
            done = await until(client, made.id, "completed")
            assert (done.retry_count, done.node_name) == (0, "b")
            assert [attempt.state for attempt in (await client.tasks(made.id)).attempts] == ["returned", "done"]
