"""What goes over the wire, and what comes back as an error."""

import json
from typing import Any

import httpx
import pytest
from tests.unit.client.helpers import client, problem

from ffrtmp.client import http, masters
from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.protocol import agent

JOB = {
    "id": "j1", "sequence_number": 1, "state": "queued", "status": "queued", "scenario": "", "confidence": "auto",
    "engine": "auto", "queue": "default", "priority": "medium", "parameters": {}, "created_at": "t", "updated_at": "t",
    "retry_count": 0, "max_retries": 3, "progress": 0, "a_field_of_a_newer_master": 1,
}  # fmt: skip


async def test_a_submission_is_repeated_under_one_key() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if len(seen) == 1:
            raise httpx.ReadError("gone", request=request)
        if len(seen) == 2:
            return problem(503, "unavailable")
        return httpx.Response(201, json=JOB)

    async with client(answer, api_key="k") as one:
        assert (await one.submit({"scenario": "720p30-h264"})).id == "j1"
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert seen[0].headers["Authorization"] == "Bearer k"
    assert json.loads(seen[2].content) == {"scenario": "720p30-h264"}


async def test_two_submissions_have_two_keys_and_a_given_one_is_kept() -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(201, json=JOB)

    async with client(answer) as one:
        await one.submit({})
        await one.submit({})
        await one.submit({}, idempotency_key="mine")
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


async def test_a_retry_has_a_key_and_a_given_one_is_kept() -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(200, json={"status": "queued", "job_id": "j2", "job": {**JOB, "id": "j2"}})

    async with client(answer) as one:
        await one.retry("j1")
        await one.retry("j1")
        assert (await one.retry("j1", idempotency_key="mine")).job_id == "j2"
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "unknown_scenario", errors.InvalidInput),
        (401, "unauthenticated", errors.Unauthenticated),
        (403, "forbidden", errors.Forbidden),
        (404, "not_found", errors.NotFound),
        (409, "conflict", errors.Conflict),
        (413, "body_too_large", errors.PayloadTooLarge),
        (422, "idempotency_mismatch", errors.IdempotencyMismatch),
        (500, "error", errors.FfrtmpError),
    ],
)
async def test_problems_become_errors_and_are_not_asked_again(status: int, code: str, kind: type[Exception]) -> None:
    calls = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return problem(status, code, "what to do", state="completed")

    async with client(answer) as one:
        with pytest.raises(kind, match="what to do") as caught:
            await one.job(1)
    assert isinstance(caught.value, errors.FfrtmpError)
    assert caught.value.code == code
    assert calls == 1
    if isinstance(caught.value, errors.Conflict):
        assert caught.value.state == "completed"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_not_now_is_unavailable_with_the_pause_that_was_asked(status: int) -> None:
    calls = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return httpx.Response(status, headers={"Retry-After": "0"}, text="busy")

    async with client(answer) as one:
        with pytest.raises(errors.Unavailable) as caught:
            await one.health()
    assert calls == 4
    assert caught.value.retry_after_seconds == 0


def test_a_pause_that_is_asked_has_a_bound() -> None:
    answer = httpx.Response(503, headers={"Retry-After": "86400"})
    asked = http.refusal(answer, b"")
    assert isinstance(asked, errors.Unavailable)
    assert asked.retry_after_seconds == 60


async def test_agents_decide_themselves_when_to_ask_again() -> None:
    calls = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise httpx.ConnectError("All connection attempts failed")

    async with client(answer) as one:
        with pytest.raises(errors.Unavailable, match="connection refused"):
            await one.beat("n1", agent.Beat(incarnation="i"))
    assert calls == 1


async def test_an_answer_that_is_no_masters() -> None:
    async with client(lambda _: httpx.Response(200, text="<html>")) as one:
        with pytest.raises(errors.FfrtmpError, match="Is this an ffrtmp master") as caught:
            await one.health()
    assert caught.value.code == "unexpected_answer"


