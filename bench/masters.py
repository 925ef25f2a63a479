"""Leases with their completion per second over HTTP: three masters on one PostgreSQL beside one, in turn, and what each part uses.

All of it shares the machine: masters, PostgreSQL and the process that plays the agents. Where one master and its PostgreSQL fill
it, three cannot do more; so the same is measured with each master held to a share of a core, as if it had a machine of its own.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil

from bench import quota, report
from bench.attempts import Done, Load, Node
from ffrtmp.client.client import Client
from ffrtmp.protocol import agent
from ffrtmp.testing import factories, postgres, programs
from ffrtmp.testing.fleet.agents import CAPABILITIES

_AGENTS = 192
_NAMES = ("m1", "m2", "m3")
_BATCH = 1_000
_HELD_CORES = 0.2
#: more than any turn completes
_MOST_PER_SECOND = 4_000


class Turn(msgspec.Struct, frozen=True):
    """Of one run: pairs per second, and cores used by the masters together, PostgreSQL and the load."""

    rate: float
    masters: float
    database: float
    load: float


async def run(*, quick: bool = False) -> str:
    pairs, seconds = (1, 1.0) if quick else (8, 5.0)
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="ffrtmp-bench-", dir="/tmp") as place:
        async with postgres.server() as server:
            await server.create("bench")
            async with programs.farm(Path(place), dsn=server.dsn("bench")) as farm:
                bench = Bench(farm, server)
                for cores in (None, _HELD_CORES):
                    each = "as much as it gets" if cores is None else f"{cores:g} of a core"
                    try:
                        rows += [[each, *row] for row in await _arrangement(bench, cores, pairs, seconds)]
                    except quota.Unavailable as error:
                        rows.append([each, f"not possible here: {error}", *[""] * 5])
    head = ["each master has", "masters", "lease+complete/s", "ratio", "cores: masters", "PostgreSQL", "load"]
    return report.table(head, rows)


async def _arrangement(bench: "Bench", cores: float | None, pairs: int, seconds: float) -> list[list[object]]:
    turns: dict[int, list[Turn]] = {1: [], 3: []}
    for number in range(pairs):
        # each of the two goes first in turn: a shared machine's speed drifts
        for count in (1, 3) if number % 2 == 0 else (3, 1):
            turns[count].append(await bench.turn(count, seconds, cores))
            print(f"{count} masters, cores {cores}: {turns[count][-1]}", file=sys.stderr, flush=True)
    ratio = [many.rate / one.rate for one, many in zip(turns[1], turns[3], strict=True)]
    return [
        [
            count,
            report.spread([turn.rate for turn in found], "{:,.0f}"),
            report.spread(ratio, "{:.2f}") if count > 1 else "1",
            f"{statistics.median(turn.masters for turn in found):.2f}",
            f"{statistics.median(turn.database for turn in found):.2f}",
            f"{statistics.median(turn.load for turn in found):.2f}",
        ]
        for count, found in turns.items()
    ]


class Bench:
    def __init__(self, farm: programs.Farm, server: postgres.Server) -> None:
        self._farm = farm
        self._server = server
        self._queued = 0

    async def turn(self, count: int, seconds: float, cores: float | None) -> Turn:
        """So many masters are started, loaded and stopped. `cores`: that each may use; None: any."""
        names = _NAMES[:count]
        with contextlib.ExitStack() as shares:
            running = [await self._farm.master(name=name) for name in names]
            try:
                nodes = await self._prepared([self._farm.urls[name] for name in names], int(seconds * _MOST_PER_SECOND))
                if cores is not None:
                    for master in running:
                        shares.enter_context(quota.held(master.pid, cores))
                before = self._cpu(running)
                done = await _loaded(Load(nodes=nodes, seconds=seconds))
                used = [
                    (later - earlier) / done.seconds for earlier, later in zip(before, self._cpu(running), strict=True)
                ]
            finally:
                for master in running:
                    await master.stop()
        self._queued -= done.completed
        return Turn(done.completed / done.seconds, *used, done.cpu_seconds / done.seconds)

    async def _prepared(self, urls: list[str], jobs: int) -> list[Node]:
        """The agents are registered, in equal parts at these masters, and so many jobs wait."""
        async with Client(urls[0]) as client:
            nodes = [
                await _node(client, number, urlsplit(urls[number % len(urls)]).port or 0) for number in range(_AGENTS)
            ]
            while self._queued < jobs:
                await client.submit_batch([{"parameters": {"codec": "h264", "duration": 1}}] * _BATCH)
                self._queued += _BATCH
        return nodes

    def _cpu(self, masters: list[programs.Program]) -> list[float]:
        return [_cpu(*(master.pid for master in masters)), _cpu(self._server.pid)]


async def _node(client: Client, number: int, port: int) -> Node:
    incarnation = factories.new_id()
    registered = await client.register(
        agent.Register(
            name=f"node-{number}",
            capabilities=CAPABILITIES,
            incarnation=incarnation,
            cpu_threads=8,
            ram_total_bytes=8 << 30,
        )
    )
    return Node(registered.id, incarnation, port)


async def _loaded(load: Load) -> Done:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.attempts"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate(msgspec.json.encode(load))
    return msgspec.json.decode(out, type=Done)


def _cpu(*pids: int) -> float:
    """Seconds that these processes and their children have used."""
    found = 0.0
    for pid in {*pids}.union(*(programs.descendants(one) for one in pids)):
        used = psutil.Process(pid).cpu_times()
        found += used.user + used.system
    return found
