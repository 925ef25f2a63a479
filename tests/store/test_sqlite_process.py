"""The process that writes: killed, stuck, gone, or answering nonsense, nobody waits for ever and nothing is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from ffrtmp.domain import errors
from ffrtmp.store import interface, sqlite, sqlite_guard, sqlite_writer
from ffrtmp.store.interface import JobFilter
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.store.sqlite_child import Child
from ffrtmp.store.sqlite_writer import Writer
from ffrtmp.testing import factories
from ffrtmp.testing.world import World

_PROCESS = (sys.executable, "-P", "-m", "ffrtmp.store.sqlite_process")
#: takes its start, then answers what nobody can read
_NONSENSE = """
import socket, sys
from ffrtmp.store.sqlite_process import LENGTH, dumps
with socket.socket(fileno=int(sys.argv[1])) as own, own.makefile("rwb") as channel:
    while head := channel.read(LENGTH.size):
        first = channel.read(*LENGTH.unpack(head))
        channel.write(dumps(None) if b"Start" in first else LENGTH.pack(7) + b"nothing")
        channel.flush()
"""


def _with(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Writer, "command", command)


def _children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "sqlite_process" in " ".join(one.cmdline())]


def _asked(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a process has been handed a batch: one that ends sooner is replaced and nobody hears of it."""
    event, ask = asyncio.Event(), Child.ask

    async def noted(self: Child, message: bytes) -> Any:
        event.set()
        return await ask(self, message)

    monkeypatch.setattr(Child, "ask", noted)
    return event


async def test_a_writer_that_dies_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    first = await World(store).submit()
    assert store.writer_pid is not None
    os.kill(store.writer_pid, signal.SIGSTOP)
    handed_over = _asked(monkeypatch)
    asked = [asyncio.create_task(store.submit(factories.a_job())) for _ in range(3)]
    await handed_over.wait()
    os.kill(store.writer_pid, signal.SIGKILL)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert any(isinstance(answer, errors.Unavailable) and "writes the database" in answer.message for answer in answers)
    second = await World(store).submit()
    assert second.sequence_number is not None
    assert second.sequence_number > first.sequence_number
    with pytest.raises(sqlite_guard.StoreLocked):
        await SqliteStore(tmp_path / "queue.db").open()
    await store.close()


async def test_a_killed_master_s_last_transaction_is_waited_for(tmp_path: Path) -> None:
    """Its writer holds the lock until it is done; a master that starts meanwhile waits, and is not refused."""
    path = tmp_path / "queue.db"
    store = SqliteStore(path)
    await store.open()
    assert store.writer_pid is not None
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    path.with_name("queue.db.lock").write_text(f"{gone.pid}\n")  # as if the master had been another process
    successor = SqliteStore(path)
    opening = asyncio.create_task(successor.open())
    await asyncio.sleep(0)
    made = await World(store).submit()
    assert not opening.done()
    await store.close()
    await opening
    assert (await successor.get_job(made.id)).id == made.id
    await successor.close()


async def test_what_cannot_be_sent_fails_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    world = World(store)
    agent = await world.agent()
    await world.submit()
    call = interface.LeaseCall(
        node_id=agent.id, incarnation=agent.incarnation, request_id="r", slots=1, class_ids=(1,), attempt_ids=("a",)
    )
    answers = await asyncio.gather(
        world.submit(), store.lease(call, lambda *_: []), agent.lease(2), return_exceptions=True
    )
    assert isinstance(answers[1], Exception)
    assert len((await store.list_jobs(JobFilter(), before=None, limit=9)).jobs) == 2
    await store.close()


async def test_nonsense_is_an_answer_and_the_next_call_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()  # there are tables
    await store.close()
    with monkeypatch.context() as patch:
        _with((sys.executable, "-c", _NONSENSE), patch)
        await store.open()
        with pytest.raises(errors.Unavailable, match="done or not"):
            await store.submit(factories.a_job())
    assert store._writer is not None
    store._writer.command = _PROCESS
    assert (await World(store).submit()).sequence_number == 1
    await store.close()
    assert not _children()


async def test_a_process_that_cannot_start_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    _with(("false",), monkeypatch)
    with pytest.raises(errors.Unavailable, match="exit code 1"):
        await store.open()
    _with(("/nonexistent",), monkeypatch)
    with pytest.raises(errors.Unavailable, match="cannot be started"):
        await store.open()
    _with(_PROCESS, monkeypatch)
    await store.open()
    await store.close()


