"""Databases that crash under load: what was acknowledged is there, nothing is doubled, the tables agree.

`make crash` does more of it.
"""

import os
import shutil
from pathlib import Path

import pytest

from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.postgres_tx import Connection
from ffrtmp.testing.crash import postgres, power, sqlite
from ffrtmp.testing.crash.outcome import Outcome, markdown


def _quietly(_: str) -> None:
    """Tests tell only what is wrong."""


async def test_kills_of_sqlite_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    outcome = await sqlite.kills(tmp_path, 15, 1, 2, _quietly)
    assert outcome.violations == []
    assert outcome.crashes.total() == 15
    assert set(outcome.crashes) == set(sqlite.HOWS)
    assert outcome.acknowledged > 100


@pytest.fixture
def _strace() -> None:
    if shutil.which("strace") is None:
        assert "CI" not in os.environ
        pytest.skip("strace is not installed: it records what is written and synced")


@pytest.mark.usefixtures("_strace")
async def test_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    outcome = await power.cuts(tmp_path, 15, 1, _quietly)
    assert outcome.violations == []
    assert outcome.crashes.total() == 15
    assert outcome.acknowledged > 100


@pytest.mark.usefixtures("_strace")
async def test_commits_that_are_not_synced_are_found(tmp_path: Path) -> None:
    outcome = await power.cuts(tmp_path, 8, 1, _quietly, synchronous="NORMAL")
    assert any("was acknowledged and is lost" in one for one in outcome.violations)


@pytest.mark.postgres
@pytest.mark.usefixtures("server")
async def test_crashes_of_postgresql_lose_nothing_that_was_acknowledged() -> None:
    outcome = await postgres.stops(3, 1, _quietly)
    assert outcome.violations == []
    assert outcome.crashes == {"backend killed": 1, "immediate stop": 2}
    assert outcome.acknowledged > 10


class Trusting(PostgresStore):
    """Leaves the server as it was set up: to answer before it writes."""

    async def _connect(self) -> Connection:
        connection = await super()._connect()
        await connection.execute("SET synchronous_commit = off")
        return connection


@pytest.mark.postgres
@pytest.mark.usefixtures("server")
async def test_a_store_that_does_not_ask_to_wait_for_the_disk_is_found() -> None:
    outcome = await postgres.stops(2, 1, _quietly, Trusting)
    assert any("was acknowledged and is lost" in one for one in outcome.violations)


def test_a_run_is_told_as_a_section() -> None:
    outcome = Outcome(databases=2, seconds=3.4)
    outcome.add("both", 10, [])
    outcome.add("writer", 5, ["lost"])
    assert markdown({"SQLite": outcome}).splitlines()[-1] == "| SQLite | 2 | 1 both, 1 writer | 2 | 15 | 1 | 3 |"
