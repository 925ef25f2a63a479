"""A bench for attempts, and a clip for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.agent.bench import Bench

from ffrtmp.domain.command import Command
from ffrtmp.process import run


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.inspector.close()
    made.work.close()


@pytest.fixture
async def clip(bench: Bench) -> Path:
    path = bench.media / "clip.mp4"
    source = "testsrc2=size=160x90:rate=25:duration=2"
    argv = (bench.kit.tools.ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", f"file:{path}")
    assert (await run.to_end(Command(name="make a clip", argv=argv))).ok
    return path
