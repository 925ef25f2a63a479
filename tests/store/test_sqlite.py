"""What only SQLite has."""

import asyncio
import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ffrtmp.domain import errors, spec
from ffrtmp.domain.states import JobState
from ffrtmp.store import sqlite_clock, sqlite_file, sqlite_guard, statements
from ffrtmp.store.interface import JobFilter
from ffrtmp.store.ops import read
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.store.statements import Dialect
from ffrtmp.testing import clocks, factories
from ffrtmp.testing.world import NoWait, World


async def test_a_second_master_is_refused(tmp_path: Path) -> None:
    first, second = SqliteStore(tmp_path / "queue.db"), SqliteStore(tmp_path / "queue.db")
    await first.open()
    with pytest.raises(sqlite_guard.StoreLocked, match=str(os.getpid())):
        await second.open()
    await first.close()
    await second.open()
    await second.close()


async def test_a_second_master_in_another_process_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    script = (
        "import asyncio, sys; from ffrtmp.store.sqlite import SqliteStore\nasyncio.run(SqliteStore(sys.argv[1]).open())"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, str(tmp_path / "queue.db")], capture_output=True, text=True
    )
    await store.close()
    assert f"process {os.getpid()}" in done.stderr


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "ceph"])
def test_network_file_systems_are_refused(kind: str) -> None:
    mounts = f"1 0 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / /mnt/my\\040share rw shared:1 - {kind} host:/x rw\n"
    with pytest.raises(sqlite_guard.NetworkFileSystem, match=kind):
        sqlite_guard.refuse_network(Path("/mnt/my share/queue.db"), mounts)
    sqlite_guard.refuse_network(Path("/mnt/other/queue.db"), mounts)


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "queue.db").write_bytes(b"this is a text file, and a long one at that" * 100)
    store = SqliteStore(tmp_path / "queue.db")
    with pytest.raises(errors.Unavailable, match=r"queue\.db"):
        await store.open()
    await store.close()


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.Unavailable):
        await SqliteStore(tmp_path / "file" / "queue.db").open()


async def test_the_files_are_their_owners_only(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    assert {os.stat(tmp_path / name).st_mode & 0o777 for name in os.listdir(tmp_path)} == {0o600}
    await store.close()


def test_commits_are_synced(tmp_path: Path) -> None:
    with contextlib.closing(sqlite_file.for_writing(tmp_path / "queue.db")) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_the_clock_never_goes_back(tmp_path: Path) -> None:
    clock = clocks.Clock()
    store = SqliteStore(tmp_path / "queue.db", clock=clock.read, rng=NoWait())
    await store.open()
    world = World(store)
    first = await world.submit()
    clock.set_back(seconds=3600)
    assert (await world.submit()).created_at == first.created_at
    clock.advance(seconds=10)
    assert (await world.submit()).created_at == first.created_at + 10_000_000
    assert await store.now_us() == first.created_at + 10_000_000
    clock.set_back(seconds=-7200)
    assert (await world.submit()).created_at == clock.us == first.created_at + 3_610_000_000
    await store.close()


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_clock_that_was_set_back_keeps_nobody_waiting(tmp_path: Path, restarted: bool) -> None:
    """Neither the job of a dead agent nor a retry waits until the clock is there again."""
    clock = clocks.Clock()
    store = SqliteStore(tmp_path / "queue.db", clock=clock.read, rng=NoWait())
    await store.open()
    world = World(store)
    made = await world.submit()
    agent = await world.agent(ttl_us=30_000_000)
    await agent.take()
    if restarted:
        await store.close()
        clock.set_back(seconds=3600)
        store = SqliteStore(tmp_path / "queue.db", clock=clock.read, rng=NoWait())
        await store.open()
    else:
        clock.set_back(seconds=3600)
    clock.advance(seconds=29)
    assert (await store.rescue(10)).attempts == []
    clock.advance(seconds=2)
    [lost] = (await store.rescue(10)).attempts
    assert lost.job_id == made.id
    clock.advance(seconds=1)
    assert (await store.promote(10)).count == 1
    await store.close()


def test_the_clock_is_this_machines_and_counts_its_sleep() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6
    wall, steady = sqlite_clock.read()
    assert before - 1 <= steady <= time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6
    clock = sqlite_clock.Clock()
    assert wall <= clock() <= time.time() * 1e6 + 1


async def test_time_decides_what_is_due(tmp_path: Path) -> None:
    clock = clocks.Clock()
    store = SqliteStore(tmp_path / "queue.db", clock=clock.read)
    await store.open()
    world = World(store)
    await world.submit()
    agent = await world.agent(ttl_us=30_000_000)
    grant = await agent.take()
    clock.advance(seconds=29)
    await agent.start(grant)
    clock.advance(seconds=29)
    assert (await store.rescue(10)).attempts == []
    clock.advance(seconds=2)
    [result] = (await store.rescue(10)).attempts
    assert result.run_at is not None
    if result.run_at > clock.us:
        assert (await store.promote(10)).next_due_us == result.run_at - clock.us
    clock.us = result.run_at
    assert (await store.promote(10)).count == 1
    await store.close()


async def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    assert store.writer_pid is not None
    before = resource.prlimit(store.writer_pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    with pytest.raises(errors.Unavailable, match="could not be written"):
        await store.submit(factories.a_job(parameters=b'"' + b"x" * 500_000 + b'"'))
    resource.prlimit(store.writer_pid, resource.RLIMIT_FSIZE, before)
    await store.submit(factories.a_job())
    assert len((await store.list_jobs(JobFilter(), before=None, limit=9)).jobs) == 1
    await store.close()


async def test_a_walk_uses_an_index(tmp_path: Path) -> None:
    """Each single filter is one walk along one index: nothing is sorted, no table is scanned."""
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    filters: list[tuple[JobFilter, JobState | None]] = [
        (JobFilter(), None),
        (JobFilter(), JobState.QUEUED),
        (JobFilter(queue=spec.Queue.LIVE), None),
        (JobFilter(priority=spec.Priority.LOW), None),
        (JobFilter(engine=spec.Engine.FFMPEG), None),
        (JobFilter(scenario="x"), None),
        (JobFilter(node="n"), None),
        (JobFilter(tags={"a": "b"}), None),
        (JobFilter(tags={"a": "b", "c": "d"}, queue=spec.Queue.LIVE), JobState.QUEUED),
    ]
    for which, state in filters:
        more, values = read._filters(which, state)
        statement = statements.variant(Dialect.SQLITE, "job_page", more)
        with contextlib.closing(sqlite_file.for_reading(store.path)) as connection:
            plan = connection.execute(
                "EXPLAIN QUERY PLAN " + statement.text, statement.values({**values, "before": 9, "count": 9})
            ).fetchall()
        steps = [row[3] for row in plan]
        assert not any(step.startswith("SCAN") and "USING" not in step for step in steps), steps
        assert not any("TEMP B-TREE" in step for step in steps), steps
    statement = statements.load(Dialect.SQLITE)["ready_ahead"]
    key = {"sort_key": 1, "job_seq": 1, "position": 1}
    with contextlib.closing(sqlite_file.for_reading(store.path)) as connection:
        text = "EXPLAIN QUERY PLAN " + statement.text
        plan = connection.execute(text, statement.values({"class_id": 1, "count": 9, **key})).fetchall()
    assert any("USING PRIMARY KEY (class_id=? AND (sort_key,job_seq,position)<(?,?,?))" in row[3] for row in plan), plan
    await store.close()


def test_this_python_has_a_new_enough_sqlite() -> None:
    assert sqlite3.sqlite_version_info >= (3, 37)
