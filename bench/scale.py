"""`/metrics`, a page of `GET /jobs`, and the master's memory at a thousand, a hundred thousand and a million finished jobs."""

import tempfile
import time
from pathlib import Path

import httpx
import psutil

from bench import fill, report
from bench.dispatch import _over
from ffrtmp.client.client import Client
from ffrtmp.testing import programs


async def run(*, quick: bool = False) -> str:
    sizes = (1_000, 10_000) if quick else (1_000, 100_000, 1_000_000)
    paths = {
        "/metrics": "/metrics",
        "/jobs": "/jobs",
        "/jobs?state=completed": "/jobs?state=completed",
        "/jobs?limit=1": "/jobs?limit=1",
    }
    medians: dict[str, list[float]] = {name: [] for name in paths}
    memory = []
    with tempfile.TemporaryDirectory() as place:
        async with programs.farm(Path(place)) as farm:
            master = await farm.master()
            agent = await farm.agent("a", master)
            async with Client(farm.url) as client:
                made = await client.submit({"parameters": {"codec": "h264", "duration": 1, "resolution": "160x90"}})
                await _over(client, made.id)
            idle = _megabytes(agent.pid)
            await farm.close()
            for size in sizes:
                fill.finished(Path(place) / "master.db", size)
                master = await farm.master()
                async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
                    for name, path in paths.items():
                        url = farm.metrics_url if path == "/metrics" else farm.url + path
                        medians[name].append(await _median_ms(http, url))
                memory.append(_megabytes(master.pid))
                await master.stop()
    head = ["", *(f"{size:,} jobs" for size in sizes), "largest ÷ smallest"]
    rows: list[list[object]] = [
        [f"`{name}`, ms", *(f"{value:.2f}" for value in values), f"{values[-1] / values[0]:.2f}"]
        for name, values in medians.items()
    ]
    rows.append(
        ["master's resident memory, MB", *(f"{value:.0f}" for value in memory), f"{memory[-1] / memory[0]:.2f}"]
    )
    return report.table(head, rows) + f"\n\nAn idle agent with its inspector: {idle:.0f} MB resident."


def _megabytes(pid: int) -> float:
    """Resident memory of a program with its children."""
    return sum(psutil.Process(one).memory_info().rss for one in (pid, *programs.descendants(pid))) / 1e6


async def _median_ms(http: httpx.AsyncClient, url: str) -> float:
    times = []
    for _ in range(60):
        started = time.perf_counter()
        answer = await http.get(url)
        assert answer.status_code == 200, answer.text
        times.append((time.perf_counter() - started) * 1000)
    return report.median(times[10:])
