"""PostgreSQL is stopped and started again under a running master."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from ffrtmp.master.settings import MasterSettings
from ffrtmp.testing import postgres

from .conftest import Running, run_master

pytestmark = pytest.mark.postgres


@pytest.fixture
async def own_server(server: str) -> AsyncIterator[postgres.Server]:
    """One that only this test uses; where the tests' server does not start, it would not either."""
    del server
    async with postgres.server() as made:
        yield made


@pytest.fixture
async def master(settings: MasterSettings, own_server: postgres.Server) -> AsyncIterator[Running]:
    async for running in run_master(msgspec.structs.replace(settings, db_dsn=own_server.dsn("postgres"))):
        yield running


async def test_requests_get_503_while_it_is_away_and_go_on_when_it_is_back(
    master: Running, own_server: postgres.Server, caplog: pytest.LogCaptureFixture
) -> None:
    node = await master.node()
    first = await master.submit()
    attempt = (await node.lease())["grants"][0]["attempt_id"]
    waiting = asyncio.create_task(node.lease(wait=25, expect=503))
    events: asyncio.Queue[str] = asyncio.Queue()
    followed = asyncio.create_task(_follow(master, events))
    assert await events.get() == ": connected"
    await own_server.stop()
    body = {"scenario": "720p30-h264"}
    for method, path, sent in (
        ("POST", "/jobs", body),
        ("POST", "/jobs/batch", {"jobs": [body]}),
        ("GET", "/jobs", None),
        ("GET", f"/jobs/{first['id']}", None),
        ("GET", "/queue", None),
        ("GET", "/health", None),
        ("GET", "/ready", None),
        ("POST", f"/jobs/{first['id']}/cancel", None),
        ("POST", f"/nodes/{node.id}/heartbeat", {"incarnation": node.incarnation}),
    ):
        answer = await master.client.request(method, path, json=sent)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), (path, answer.text)
        assert answer.headers["retry-after"]
    await waiting
    await own_server.start()
    while (await master.client.get("/ready")).status_code == 503:
        pass
    assert (await node.beat({"attempt_id": attempt, "started": True}))["directives"][0]["command"] == "ok"
    second = await master.send("POST", "/jobs", expect=201, json=body)
    assert second["sequence_number"] > first["sequence_number"]
    while second["id"] not in await events.get():
        pass  # the stream that was open all the time goes on
    followed.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await followed
    assert (await node.lease(wait=25))["grants"][0]["job_id"] == second["id"]
    # one line of ours per call that found it away is enough: no traceback of the driver's own tries
    assert [record.message for record in caplog.records if record.name.startswith("asyncpg")] == []


async def _follow(master: Running, into: asyncio.Queue[str]) -> None:
    async with master.client.stream("GET", "/events", timeout=None) as stream:
        async for line in stream.aiter_lines():
            into.put_nowait(line)
