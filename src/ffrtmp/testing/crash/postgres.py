"""Immediate stops of a PostgreSQL under load from two stores, and kill -9 of one of its processes, each at a random moment.

The server is set up to acknowledge before it writes (`synchronous_commit=off`), and to write late: what survives does so because
the stores ask for more.
"""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg

from ffrtmp.store.postgres import PostgresStore
from ffrtmp.testing import programs
from ffrtmp.testing.crash import check, load
from ffrtmp.testing.crash.ledger import Answered, Asked, Ledger, Seen
from ffrtmp.testing.crash.outcome import Outcome
from ffrtmp.testing.postgres import Server
from ffrtmp.testing.postgres import server as running
from ffrtmp.testing.world import NoWait

_ANSWERS = 400  #: at most, before a stop
_MOMENT_SECONDS = 0.003
_PER_DATABASE = 10
_BACKEND_EVERY = 5  #: of so many crashes one is a kill of a backend


async def kill_a_backend(server: Server) -> None:
    """The server takes that for a crash of all: it ends every process and recovers. Returns when it answers again."""
    witness = await asyncpg.connect(server.dsn("postgres"))
    ended = asyncio.Event()
    witness.add_termination_listener(lambda _: ended.set())
    victims = await witness.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'ffrtmp'")
    os.kill(random.choice(victims)["pid"], signal.SIGKILL)
    await ended.wait()
    await answers(server)


async def answers(server: Server) -> None:
    """Returns when it does."""
    while True:
        try:
            await (await asyncpg.connect(server.dsn("postgres"))).close()
            return
        except (asyncpg.PostgresError, OSError):
            await asyncio.sleep(0.02)


async def _restart(server: Server) -> None:
    """Without a checkpoint: it recovers from the log."""
    await server.stop_immediately()
    await server.start()


@contextlib.asynccontextmanager
async def _late_writer() -> AsyncIterator[Server]:
    """Acknowledges before it writes, unless it is asked for more."""
    async with running() as server:
        admin = await asyncpg.connect(server.dsn("postgres"))
        for setting in ("synchronous_commit = off", "wal_writer_delay = '10s'"):
            await admin.execute(f"ALTER SYSTEM SET {setting}")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()
        yield server


async def stops(
    count: int, seed: int, said: Callable[[str], None], make: Callable[[str], PostgresStore] | None = None
) -> Outcome:
    """So many crashes of one server. `make`: the stores, when they are not to be the real ones."""
    make = make or (lambda address: PostgresStore(address, rng=NoWait(seed)))
    outcome = Outcome()
    async with _late_writer() as server:
        for first in range(0, count, _PER_DATABASE):
            outcome.databases += 1
            name = f"crash_{first}"
            await server.create(name)
            address = server.dsn(name)
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
    server: Server, address: str, stores: list[PostgresStore], ledger: Ledger, how: str, rng: random.Random
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
    crashing = asyncio.create_task(_restart(server) if how == "immediate stop" else kill_a_backend(server))
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
