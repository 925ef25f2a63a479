"""A full disk is said as such; what was written is removed; with room again the job completes."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ffrtmp.client.client import Client
from ffrtmp.testing import programs
from ffrtmp.testing.waiting import until

from .conftest import BUNNY


@pytest.fixture
def small(tmp_path: Path, small_disk: Callable[[Path, int], Path]) -> Path:
    """Little more than the reserve that an agent keeps free."""
    return small_disk(tmp_path / "small", 80)


async def test_a_full_disk_fails_the_attempt_and_room_mends_it(tmp_path: Path, small: Path) -> None:
    async with programs.farm(tmp_path) as farm:
        master = await farm.master("--max-retries", "0")
        await farm.agent("a", master, "--media-root", str(small))
        shutil.copy(BUNNY, farm.media / "in.mp4")
        ballast = small / "ballast"
        ballast.write_bytes(b"\0" * (79 << 20))
        async with Client(farm.url) as client:
            body = {"input": "generate", "duration": 3, "codec": "h264", "crf": 1, "preset": "ultrafast"}
            made = await client.submit({"parameters": {**body, "output": str(small / "out.mp4")}})
            failed = await until(client, made.id, "failed")
            assert failed.failure is not None
            assert (failed.failure.code, failed.failure.failure_class) == ("disk_full", "infrastructure")
            assert os.listdir(small) == ["ballast"]
            await asyncio.to_thread(ballast.unlink)
            again = await client.retry(made.id)
            await until(client, again.job_id, "completed")
        assert os.listdir(small) == ["out.mp4"]
