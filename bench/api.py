"""Durable `POST /jobs` at 1 and 64 connections, beside the bare HTTP stack that answers the same body."""

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench import report
from ffrtmp.testing import programs

_BODY = json.dumps(
    {
        "scenario": "720p30-h264",
        "confidence": "auto",
        "engine": "ffmpeg",
        "queue": "default",
        "priority": "medium",
        "parameters": {"duration": 120, "bitrate": "2M"},
    }
).encode()


def _request(body: bytes) -> bytes:
    head = f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def load(port: int, connections: int, seconds: float, request: bytes) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load", "127.0.0.1", str(port), str(connections), str(seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(request)
    found: dict[str, Any] = json.loads(out)
    return found


@contextlib.asynccontextmanager
async def _bare(body: Path) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.bare", str(body)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


async def run(*, quick: bool = False) -> str:
    # many short turns: on a shared machine two long ones would meet different neighbours
    runs, seconds = (1, 1.0) if quick else (20, 1.0)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        async with programs.farm(Path(place)) as farm:
            await farm.master()
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.post(f"{farm.url}/jobs", content=_BODY)
            (Path(place) / "answer").write_bytes(answer.content)
            port = urlsplit(farm.url).port or 0
            async with _bare(Path(place) / "answer") as bare_port:
                for connections in (1, 64):
                    ours: list[float] = []
                    bare: list[float] = []
                    p99: list[float] = []
                    for _ in range(runs):
                        for target, rates in ((port, ours), (bare_port, bare)):
                            found = await load(target, connections, seconds, _request(_BODY))
                            assert set(found["statuses"]) == {"201"}, found
                            rates.append(found["requests"] / found["seconds"])
                            if target == port:
                                p99.append(found["p99_ms"])
                    ratio = [one / other for one, other in zip(ours, bare, strict=True)]
                    rows.append(
                        [
                            connections,
                            report.spread(ours),
                            report.spread(bare),
                            report.spread(ratio, "{:.2f}"),
                            f"{report.median(p99):.1f}",
                        ]
                    )
    head = ["connections", "POST /jobs per second", "bare stack per second", "ratio", "p99, ms"]
    return report.table(head, rows)
