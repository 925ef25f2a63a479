"""Disks that are really full: it is said, nothing is half written, and work goes on by itself when there is room again."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.store.interface import JobFilter
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.testing import factories, postgres, programs
from ffrtmp.testing.crash.postgres import answers
from ffrtmp.testing.waiting import until
from ffrtmp.testing.world import World

from ..acceptance.conftest import BUNNY

Disk = Callable[[Path, int], Path]


def fill(place: Path) -> Path:
    """Not a byte is left. Removing the file that is returned makes room."""
    ballast = place / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as sink:
        while sink.write(b"\0" * 65536) == 65536:
            pass
        while True:
            sink.write(b"\0")
    return ballast


def sound(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_a_full_disk_under_sqlite_is_said_and_mends_itself(tmp_path: Path, small_disk: Disk) -> None:
    disk = small_disk(tmp_path / "small", 16)
    store = SqliteStore(disk / "queue.db")
    await store.open()
    world = World(store)
    agent = await world.agent()
    made = await world.submit()
    grant = await agent.take()
    ballast = fill(disk)
    answers = await asyncio.gather(
        *(world.submit(), agent.start(grant), agent.complete(grant.attempt_id), store.submit_many([factories.a_job()])),
        return_exceptions=True,
    )
    assert [getattr(answer, "code", answer) for answer in answers] == ["disk_full"] * 4
    # what is there can be read, and nothing was half done
    assert (await store.get_job(made.id)).state == "assigned"
    assert len((await store.list_jobs(JobFilter(), before=None, limit=9)).jobs) == 1
    ballast.unlink()
    await agent.start(grant)
    assert (await agent.complete(grant.attempt_id)).job_state == "completed"
    await world.submit()
    await store.close()
    sound(disk / "queue.db")


async def test_a_process_that_writes_is_replaced_on_a_full_disk(tmp_path: Path, small_disk: Disk) -> None:
    disk = small_disk(tmp_path / "small", 16)
    store = SqliteStore(disk / "queue.db")
    await store.open()
    made = await World(store).submit()
    ballast = fill(disk)
    assert store.writer_pid is not None
    os.kill(store.writer_pid, signal.SIGKILL)
    answers = await asyncio.gather(*(store.submit(factories.a_job()) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, errors.Unavailable) for answer in answers), answers
    ballast.unlink()
    again = await World(store).submit()
    assert [one.id for one in (await store.list_jobs(JobFilter(), before=None, limit=9)).jobs] == [again.id, made.id]
    await store.close()
    sound(disk / "queue.db")


async def test_a_database_that_cannot_be_made_says_so(tmp_path: Path, small_disk: Disk) -> None:
    disk = small_disk(tmp_path / "small", 4)
    ballast = fill(disk)
    with pytest.raises(errors.Unavailable, match=r"full|No space left"):
        await SqliteStore(disk / "queue.db").open()
    ballast.unlink()
    store = SqliteStore(disk / "queue.db")
    await store.open()
    await store.close()


async def test_a_master_on_a_full_disk_answers_and_goes_on(tmp_path: Path, small_disk: Disk) -> None:
    """Its database and its log are on it: a submission is refused with the reason, and what is there is told."""
    disk = small_disk(tmp_path / "small", 32)
    log = disk / "master.log"
    async with programs.farm(tmp_path) as farm:
        first = await farm.master(db=disk / "master.db")
        await first.stop()
        with log.open("wb") as sink:
            master = await asyncio.create_subprocess_exec(
                *(str(Path(sys.executable).parent / "ffrtmp"), "master", "--host", "127.0.0.1"),
                *("--port", farm.url.rsplit(":", 1)[1], "--metrics-port", "0", "--no-tls", "--no-auth"),
                *("--db", str(disk / "master.db"), "--ready-file", str(tmp_path / "ready"), "--log-format", "json"),
                env={**os.environ, "FFRTMP_STATE_DIR": str(tmp_path / "state")},
                stderr=sink,
            )
        async with Client(farm.url) as client:
            await asyncio.wait_for(_answers(client), programs.PATIENCE_SECONDS)
            body = {"scenario": "720p30-h264"}
            made = await client.submit(body)
            ballast = fill(disk)
            with pytest.raises(errors.Unavailable, match="disk") as raised:
                await client.submit(body)
            assert raised.value.code == "disk_full"
            assert (await client.job(made.id)).state == "queued"
            assert await _status(farm.url, "/ready") == (503, "disk_full")
            assert await _status(farm.url, "/health") == (200, None)
            await asyncio.to_thread(ballast.unlink)
            again = await client.submit(body)
            assert await _status(farm.url, "/ready") == (200, None)
            assert [job.id for job in (await client.jobs(limit=9)).jobs] == [again.id, made.id]
            fill(disk)
        master.terminate()
        assert await master.wait() == 0
    sound(disk / "master.db")


async def _status(url: str, path: str) -> tuple[int, str | None]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as web:
        answer = await web.get(path)
    return answer.status_code, answer.json().get("code")


async def _answers(client: Client) -> None:
    while True:
        try:
            await client.jobs(limit=1)
            return
        except errors.Unavailable:
            await asyncio.sleep(0.05)


async def test_a_full_work_directory_sends_the_job_to_another_node(tmp_path: Path, small_disk: Disk) -> None:
    disk = small_disk(tmp_path / "small", 80)
    async with programs.farm(tmp_path) as farm:
        master = await farm.master()
        await farm.agent("full", master, "--work-dir", str(disk / "work"))
        fill(disk)
        shutil.copy(BUNNY, farm.media / "in.mp4")
        async with Client(farm.url) as client:
            made = await client.submit({"parameters": {"input": "in.mp4", "output": "out.mp4", "codec": "h264"}})
            await until(client, made.id, "retrying")
            [attempt] = (await client.tasks(made.id)).attempts
            assert attempt.failure is not None
            assert (attempt.failure.code, attempt.failure.failure_class) == ("disk_full", "infrastructure")
            assert os.listdir(disk / "work" / "attempts") == []
            assert sorted(os.listdir(farm.media)) == ["in.mp4"]
            await client.drain("full")
            await farm.agent("roomy", master)
            assert (await until(client, made.id, "completed")).node_name == "roomy"
        assert sorted(os.listdir(farm.media)) == ["in.mp4", "out.mp4"]


async def test_a_full_artifact_directory_refuses_and_takes_the_rest_later(tmp_path: Path, small_disk: Disk) -> None:
    disk = small_disk(tmp_path / "small", 8)
    data = os.urandom(4 << 20)
    async with programs.farm(tmp_path) as farm:
        await farm.master("--artifacts", str(disk / "artifacts"))
        async with httpx.AsyncClient(base_url=farm.url) as web:
            about = {"name": "in.bin", "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            upload = (await web.post("/uploads", json=about)).raise_for_status().headers["location"]
            ballast = fill(disk)
            refused = await web.put(upload, content=data, headers={"Upload-Offset": "0"})
            assert (refused.status_code, refused.json()["code"]) == (503, "disk_full")
            another = await web.post("/uploads", json=about)
            assert (another.status_code, another.json()["code"]) == (503, "disk_full")
            await asyncio.to_thread(ballast.unlink)
            kept = (await web.get(upload)).json()["offset"]
            done = await web.put(upload, content=data[kept:], headers={"Upload-Offset": str(kept)})
            assert done.json()["complete"], done.text
            files = [path for path in (disk / "artifacts").rglob("*") if path.is_file() and path.name != ".lock"]
            assert [path.read_bytes() for path in files] == [data]


@pytest.mark.postgres
@pytest.mark.usefixtures("server")
async def test_a_full_disk_under_postgresql_is_said_and_mends_itself(tmp_path: Path, small_disk: Disk) -> None:
    disk = small_disk(Path(tempfile.mkdtemp(prefix="ffrtmp-full-", dir="/tmp")), 128)  # see `postgres.Server`
    async with postgres.server(disk) as server:
        store = PostgresStore(server.dsn("postgres"))
        try:
            await store.open()
            made = [(await World(store).submit()).id]
            ballast = fill(disk)
            with pytest.raises(errors.Unavailable) as raised:
                await _submit_for_ever(store, made)
            assert raised.value.code == "disk_full"
            with pytest.raises(errors.Unavailable):
                await store.check_writing()
            await asyncio.to_thread(ballast.unlink)
            await asyncio.wait_for(answers(server), programs.PATIENCE_SECONDS)
            made.append((await World(store).submit()).id)
            await store.check_writing()
            assert [(await store.get_job(job_id)).id for job_id in made] == made
            assert sum((await store.counts()).jobs.values()) == len(made)
        finally:
            await store.close()


async def _submit_for_ever(store: PostgresStore, made: list[str]) -> None:
    """Until the pages at hand are used up."""
    while True:
        made += [one.job.id for one in await store.submit_many([factories.a_job() for _ in range(100)])]


async def test_a_running_job_is_given_up_at_its_fence_and_runs_again_with_room(
    tmp_path: Path, small_disk: Disk
) -> None:
    """No lease can be renewed on a full disk: the agent works on until its fence, and then there is nothing left of the attempt."""
    disk = small_disk(tmp_path / "small", 32)
    async with programs.farm(tmp_path) as farm:
        master = await farm.master("--lease-time", "4s", db=disk / "master.db")
        agent = await farm.agent("a", master)
        body = {"input": "generate", "duration": 3000, "codec": "h265", "preset": "slower", "output": "out.mp4"}
        async with Client(farm.url) as client:
            made = await client.submit({"parameters": body})
            await until(client, made.id, "running")
            encoders = await asyncio.wait_for(_encoders(agent), programs.PATIENCE_SECONDS)
            ballast = fill(disk)
            await programs.gone(encoders)
            await asyncio.to_thread(ballast.unlink)
            await until(client, made.id, "retrying", "queued", "assigned")
            await until(client, made.id, "running")
            # given back by its agent, or rescued before that
            first, second = (one.state for one in (await client.tasks(made.id)).attempts)
            assert first in ("returned", "lost")
            assert second == "running"
            await client.cancel(made.id)
            await until(client, made.id, "canceled")
        assert list(farm.media.iterdir()) == []


async def _encoders(agent: programs.Program) -> set[int]:
    while True:
        children = programs.descendants(agent.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            if found := {pid for pid in children if "ffmpeg" in psutil.Process(pid).name()}:
                return found
        await asyncio.sleep(0.02)
