"""Real programs: a master, agents, files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ffrtmp.client.client import Client
from ffrtmp.testing import programs

BUNNY = Path(__file__).parents[1] / "media" / "bunny.mp4"


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[programs.Farm]:
    async with programs.farm(tmp_path) as made:
        yield made


@pytest.fixture
async def client(farm: programs.Farm) -> AsyncIterator[Client]:
    """Of a farm whose master has been started."""
    await farm.master()
    async with Client(farm.url) as made:
        yield made
