"""/metrics, /health and /ready over a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from ffrtmp.agent.monitor import Monitor
from ffrtmp.domain import errors
from ffrtmp.telemetry import metrics


class Scraped:
    def __init__(self) -> None:
        self.ready = False
        self.registry = metrics.Registry(metrics.AGENT)
        self.monitor = Monitor(self.registry, lambda: self.ready)
        self.port = 0

    async def ask(self, raw: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(raw)
        answer = await reader.read()
        writer.close()
        return answer

    async def get(self, path: str, method: str = "GET") -> bytes:
        return await self.ask(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


@pytest.fixture
async def scraped() -> AsyncIterator[Scraped]:
    made = Scraped()
    made.port = await made.monitor.start("127.0.0.1", 0)
    yield made
    await made.monitor.close()


async def test_metrics_have_the_names_that_dashboards_query(scraped: Scraped) -> None:
    scraped.registry.gauge("ffrtmp_worker_active_jobs").set(2)
    scraped.registry.counter("ffrtmp_worker_jobs_total", "completed").inc()
    answer = (await scraped.get("/metrics")).decode()
    assert answer.startswith("HTTP/1.1 200")
    assert "ffrtmp_worker_active_jobs 2.0" in answer
    assert 'ffrtmp_worker_jobs_total{outcome="completed"} 1.0' in answer
    assert "ffrtmp_worker_heartbeat_total 0.0" in answer
    assert "ffrtmp_worker_job_duration_seconds_bucket" in answer


async def test_health_is_life_and_ready_is_registered(scraped: Scraped) -> None:
    assert b" 200 " in await scraped.get("/health")
    assert b" 503 " in await scraped.get("/ready")
    scraped.ready = True
    assert b" 200 " in await scraped.get("/ready?x=1")


async def test_other_requests(scraped: Scraped) -> None:
    assert b" 404 " in await scraped.get("/jobs")
    assert b" 405 " in await scraped.get("/metrics", "POST")
    assert (await scraped.get("/health", "HEAD")).endswith(b"\r\n\r\n")
    assert await scraped.ask(b"\x16\x03nonsense\r\n\r\n") == b""


async def test_a_port_in_use_is_named(scraped: Scraped) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(errors.InvalidInput, match=f"--metrics-port {port}"):
            await Monitor(scraped.registry, lambda: True).start("127.0.0.1", port)
