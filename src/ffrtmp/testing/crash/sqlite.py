"""kill -9 of the processes that have a SQLite database open, each at a random moment, and the checks after it."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ffrtmp.store import sqlite_file
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.store.sqlite_process import LENGTH, loads
from ffrtmp.testing import programs
from ffrtmp.testing.crash import check
from ffrtmp.testing.crash.ledger import Ledger
from ffrtmp.testing.crash.outcome import Outcome
from ffrtmp.testing.world import NoWait

#: who is killed. `opening`: both, while the database is opened; `writer`: only the process that writes, and the master goes on
HOWS = ("opening", "writer", "master", "both")
_WEIGHTS = (1, 3, 3, 3)
#: kills of one database: its tables stay small enough to be compared whole after each
_PER_DATABASE = 20
_ANSWERS = 150  #: at most, before a kill
_GOES_ON = 5  #: answers after which a master is seen to go on
_OPENING_SECONDS = 0.6
_MOMENT_SECONDS = 0.003


async def kills(folder: Path, count: int, seed: int, workers: int, said: Callable[[str], None]) -> Outcome:
    """So many kills, in `workers` databases at a time."""
    outcome = Outcome()
    left = iter(range(count))

    async def work(worker: int) -> None:
        path, ledger, killed = folder / "none", Ledger(), _PER_DATABASE
        for number in left:
            rng = random.Random(f"{seed}/{number}")
            if killed == _PER_DATABASE:
                path, ledger, killed = folder / f"{number}.db", Ledger(), 0
                outcome.databases += 1
            how = rng.choices(HOWS, _WEIGHTS)[0]
            before = ledger.acknowledged
            async with asyncio.timeout(programs.PATIENCE_SECONDS):
                await kill_once(path, ledger, how, rng)
            killed += 1
            outcome.add(how, ledger.acknowledged - before, [f"kill {number} ({how}): {w}" for w in ledger.violations])
            ledger.violations.clear()
            said(f"kill {number} ({how}), worker {worker}")

    await asyncio.gather(*(work(worker) for worker in range(workers)))
    return outcome


async def kill_once(path: Path, ledger: Ledger, how: str, rng: random.Random) -> None:
    """A process works on the database, is killed, and what is left is compared with the ledger."""
    eager = ["eager"] if rng.random() < 0.5 else []
    with path.with_suffix(".log").open("ab") as log:
        victim = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "ffrtmp.testing.crash.victim", str(path), str(rng.random()), *eager),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        await _strike(victim, ledger, how, rng)
    finally:
        if victim.returncode is None:  # we are to end
            left = {victim.pid, *programs.descendants(victim.pid)}
            for pid in left:
                _kill(pid)
            await programs.gone(left)
            await victim.wait()
    if victim.returncode != (0 if how == "writer" else -signal.SIGKILL):
        ledger.violations.append(f"the master ended with {victim.returncode}: see {path.with_suffix('.log')}")
    ledger.crashed()
    await examine(path, ledger)


async def _strike(victim: asyncio.subprocess.Process, ledger: Ledger, how: str, rng: random.Random) -> None:
    """Returns when it has ended."""
    assert victim.stdout is not None
    assert victim.stdin is not None
    await _record(victim.stdout)
    if how == "opening":
        await asyncio.sleep(rng.uniform(0, _OPENING_SECONDS))
    else:
        await _answers(victim.stdout, ledger, rng.randint(1, _ANSWERS))
        await asyncio.sleep(rng.uniform(0, _MOMENT_SECONDS))
    writer = programs.descendants(victim.pid)
    for pid in {"writer": sorted(writer), "master": [victim.pid]}.get(
        how, [victim.pid, *writer][:: rng.choice([1, -1])]
    ):
        _kill(pid)
    if how == "writer":
        await _answers(victim.stdout, ledger, _GOES_ON)
        victim.stdin.close()
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:  # what stood in the pipe when the process was killed
            ledger.note(await _record(victim.stdout))
    await victim.wait()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def examine(path: Path, ledger: Ledger) -> None:
    """Opens the database as the next master does, and adds what is wrong with it to the ledger."""
    store = SqliteStore(path, rng=NoWait(7))
    await store.open()
    try:
        with contextlib.closing(sqlite_file.for_reading(path)) as connection:

            async def sql(text: str) -> list[tuple[Any, ...]]:
                return connection.execute(text).fetchall()

            ledger.violations += _damage(connection)
            await check.after_a_crash(ledger, store, sql)
    finally:
        await store.close()


def _damage(connection: sqlite3.Connection) -> list[str]:
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    return found + [f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")]


async def _record(stream: asyncio.StreamReader) -> Any:
    (size,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    return loads(await stream.readexactly(size))


async def _answers(stream: asyncio.StreamReader, ledger: Ledger, count: int) -> None:
    until = ledger.acknowledged + count
    while ledger.acknowledged < until:
        ledger.note(await _record(stream))
