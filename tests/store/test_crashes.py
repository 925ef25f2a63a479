"""Databases that crash under load: what was acknowledged is there, nothing is doubled, the tables agree.

`make crash` does more of it.
"""

import asyncio
import contextlib
import copy
import os
import random
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.postgres_tx import Connection
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.testing import programs
from ffrtmp.testing.crash import load, postgres, power, sqlite
from ffrtmp.testing.crash.ledger import Answered, Asked, Ledger, Seen
from ffrtmp.testing.crash.outcome import Outcome, markdown
from ffrtmp.testing.deployment import cmdline
from ffrtmp.testing.world import NoWait


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
    """Whether a cut falls between an answer and the next sync is chance: there are as many cuts as it takes, up to a bound."""
    for seed in range(1, 9):
        place = tmp_path / str(seed)
        place.mkdir()
        outcome = await power.cuts(place, 8, seed, _quietly, synchronous="NORMAL")
        if any("was acknowledged and is lost" in one for one in outcome.violations):
            return
    raise AssertionError("no cut lost anything that was acknowledged")


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


async def test_a_signal_ends_all_of_it(tmp_path: Path) -> None:
    command = (sys.executable, "-P", "-m", "ffrtmp.testing.crash", "--sqlite", "100000", "--workers", "1")
    crashing = await asyncio.create_subprocess_exec(*command, "--keep", str(tmp_path))
    while not (victims := {pid for pid in programs.descendants(crashing.pid) if b"crash.victim" in cmdline(pid)}):  # noqa: ASYNC110 - the kernel tells of no other's child
        await asyncio.sleep(0.01)
    crashing.terminate()
    assert await crashing.wait() == 130
    await programs.gone(victims)


#: what is done to the tables → what must be said of it
_DAMAGE = {
    "DELETE FROM jobs WHERE seq = 5": "was acknowledged and is lost",
    "UPDATE jobs SET state = 'queued' WHERE state = 'completed'": "was acknowledged as completed and is queued",
    "UPDATE attempts SET state = 'assigned' WHERE state = 'done'": "was acknowledged as done and is assigned",
    "UPDATE jobs SET id = 'x' || id": "was given to",
    "DELETE FROM events WHERE seq = 5": "was read and is lost",
    "UPDATE events SET kind = 'x' WHERE seq = 5": "then x",
    "DELETE FROM nodes": "node",
    "UPDATE counters SET value = value + 1": "the tables disagree",
    "UPDATE ready SET sort_key = sort_key + 1": "the tables disagree",
    "DELETE FROM idempotency": "was answered with",
    "UPDATE jobs SET cancel_requested = 0, state = 'queued' WHERE state = 'canceled'": "the cancel of job",
}


async def test_each_damage_is_found(tmp_path: Path) -> None:
    ledger, enough = Ledger(), asyncio.Event()

    def note(record: Asked | Answered | Seen) -> None:
        ledger.note(record)
        if ledger.acknowledged > 400:
            enough.set()

    path = tmp_path / "queue.db"
    store = SqliteStore(path, rng=NoWait(7))
    await store.open()
    await load.run([store], note, random.Random(3), enough)
    await store.close()
    await sqlite.examine(path, ledger)
    assert ledger.violations == []
    for number, (damage, told) in enumerate(_DAMAGE.items()):
        damaged, known = tmp_path / f"{number}.db", copy.deepcopy(ledger)
        shutil.copy(path, damaged)
        with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            assert connection.execute(damage).rowcount > 0, damage
        await sqlite.examine(damaged, known)
        assert any(told in one for one in known.violations), (damage, known.violations)


def test_a_run_is_told_as_a_section() -> None:
    outcome = Outcome(databases=2, seconds=3.4)
    outcome.add("both", 10, [])
    outcome.add("writer", 5, ["lost"])
    assert (
        markdown({"SQLite": outcome}, "crash", "abc").splitlines()[-1]
        == "| SQLite | 2 | 1 both, 1 writer | 2 | 15 | 1 | 3 |"
    )
