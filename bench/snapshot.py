"""Leases with their completion per second on PostgreSQL while a transaction elsewhere keeps an old snapshot open, beside none.

Such a snapshot (a backup, a forgotten psql) keeps every row that was deleted since from being cleaned up, and a queue deletes much.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from bench import report, store
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.testing import factories
from ffrtmp.testing.world import World

_CHURNED_AT_ONCE = 1_000


async def run(*, quick: bool = False) -> str:
    pairs, held_seconds, calls = (1, 2.0, 1_000) if quick else (5, 30.0, 5_000)
    clean: list[float] = []
    old: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="ffrtmp-bench-", dir="/tmp") as folder,
        store.opened("postgres", Path(folder)) as database,
    ):
        assert isinstance(database, store.Postgres)
        await database.template(1_000)
        for number in range(pairs):
            # each of the two goes first in turn: a shared machine's speed drifts
            for held in (number % 2 == 0, number % 2 == 1):
                rate = await _rate(database, held=held, churn_seconds=held_seconds, calls=calls)
                (old if held else clean).append(rate)
                print(f"{'old snapshot' if held else 'clean'}: {rate:,.0f}/s", file=sys.stderr, flush=True)
    ratio = [one / other for one, other in zip(old, clean, strict=True)]
    return report.table(
        ["snapshot held, s", "lease+complete/s, clean", "with the old snapshot", "ratio", "pairs"],
        [
            [
                f"{held_seconds:g}",
                report.spread(clean, "{:,.0f}"),
                report.spread(old, "{:,.0f}"),
                report.spread(ratio, "{:.2f}"),
                pairs,
            ]
        ],
    )


async def _rate(database: store.Postgres, *, held: bool, churn_seconds: float, calls: int) -> float:
    """Per second, after the queue has been churned for so long."""
    async with database.fresh() as address, contextlib.AsyncExitStack() as stack:
        opened = PostgresStore(address)
        await opened.open()
        stack.push_async_callback(opened.close)
        world = World(opened)
        spec = factories.a_spec()
        agents = [await world.agent() for _ in range(store.CALLERS)]
        class_ids = [one.id for one in await opened.classes()]
        if held:
            await stack.enter_async_context(_snapshot(address))
        until = time.perf_counter() + churn_seconds
        while time.perf_counter() < until:
            await store.insert(world, [factories.a_job(spec) for _ in range(_CHURNED_AT_ONCE)])
            await store.lease_and_complete(agents, class_ids, _CHURNED_AT_ONCE)
        await store.insert(world, [factories.a_job(spec) for _ in range(calls)])
        began = time.perf_counter()
        await store.lease_and_complete(agents, class_ids, calls)
        return calls / (time.perf_counter() - began)


@contextlib.asynccontextmanager
async def _snapshot(address: str) -> AsyncIterator[None]:
    """Held from here on by a transaction that does nothing more."""
    connection = await asyncpg.connect(address)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute("SELECT count(*) FROM jobs")
            yield
    finally:
        await connection.close()
