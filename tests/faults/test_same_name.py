"""Two agents with one name, as cloned machines have it: real processes."""

import asyncio
import shutil
from pathlib import Path

import pytest

from ffrtmp.client.client import Client
from ffrtmp.testing import programs
from ffrtmp.testing.waiting import until

from ..acceptance.conftest import BUNNY


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_the_second_waits_until_the_first_is_gone(tmp_path: Path, end: str) -> None:
    async with programs.farm(tmp_path) as farm:
        master = await farm.master("--lease-time", "4s")
        shutil.copy(BUNNY, farm.media / "in.mp4")
        # a killed one is lost after three of them
        first = await farm.agent("a", master, "--heartbeat-interval", "3s" if end == "kill" else "30s")
        async with Client(farm.url) as client, asyncio.TaskGroup() as group:
            joining = group.create_task(farm.agent("a", master, "--work-dir", str(tmp_path / "work-of-the-clone")))
            await master.event("a node was refused", node="a")
            second = farm.programs[-1]
            told = await second.event("taking the name failed", level="warning")
            assert "The name a is taken: an agent on " in told["why"]
            assert "(127.0.0.1) has it, heard " in told["why"]
            assert "another --name, or stop that one" in told["why"]

            async def encode(output: str) -> None:
                made = await client.submit({"parameters": {"input": "in.mp4", "output": output, "codec": "h264"}})
                await until(client, made.id, "completed")
                assert [one.state for one in (await client.tasks(made.id)).attempts] == ["done"]

            await encode("one.mp4")
            assert not joining.done()
            await first.event("task ended")
            assert not any(line["event"] == "task ended" for line in second.logged)
            if end == "stop":
                assert await first.stop() == 0
            else:
                await first.kill()
            await joining
            await encode("two.mp4")
            await second.event("task ended")
        [node] = [line for line in master.logged if line["event"] == "a node returned"]
        assert node["restored"] == 0