async def test_one_that_died_while_idle_costs_nobody_an_error(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    assert store.writer_pid is not None
    await World(store).submit()
    dead = psutil.Process(store.writer_pid)
    dead.kill()
    while dead.status() != psutil.STATUS_ZOMBIE:
        await asyncio.to_thread(os.sched_yield)
    assert (await World(store).submit()).sequence_number == 2
    await store.close()


async def _check_until_it_fails(store: SqliteStore) -> None:
    while True:
        await store.check()


async def test_a_stuck_process_shows_and_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_SILENT_SECONDS", 0.0)
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    await store.check()
    stuck = store.writer_pid
    assert stuck is not None
    os.kill(stuck, signal.SIGSTOP)
    asked = asyncio.create_task(store.submit(factories.a_job()))
    with pytest.raises(errors.Unavailable, match="has not answered"):
        await _check_until_it_fails(store)
    os.kill(stuck, signal.SIGCONT)
    assert (await asked).created
    await store.check()
    monkeypatch.setattr(sqlite_writer, "ANSWER_SECONDS", 0.2)
    os.kill(stuck, signal.SIGSTOP)
    with pytest.raises(errors.Unavailable, match="done or not"):
        await store.submit(factories.a_job())
    monkeypatch.undo()
    assert (await World(store).submit()).id
    assert store.writer_pid != stuck
    await store.close()
    assert not _children()


async def test_a_stuck_process_does_not_keep_the_store_from_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "_CLOSING_SECONDS", 0.2)
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    assert store.writer_pid is not None
    os.kill(store.writer_pid, signal.SIGSTOP)
    asked = [asyncio.create_task(store.submit(factories.a_job())) for _ in range(600)]
    await asyncio.sleep(0)
    await store.close()
    assert all(
        isinstance(answer, errors.Unavailable) for answer in await asyncio.gather(*asked, return_exceptions=True)
    )
    await store.open()
    await store.close()
    assert not _children()


async def test_a_close_that_is_canceled_answers_all(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    asked = [asyncio.create_task(store.submit(factories.a_job())) for _ in range(600)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    answers = await asyncio.gather(*asked, closing, return_exceptions=True)
    assert all(isinstance(answer, interface.Submitted | errors.Unavailable) for answer in answers[:-1])


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20])
async def test_an_open_that_is_canceled_leaves_nothing(tmp_path: Path, turns: int) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    opening = asyncio.create_task(store.open())
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    assert not _children()
    await store.open()
    await store.close()


def test_a_master_that_vanishes_leaves_no_words(tmp_path: Path) -> None:
    """Whether it goes before the start is told, or while an answer is written."""
    for message in ("b''", "LENGTH.pack(9) + b'half'", "dumps(Start('x', Path(sys.argv[1]), 0, random.Random()))"):
        script = (
            "import os, random, socket, subprocess, sys\n"
            "from pathlib import Path\n"
            "from ffrtmp.store.sqlite_process import LENGTH, Start, dumps\n"
            "ours, its = socket.socketpair()\n"
            f"command = {_PROCESS!r} + (str(its.fileno()), '0')\n"
            "child = subprocess.Popen(command, pass_fds=[its.fileno()])\n"
            "its.close()\n"
            f"ours.sendall({message})\n"
            "ours.close()\n"
            "sys.exit(child.wait())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "queue.db")], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


async def test_another_version_under_a_running_master_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ffrtmp.__version__", "0.0.1")
    with pytest.raises(errors.Unavailable, match="restart the master"):
        await SqliteStore(tmp_path / "queue.db").open()


class Unreadable:
    """A choice that the other process cannot load."""

    def __reduce__(self) -> tuple[object, ...]:
        return eval, ("1 / 0",)

    def __call__(self, *_: object) -> list[list[interface.Ready]]:
        return []


async def test_what_cannot_be_read_there_fails_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queue.db")
    await store.open()
    world = World(store)
    agent = await world.agent()
    call = interface.LeaseCall(
        node_id=agent.id, incarnation=agent.incarnation, request_id="r", slots=1, class_ids=(1,), attempt_ids=("a",)
    )
    pid = store.writer_pid
    answers = await asyncio.gather(
        world.submit(), store.lease(call, Unreadable()), world.submit(), return_exceptions=True
    )
    assert isinstance(answers[1], ZeroDivisionError)
    assert len((await store.list_jobs(JobFilter(), before=None, limit=9)).jobs) == 2
    assert store.writer_pid == pid
    await store.close()
