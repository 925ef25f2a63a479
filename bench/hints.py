"""What the hints between masters cost: leases with their completion per second of one master, with its hints sent and held back.

Another master, a real one, is on the same database and hears them: a master that is alone sends nothing.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path

from bench import report, store
from ffrtmp.store import interface
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.postgres_hints import PostgresHints
from ffrtmp.testing import factories, programs
from ffrtmp.testing.world import World


class _Silent(PostgresHints):
    """Says nothing of what was committed; probes go on, so that it is known and hears the others."""

    def tell(self, hint: interface.Hint) -> None:
        """Held back."""


class _SilentStore(PostgresStore):
    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._hints = _Silent(self._connect_to_listen, self._rng)


async def run(*, quick: bool = False) -> str:
    pairs, calls = (1, 500) if quick else (15, 5_000)
    rates: dict[bool, list[float]] = {True: [], False: []}
    with (
        tempfile.TemporaryDirectory(prefix="ffrtmp-bench-", dir="/tmp") as folder,
        store.opened("postgres", Path(folder)) as database,
    ):
        assert isinstance(database, store.Postgres)
        await database.template(1_000)
        for number in range(pairs):
            # each of the two goes first in turn: a shared machine's speed drifts
            for sent in (number % 2 == 0, number % 2 == 1):
                rate = await _rate(database, Path(folder), sent=sent, calls=calls)
                rates[sent].append(rate)
                print(f"hints {'sent' if sent else 'held back'}: {rate:,.0f}/s", file=sys.stderr, flush=True)
    ratio = [one / other for one, other in zip(rates[True], rates[False], strict=True)]
    return report.table(
        ["lease+complete/s, hints sent", "held back", "ratio", "pairs"],
        [
            [
                report.spread(rates[True], "{:,.0f}"),
                report.spread(rates[False], "{:,.0f}"),
                report.spread(ratio, "{:.2f}"),
                pairs,
            ]
        ],
    )


async def _rate(database: store.Postgres, folder: Path, *, sent: bool, calls: int) -> float:
    async with (
        database.fresh() as address,
        programs.farm(folder, dsn=address) as farm,
        contextlib.AsyncExitStack() as stack,
    ):
        await farm.master()
        opened = PostgresStore(address) if sent else _SilentStore(address)
        await opened.open()
        stack.push_async_callback(opened.close)
        world = World(opened)
        spec = factories.a_spec()
        agents = [await world.agent() for _ in range(store.CALLERS)]
        class_ids = [one.id for one in await opened.classes()]
        while not opened.hints.up:
            await opened.hints.next()
        await store.insert(world, [factories.a_job(spec) for _ in range(calls)])
        began = time.perf_counter()
        await store.lease_and_complete(agents, class_ids, calls)
        return calls / (time.perf_counter() - began)
