"""A stream through the whole farm: submitted, granted, sent, judged, told; and its key found nowhere but where it must be."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ffrtmp.client.client import Client
from ffrtmp.testing import programs
from ffrtmp.testing.waiting import until
from tests import rtmp_server

KEY = "open-sesame-42"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[rtmp_server.Server]:
    folder = tmp_path / "nginx"
    folder.mkdir()
    made = rtmp_server.Server(folder)
    await made.start()
    yield made
    await made.close()


def holding(folder: Path, text: str) -> set[str]:
    """Names of the files that have it, without what SQLite appends."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name.partition("-")[0] for path in files if text.encode() in path.read_bytes()}


async def test_a_stream_goes_through_the_farm(
    farm: programs.Farm, client: Client, server: rtmp_server.Server, tmp_path: Path
) -> None:
    agent = await farm.agent("a", farm.programs[0], "--private-targets")
    stream = {"duration": 2, "fps": 25, "resolution": "320x180", "stream_key": KEY}
    made = await client.submit({"parameters": {**stream, "rtmp_url": f"{server.url}/live"}})
    job = await until(client, made.id)
    assert job.state == "completed", job.failure
    assert job.result is not None
    assert job.result.pushed is not None
    assert (job.result.outputs, job.result.pushed.frames, job.result.pushed.reconnects) == ([], 50, 0)
    (kept,) = server.kept()
    found = rtmp_server.Heard(kept)
    assert (len(found.video), found.size) == (50, (320, 180))
    explained = await client.explain(made.id)
    assert any(one.startswith("streamed: 2.0 s to rtmp://127.0.0.1:") for one in explained.decisions)
    assert (await client.outputs(made.id)).outputs == []

    refused = await client.submit({"parameters": {**stream, "rtmp_url": f"{server.url}/denied"}})
    job = await until(client, refused.id)
    assert job.failure is not None
    assert (job.failure.code, job.retry_count) == ("target_refused", 0)

    logs = [(await client.logs(one.id)).logs for one in (made, refused)]
    assert "takes the stream" in logs[0]
    assert KEY not in str(logs) + str(agent.lines) + str(farm.programs[0].lines) + str(job)
    assert holding(tmp_path, KEY) == {"master.db"}
