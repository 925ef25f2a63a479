"""Leases with their completion per second over HTTP: three masters on one PostgreSQL beside one, in turn, and what each part uses.

All of it shares the machine: masters, PostgreSQL and the process that plays the agents. The cores that each used say what limits.
"""

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil

from bench import report
from bench.attempts import Done, Load, Node
from ffrtmp.client.client import Client
from ffrtmp.protocol import agent
from ffrtmp.testing import factories, postgres, programs
from ffrtmp.testing.fleet.agents import CAPABILITIES

_AGENTS = 96
_NAMES = ("m1", "m2", "m3")
_BATCH = 1_000


class _Turn(msgspec.Struct, frozen=True):
    """Of one run: pairs per second, and cores used by the masters together, PostgreSQL and the load."""

    rate: float
    masters: float
    database: float
    load: float


async def run(*, quick: bool = False) -> str:
    pairs, seconds, most_per_second = (1, 1.0, 4_000) if quick else (8, 5.0, 4_000)
    turns: dict[int, list[_Turn]] = {1: [], 3: []}
    with tempfile.TemporaryDirectory(prefix="ffrtmp-bench-", dir="/tmp") as place:
        async with postgres.server() as server:
            await server.create("bench")
            async with programs.farm(Path(place), dsn=server.dsn("bench")) as farm:
                for number in range(pairs):
                    # each of the two goes first in turn: a shared machine's speed drifts
                    for count in (1, 3) if number % 2 == 0 else (3, 1):
                        turn = await _turn(farm, server, count, seconds, int(most_per_second * seconds))
                        turns[count].append(turn)
                        print(f"{count} masters: {turn.rate:,.0f}/s", file=sys.stderr, flush=True)
    ratio = [many.rate / one.rate for one, many in zip(turns[1], turns[3], strict=True)]
    rows = [
        [
            count,
            report.spread([turn.rate for turn in found], "{:,.0f}"),
            report.spread(ratio, "{:.2f}") if count > 1 else "1",
            *(
                f"{statistics.median(getattr(turn, part) for turn in found):.2f}"
                for part in ("masters", "database", "load")
            ),
        ]
        for count, found in turns.items()
    ]
    head = ["masters", "lease+complete/s", "ratio", "cores: masters", "PostgreSQL", "load"]
    return report.table(head, rows)


async def _turn(farm: programs.Farm, server: postgres.Server, count: int, seconds: float, jobs: int) -> _Turn:
    running = [await farm.master("--log-level", "info", name=name) for name in _NAMES[:count]]
    try:
        ports = [urlsplit(farm.urls[name]).port or 0 for name in _NAMES[:count]]
        async with Client(farm.urls[_NAMES[0]]) as client:
            nodes = [await _node(client, number, ports[number % count]) for number in range(_AGENTS)]
            left = jobs - (await client.jobs(state=["queued"], limit=1)).count
            while left > 0:
                await client.submit_batch([{"parameters": {"codec": "h264", "duration": 1}}] * min(left, _BATCH))
                left -= _BATCH
        before = [_cpu({master.pid for master in running}), _cpu({server.pid})]
        done = await _loaded(Load(nodes=nodes, seconds=seconds))
        after = [_cpu({master.pid for master in running}), _cpu({server.pid})]
        used = [(later - earlier) / done.seconds for earlier, later in zip(before, after, strict=True)]
        return _Turn(done.completed / done.seconds, *used, done.cpu_seconds / done.seconds)
    finally:
        for master in running:
            await master.stop()


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


def _cpu(pids: set[int]) -> float:
    """Seconds that these processes and their children have used."""
    found = 0.0
    for pid in pids.union(*(programs.descendants(one) for one in pids)):
        used = psutil.Process(pid).cpu_times()
        found += used.user + used.system
    return found