async def test_list_filters_and_odd_references() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"jobs": [], "count": 0} if "?" in asked[-1] else JOB)

    async with client(answer) as one:
        await one.jobs(state=["queued", "running"], tags={"show": "a b"}, limit=5, cursor="9", node="n")
        await one.job("a/../b?x")
    assert asked[0].endswith("/jobs?node=n&limit=5&cursor=9&state=queued&state=running&tag=show%3Aa+b")
    assert asked[1] == "http://master:8080/jobs/a%2F..%2Fb%3Fx"


async def test_a_path_that_no_master_has_is_another_server_or_a_strange_name() -> None:
    async with client(lambda _: problem(404, "no_route", "There is no such path here.")) as one:
        with pytest.raises(errors.Unavailable, match="not a master's API"):
            await one.job(17)
        with pytest.raises(errors.NotFound):
            await one.job("a/b")


async def test_a_node_goes_on_with_its_own_credential_and_registers_with_the_key() -> None:
    seen: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, request.headers["Authorization"]))
        body: dict[str, Any] = {
            "id": "n1",
            "name": "n",
            "heartbeat_interval_seconds": 30,
            "ttl_seconds": 30,
            "credential": "c",
        }
        if request.url.path != "/nodes/register":
            body = {"attempt_id": "a", "state": "failed", "job_state": "failed"}
        return httpx.Response(200, json=body)

    failure = Failure(code=Code.ENGINE_FAILED, message="x")
    async with client(answer, api_key="admin") as one:
        await one.register(agent.Register(name="n"))
        await one.fail("a", agent.Fail(node_id="n1", incarnation="i", failure=failure))
        await one.register(agent.Register(name="n"))
    assert [key for _, key in seen] == ["Bearer admin", "Bearer c", "Bearer admin"]


async def test_events_go_on_where_they_were() -> None:
    asked: list[str | None] = []

    def event(seq: int) -> str:
        body = json.dumps({"seq": seq, "at": "t", "kind": "job.state", "data": {}})
        return f"id: {seq}\nevent: job.state\ndata: {body}\n\n"

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        if len(asked) == 1:
            return httpx.Response(200, text=": hello\n\n" + event(4) + event(5) + "data: {cut")
        if len(asked) == 2:
            raise httpx.ConnectError("All connection attempts failed")
        return httpx.Response(200, text=event(6))

    found: list[int] = []
    async with client(answer) as one:
        async for each in one.events(after=3):
            found.append(each.seq)
            if each.seq == 6:
                break
    assert found == [4, 5, 6]
    assert asked == ["3", "5", "5"]


async def test_a_refused_event_stream_is_told() -> None:
    async with client(lambda _: problem(404, "not_found", "no such job")) as one:
        with pytest.raises(errors.NotFound):
            await anext(one.events(job="x"))


@pytest.mark.parametrize(
    ("written", "tried"),
    [
        ("localhost", ["https://localhost:8080", "http://localhost:8080"]),
        ("farm:9000", ["https://farm:9000", "http://farm:9000"]),
        ("[::1]:9000", ["https://[::1]:9000", "http://[::1]:9000"]),
        ("http://farm:1/", ["http://farm:1", "https://farm:1"]),
        ("https://farm", ["https://farm"]),
        ("https://farm/ffrtmp", ["https://farm/ffrtmp"]),
        ("http://[fe80::1%eth0]:1", ["http://[fe80::1%eth0]:1", "https://[fe80::1%eth0]:1"]),
        ("Büro_1.local:1", ["https://Büro_1.local:1", "http://Büro_1.local:1"]),
    ],
)
def test_addresses(written: str, tried: list[str]) -> None:
    assert masters.candidates(written) == tried


@pytest.mark.parametrize(
    "written",
    [
        "ftp://x",
        "a:b",
        "user@host:1",
        "",
        "http://",
        "host:1?x=1",
        "m1 m2",
        "http://m1 m2:8080",
        "https:/m1:8080",
        "http://m1:1/#x",
        "m1/x",
        "h%41:80",
    ],
)
def test_addresses_that_are_none(written: str) -> None:
    with pytest.raises(errors.InvalidInput, match="master's address"):
        masters.candidates(written)
