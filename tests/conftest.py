"""What tests of several rooms use: a real PostgreSQL server, and a fresh database on it for each test."""

import contextlib
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from ffrtmp.store.sqlite_writer import Writer
from ffrtmp.testing import launcher, mutants, postgres
from ffrtmp.testing.mutants import catalog, patches


def pytest_configure(config: pytest.Config) -> None:
    """SIGTERM ends the tests as Ctrl-C does, with all that they started. With a deliberate fault, when the environment names one
    (`python -m ffrtmp.testing.mutation`)."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if mutant := os.environ.get(mutants.VARIABLE):
        put_on = contextlib.ExitStack()
        catalog.MUTANTS[mutant].apply(put_on)
        # what SQLite's writing process does is put on there
        patches.put(put_on, Writer, "command", launcher.WRITER_COMMAND)
        config.add_cleanup(put_on.close)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a PostgreSQL server."""
    made = postgres.Server()
    try:
        made.run()
        yield made.dsn("postgres")
    except (OSError, RuntimeError, ImportError, subprocess.SubprocessError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"PostgreSQL does not start here: {error}")
    finally:
        made.close()


@pytest.fixture
async def database(server: str) -> AsyncIterator[str]:
    """The address of an empty database."""
    name = f"test_{random.randrange(10**12)}"
    admin = await asyncpg.connect(server)
    await admin.execute(f"CREATE DATABASE {name}")
    yield server.removesuffix("postgres") + name
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], Path]]:
    """Mounts file systems of so many MB. They need root, else the test skips."""
    mounted: list[Path] = []

    def mount(place: Path, megabytes: int) -> Path:
        if os.geteuid() != 0:
            pytest.skip("mounting a small file system needs root")
        place.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "ffrtmp-test", place], capture_output=True, text=True
        )
        if done.returncode:
            assert "CI" not in os.environ, done.stderr
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()
