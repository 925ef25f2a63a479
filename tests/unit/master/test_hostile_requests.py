"""Requests that are HTTP but make no sense: each gets a 4xx that names what is wrong; none a 5xx."""

import asyncio
from typing import Any

import httpx
import pytest

from ffrtmp.master import submission
from ffrtmp.protocol import problems

from .conftest import Running

_DEEP = "[" * 20_000 + "]" * 20_000


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/jobs", f'{{"parameters": {{"outputs": {_DEEP}}}}}'.encode()),
        (
            "POST",
            "/attempts/x/complete",
            f'{{"node_id": "x", "incarnation": "y", "result": {{"a": {_DEEP}}}}}'.encode(),
        ),
        ("POST", "/results", f'{{"job_id": "x", "node_id": "y", "status": "z", "metrics": {{"a": {_DEEP}}}}}'.encode()),
        ("POST", "/jobs", b'{"scenario": "\xff"}'),
        ("POST", "/nodes/register", b'{"name": "\xff"}'),
        ("POST", "/nodes/x/heartbeat", b"\xff\xfe"),
        ("POST", "/uploads", b""),
        ("POST", "/jobs/batch", b"\x00"),
    ],
)
async def test_what_is_not_json_is_told_so(master: Running, method: str, path: str, body: bytes) -> None:
    problem = await master.send(method, path, expect=400, content=body)
    assert problem["code"] in ("invalid_json", "empty_body")


@pytest.mark.parametrize(
    ("method", "path", "options", "field"),
    [
        ("GET", "/jobs?cursor=" + "0" * 20 + "9" * 30, {}, "query.cursor"),
        ("GET", "/jobs?limit=" + "9" * 5000, {}, "query.limit"),
        ("GET", "/jobs?" + "&".join(f"tag=t{number}:x" for number in range(70)), {}, "query.tag"),
        ("GET", "/jobs?queue=live&queue=batch", {}, "query.queue"),
        ("GET", "/jobs/1?follow=maybe", {}, "query.follow"),
        ("POST", "/nodes/a/drain?on=no", {}, "query.on"),
        ("GET", "/events?after=" + "9" * 30, {}, "query.after"),
        ("GET", "/events", {"headers": {"Last-Event-ID": "9" * 5000}}, "header.Last-Event-ID"),
        ("PUT", "/uploads/%s", {"headers": {"Upload-Offset": "9" * 5000}}, "header.Upload-Offset"),
        ("PUT", "/uploads/%s", {"headers": {"Upload-Offset": "-1"}}, "header.Upload-Offset"),
        ("POST", "/nodes/register", {"json": {"address": "http://[::1"}}, "name"),
        ("POST", "/uploads", {"json": {"name": "..", "size_bytes": 1, "sha256": "0" * 64}}, "name"),
        ("POST", "/jobs", {"json": {"scenario": "720p30-h264", "confidence": "a\0"}}, "confidence"),
    ],
)
async def test_a_value_that_cannot_be_is_named(
    master: Running, method: str, path: str, options: dict[str, Any], field: str
) -> None:
    made = await master.send("POST", "/uploads", json={"name": "x", "size_bytes": 9, "sha256": "0" * 64})
    await master.node()
    await master.submit()
    problem = await master.send(method, path.replace("%s", made["id"]), expect=400, **options)
    assert [fault["path"] for fault in problem["errors"]] == [field]
    assert (await master.send("GET", "/nodes/a"))["status"] == "available"


@pytest.mark.parametrize("ref", ["%00", "%ff%fe", "a%2Fb", "1%00", "x" * 50_000, "%2e%2e", "..%2f..%2fetc%2fpasswd"])
async def test_a_strange_name_is_only_a_name_that_is_not_there(master: Running, ref: str) -> None:
    for path in ("/jobs", "/nodes", "/uploads"):
        assert (await master.send("GET", f"{path}/{ref}", expect=404))["code"] in ("not_found", problems.NO_ROUTE)


async def test_a_query_of_any_bytes_finds_nothing(master: Running) -> None:
    await master.submit()
    for value in ("%00", "%ff%fe", "'; DROP TABLE jobs; --", "x" * 50_000):
        assert (await master.send("GET", f"/jobs?scenario={value}"))["count"] == 0


async def test_a_header_given_twice_must_say_the_same(keyed: Running) -> None:
    key = ("Authorization", "Bearer the-admin-key")
    async with httpx.AsyncClient(base_url=keyed.ready.url, trust_env=False) as client:
        assert (await client.get("/jobs", headers=[key, key])).status_code == 200
        both = await client.get("/jobs", headers=[("Authorization", "Bearer other"), key])
        assert (both.status_code, both.json()["errors"][0]["path"]) == (400, "header.Authorization")
        keys = [key, ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
        twice = await client.post("/jobs", json={"scenario": "720p30-h264"}, headers=keys)
        assert twice.json()["errors"][0]["path"] == "header.Idempotency-Key"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic dXNlcjpwYXNz", "Bearer \xff", "the-admin-key"])
async def test_a_key_must_be_a_bearer(keyed: Running, authorization: str) -> None:
    async with httpx.AsyncClient(base_url=keyed.ready.url, trust_env=False) as client:
        headers = {"Authorization": authorization.encode("latin-1")}
        assert (await client.get("/jobs", headers=headers)).status_code == 401
        assert (await client.get("/jobs", params={"api_key": "the-admin-key"})).status_code == 401


async def test_head_is_answered_like_get_without_the_body(master: Running) -> None:
    await master.submit()
    for path in ("/health", "/jobs", "/jobs/1", "/nodes", "/schema"):
        got, head = await master.client.get(path), await master.client.head(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-type"] == got.headers["content-type"]
    assert (await master.client.head("/jobs/2")).status_code == 404
    assert (await master.client.head("/events")).headers["content-type"].startswith("text/event-stream")
    node = await master.node()
    assert (await master.client.head(f"/jobs/next?node_id={node.id}")).status_code == 405  # that GET takes a job
    assert (await master.client.options("/jobs")).headers["allow"] == "GET, HEAD, POST"


async def test_a_node_is_asked_for_by_its_id_where_it_acts(master: Running) -> None:
    """Its name will do for people only."""
    await master.node("a")
    body = {"incarnation": "a-1", "request_id": "r", "free_slots": 1, "wait_seconds": 0}
    await master.send("POST", "/nodes/a/lease", expect=404, json=body)
    await master.send("POST", "/nodes/a/heartbeat", expect=404, json={"incarnation": "a-1"})


async def test_a_batch_of_wrong_jobs_is_not_looked_through_to_its_end(master: Running) -> None:
    """To find the nearest names for each of a thousand would stop everything else for many seconds."""
    jobs = [{"scenario": f"720p3{number}-h26"} for number in range(1000)]
    problem = await master.send("POST", "/jobs/batch", expect=400, json={"jobs": jobs})
    assert 0 < len(problem["errors"]) <= 21


async def test_large_bodies_are_not_kept(master: Running) -> None:
    """Neither in the cache of bodies that come again and again, nor beside the job."""
    submission._read_again.cache_clear()
    made = await master.send(
        "POST", "/jobs", content=b'{"scenario": "720p30-h264", "parameters": {%s}}' % (b" " * 900_000)
    )
    async with master.client.stream("GET", f"/jobs/{made['id']}") as answer:
        assert len(await answer.aread()) < 10_000
    kept = submission._read_again.cache_info
    assert kept().currsize == 0
    await asyncio.gather(*(master.submit() for _ in range(3)))
    assert kept().currsize == 1
