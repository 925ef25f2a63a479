"""A deployed reference agent and CLI work against this master: their messages, literally."""

import hashlib
from typing import Any

import pytest

from ffrtmp.domain import errors
from ffrtmp.store.base import BaseStore

from .conftest import Running, both_databases

pytestmark = both_databases

_REGISTER = {
    "address": "http://worker-01:9091",
    "type": "server",
    "cpu_threads": 16,
    "cpu_model": "Intel Xeon",
    "has_gpu": False,
    "ram_total_bytes": 34359738368,
    "labels": {},
}
_LOCAL = {"input": "/srv/in.mp4", "output": "/srv/out.mp4", "bitrate": "2M", "duration": 5}


async def _agent(master: Running) -> Any:
    return await master.send("POST", "/nodes/register", expect=201, json=_REGISTER)


async def test_it_registers_and_returns_as_the_same_node(master: Running) -> None:
    node = await _agent(master)
    assert (node["name"], node["status"], node["cpu_threads"]) == ("worker-01", "available", 16)
    assert (await master.send("POST", "/nodes/register", expect=200, json=_REGISTER))["id"] == node["id"]
    await master.send("POST", f"/nodes/{node['id']}/heartbeat", expect=200)


async def test_it_gets_whole_file_jobs_and_reports_them(master: Running) -> None:
    node = await _agent(master)
    assert await master.send("GET", f"/jobs/next?node_id={node['id']}") == {"job": None}
    await master.submit(parameters=_LOCAL)
    found = (await master.send("GET", f"/jobs/next?node_id={node['id']}"))["job"]
    assert found["status"] == "running"
    assert found["parameters"]["input"] == "/srv/in.mp4"
    assert found["parameters"]["bitrate"] == "2000k"
    assert found["started_at"]
    sent = {"job_id": found["id"], "node_id": node["id"], "status": "completed", "metrics": {"fps": 50.5}}
    assert await master.send("POST", "/results", json=sent) == {"status": "success"}
    done = await master.send("GET", "/jobs/1")
    assert done["state"] == "completed"
    assert not done["result"]["verdict"]["passed"]
    assert "not verified" in done["result"]["verdict"]["problems"][0]
    assert done["result"]["metrics"] == {"fps": 50.5}


async def test_it_never_gets_what_its_protocol_cannot_say(master: Running) -> None:
    node = await _agent(master)
    await master.submit(parameters={"codec": "vp9", "output": "/srv/x.webm", "input": "/srv/in.mp4"})
    upload = {"name": "x", "size_bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    made = await master.send("POST", "/uploads", json=upload)
    await master.send("PUT", f"/uploads/{made['id']}", content=b"x")
    await master.submit(parameters={"input": f"upload:{made['id']}"})
    for more in (
        {"crf": 20},
        {"start": 2},
        {"audio": "none"},
        {"hdr": "tonemap"},
        {"resolution": "720p"},
        {"subtitles": "none"},
        {"verify": {"level": "full"}},
        {"resource_limits": {"timeout_sec": 60}},
    ):
        await master.submit(parameters={**_LOCAL, "bitrate": None, **more})
    assert await master.send("GET", f"/jobs/next?node_id={node['id']}") == {"job": None}


async def test_what_the_master_alone_heeds_keeps_no_job_from_it(master: Running) -> None:
    node = await _agent(master)
    for more in ({"preset": "fast", "tags": {"show": "one"}}, {"chunking": "off", "overwrite": True}):
        await master.submit(parameters={**_LOCAL, **more})
        found = (await master.send("GET", f"/jobs/next?node_id={node['id']}"))["job"]
        assert found["parameters"]["input"] == "/srv/in.mp4"


async def test_a_failure_is_tried_again(master: Running) -> None:
    node = await _agent(master)
    await master.submit(parameters=_LOCAL)
    found = (await master.send("GET", f"/jobs/next?node_id={node['id']}"))["job"]
    sent = {"job_id": found["id"], "node_id": node["id"], "status": "failed", "error": "exit status 1", "logs": "boom"}
    assert await master.send("POST", "/results", json=sent) == {"status": "retrying", "retry": 1, "max_retries": 3}
    assert "boom" in (await master.send("GET", "/jobs/1/logs"))["logs"]


async def test_only_the_node_that_holds_the_attempt_may_report(master: Running) -> None:
    node = await _agent(master)
    other = await master.send("POST", "/nodes/register", json={**_REGISTER, "address": "http://worker-02:9091"})
    await master.submit(parameters=_LOCAL)
    found = (await master.send("GET", f"/jobs/next?node_id={node['id']}"))["job"]
    sent = {"job_id": found["id"], "node_id": other["id"], "status": "completed"}
    await master.send("POST", "/results", expect=409, json=sent)
    assert (await master.send("GET", "/jobs/1"))["state"] == "running"


async def test_it_sees_a_cancel_and_confirms_it(master: Running) -> None:
    node = await _agent(master)
    await master.submit(parameters=_LOCAL)
    found = (await master.send("GET", f"/jobs/next?node_id={node['id']}"))["job"]
    await master.send("POST", f"/jobs/{found['id']}/cancel")
    assert (await master.send("GET", f"/api/v1/jobs/{found['id']}"))["status"] == "canceled"
    sent = {"job_id": found["id"], "node_id": node["id"], "status": "canceled"}
    assert await master.send("POST", "/results", json=sent) == {"status": "success"}
    assert (await master.send("GET", "/jobs/1"))["state"] == "canceled"


async def test_where_it_asks_about_its_job_tells_that_it_works_on_it(
    master: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []

    async def note(_: BaseStore, job_id: str) -> None:
        noted.append(job_id)
        raise errors.Unavailable("The disk of the database is full.")  # it must hear of a cancel all the same

    monkeypatch.setattr(BaseStore, "asked_about", note)
    node = await _agent(master)
    made = await master.submit(parameters=_LOCAL)
    await master.send("GET", f"/api/v1/jobs/{made['id']}", expect=200)
    assert noted == []
    await master.send("GET", f"/jobs/next?node_id={node['id']}")
    await master.send("GET", f"/jobs/{made['id']}", expect=200)
    assert noted == []
    await master.send("GET", f"/api/v1/jobs/{made['id']}", expect=200)
    assert noted == [made["id"]]
    await master.send(
        "POST", "/results", json={"job_id": made["id"], "node_id": node["id"], "status": "completed"}, expect=200
    )
    await master.send("GET", f"/api/v1/jobs/{made['id']}", expect=200)
    assert noted == [made["id"]]


async def test_its_cli_finds_the_names_it_reads(master: Running) -> None:
    await _agent(master)
    body = {
        "parameters": {"duration": 120, "bitrate": "2M", "engine": "ffmpeg"},
        "engine": "ffmpeg",
        "confidence": "auto",
    }
    await master.submit(**body)
    listed = await master.send("GET", "/jobs")
    assert listed["count"] == 1
    assert {"sequence_number", "status", "progress", "created_at", "retry_count"} <= listed["jobs"][0].keys()
    assert isinstance(listed["jobs"][0]["progress"], int)
    assert (await master.send("GET", "/jobs/1/logs")) == {"job_id": listed["jobs"][0]["id"], "logs": ""}
    for verb, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "canceled"), ("retry", "queued")):
        changed = await master.send("POST", f"/jobs/1/{verb}", expect=200)
        assert (changed["status"], bool(changed["job_id"])) == (status, True)
    nodes = await master.send("GET", "/nodes")
    assert nodes["count"] == len(nodes["nodes"]) == 1
