import asyncio
import json

import pytest

from ffrtmp.master import explain

from .conftest import Running, both_databases

pytestmark = both_databases


async def test_a_job_is_submitted_read_and_listed(master: Running) -> None:
    made = await master.submit(parameters={"duration": 5, "tags": {"show": "x"}}, priority="high")
    assert made["state"] == made["status"] == "queued"
    assert made["sequence_number"] == 1
    for ref in (made["id"], "1"):
        assert (await master.send("GET", f"/jobs/{ref}"))["id"] == made["id"]
    assert [job["id"] for job in (await master.send("GET", "/jobs?tag=show:x"))["jobs"]] == [made["id"]]
    assert (await master.send("GET", "/jobs?priority=low"))["count"] == 0


async def test_only_a_string_of_digits_is_a_sequence_number(master: Running) -> None:
    for _ in range(3):
        await master.submit()
    for ref in ("3abc", "0x3", "+3", "3.0", "٣", " 3"):
        assert (await master.send("GET", f"/jobs/{ref}", expect=404))["code"] == "not_found"


async def test_pages_go_on_by_their_cursor(master: Running) -> None:
    for _ in range(5):
        await master.submit()
    seen, cursor = [], ""
    while True:
        page = await master.send("GET", f"/jobs?limit=2{cursor}")
        seen += [job["sequence_number"] for job in page["jobs"]]
        if "next_cursor" not in page:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "query.limit"),
        ("limit=x", "query.limit"),
        ("state=nope", "query.state"),
        ("cursor=-1", "query.cursor"),
        ("colour=red", "query.colour"),
        ("tag=x", "query.tag"),
        ("queue=fast", "query.queue"),
    ],
)
async def test_a_wrong_filter_names_itself(master: Running, query: str, field: str) -> None:
    problem = await master.send("GET", f"/jobs?{query}", expect=400)
    assert [fault["path"] for fault in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty_body"),
        (b"{", 400, "invalid_json"),
        (b'{"scenrio": "720p30-h264"}', 400, "unknown_field"),
        (b'{"scenario": "720p30-h26"}', 400, "unknown_scenario"),
        (b'{"scenario": "720p30-h264", "parameters": {"duration": -1}}', 400, "invalid_value"),
        (b'{"scenario": "720p30-h264", "parameters": {"bitrate": "abc"}}', 400, "invalid_value"),
        (b'{"scenario": "720p30-h264", "parameters": {"output": "../x.mp4"}}', 400, "forbidden_path"),
        (b" " * 10_000_000, 413, "body_too_large"),
    ],
    ids=["empty", "not-json", "unknown-field", "unknown-scenario", "negative", "bitrate", "dots", "10MB"],
)
async def test_bad_bodies_get_a_problem_document_and_leave_nothing(
    master: Running, body: bytes, status: int, code: str
) -> None:
    answer = await master.client.post("/jobs", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["code"] == code
    assert (await master.send("GET", "/jobs"))["count"] == 0


async def test_a_body_without_a_length_is_limited_too(master: Running) -> None:
    async def endless():  # type: ignore[no-untyped-def]
        for _ in range(64):
            yield b" " * 65536

    answer = await master.client.post("/jobs", content=endless())
    assert answer.status_code == 413


async def test_an_idempotency_key_gives_the_same_job_once(master: Running) -> None:
    async def send(body: dict[str, object], expect: int) -> dict[str, object]:
        return await master.send("POST", "/jobs", expect=expect, json=body, headers={"Idempotency-Key": "k"})

    first = await send({"scenario": "720p30-h264"}, 201)
    again = await send({"scenario": "720p30-h264"}, 200)
    assert again["id"] == first["id"]
    assert (await send({"scenario": "480p30-h264"}, 422))["code"] == "idempotency_mismatch"
    assert (await master.send("GET", "/jobs"))["count"] == 1


async def test_many_requests_at_once_with_one_key_make_one_job(master: Running) -> None:
    def post():  # type: ignore[no-untyped-def]
        return master.client.post("/jobs", json={"scenario": "720p30-h264"}, headers={"Idempotency-Key": "k"})

    answers = await asyncio.gather(*(post() for _ in range(20)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]


async def test_a_batch_is_taken_whole_or_not_at_all(master: Running) -> None:
    good, bad = {"scenario": "720p30-h264"}, {"scenario": "720p30-h264", "parameters": {"crf": 99, "ladder": "auto"}}
    problem = await master.send("POST", "/jobs/batch", expect=400, json={"jobs": [good, bad]})
    assert {fault["path"] for fault in problem["errors"]} >= {"jobs.1.parameters.crf"}
    assert (await master.send("GET", "/jobs"))["count"] == 0
    made = await master.send("POST", "/jobs/batch", expect=201, json={"jobs": [good, good, good]})
    assert [job["sequence_number"] for job in made["jobs"]] == [1, 2, 3]


async def test_a_check_stores_nothing_and_shows_the_spec(master: Running) -> None:
    shown = await master.send("POST", "/jobs/check", json={"scenario": "720p30-h264"})
    assert shown["spec"]["codec"] == "h264"
    assert shown["decisions"]
    assert (await master.send("GET", "/jobs"))["count"] == 0


async def test_a_measurement_is_a_job_like_others(master: Running) -> None:
    parameters = {"input": "small.mp4", "measure": {"reference": "master.mkv", "metrics": ["vmaf"]}}
    made = await master.send("POST", "/jobs", expect=201, json={"parameters": parameters})
    assert (made["scenario"], made["parameters"]) == ("", parameters)
    await master.node("without")
    shown = await master.send("GET", "/jobs/1/explain")
    assert (shown["spec"]["kind"], shown["spec"]["reference"]["path"]) == ("measure", "master.mkv")
    assert shown["nodes"][0]["unmet"] == ["its FFmpeg cannot measure vmaf"]
    assert (await master.send("GET", "/jobs/1/tasks"))["tasks"][0]["kind"] == "measure"
    await master.send("POST", "/jobs/1/cancel")
    again = (await master.send("POST", "/jobs/1/retry"))["job"]["id"]
    assert (await master.send("GET", f"/jobs/{again}/explain"))["spec"] == shown["spec"]
    checked = await master.send("POST", "/jobs/check", json={"parameters": parameters})
    assert checked["spec"] == shown["spec"]


async def test_the_state_machine_answers_409_with_the_state(master: Running) -> None:
    await master.submit()
    assert (await master.send("POST", "/jobs/1/retry", expect=409))["state"] == "queued"
    assert (await master.send("POST", "/jobs/1/pause"))["status"] == "paused"
    for _ in range(2):  # a repeat after a lost answer is the same answer
        assert (await master.send("POST", "/jobs/1/resume"))["status"] == "queued"
    assert (await master.send("POST", "/jobs/1/cancel"))["status"] == "canceled"
    assert (await master.send("POST", "/jobs/1/pause", expect=409))["state"] == "canceled"
    retried = await master.send("POST", "/jobs/1/retry")
    assert retried["status"] == "queued"
    assert retried["job"]["retry_of"] == (await master.send("GET", "/jobs/1"))["id"]


async def test_the_history_says_who_asked(keyed: Running) -> None:
    master, who = keyed, "API key from 127.0.0.1"
    node = await master.node()
    await master.submit()
    await master.send("POST", "/jobs/batch", json={"jobs": [{"scenario": "720p30-h264"}]})
    for verb in ("pause", "resume", "cancel", "retry"):
        await master.send("POST", f"/jobs/1/{verb}")
    for on in ("true", "false"):
        await master.send("POST", f"/nodes/{node.id}/drain?on={on}")
    await node.stops()
    await master.send("DELETE", f"/nodes/{node.id}")
    events = [event for job in (1, 2, 3) for event in (await master.send("GET", f"/jobs/{job}/events"))["events"]]
    asked = [event["kind"] for event in events if event["data"].get("by") == who]
    assert sorted(asked) == sorted(
        ["job.submitted"] * 3 + ["job.pause_requested", "job.resume_requested", "job.cancel_requested"]
    )
    seen = []
    async with master.client.stream("GET", "/events?after=0") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: ") and (event := json.loads(line[6:]))["kind"].startswith("node."):
                seen.append((event["kind"], event["data"].get("by")))
                if event["kind"] == "node.removed":
                    break
    drains = [("node.drain", who), ("node.drain", who), ("node.drain", "agent")]
    assert seen == [("node.registered", None), *drains, ("node.removed", who)]
    assert any(f"by: {who}" in line for line in (await master.send("GET", "/jobs/1/explain"))["history"])


async def test_without_a_key_the_history_says_so(master: Running) -> None:
    await master.submit()
    events = (await master.send("GET", "/jobs/1/events"))["events"]
    assert events[0]["data"]["by"] == "no key from 127.0.0.1"


async def test_explain_says_what_failed_and_when_it_goes_on(master: Running) -> None:
    node = await master.node()
    await master.submit(max_retries=20)
    attempt = (await node.lease())["grants"][0]["attempt_id"]
    failure = {"code": "stalled", "message": "no progress for 60 s"}
    await node.report(attempt, "fail", failure=failure)
    while (explained := await master.send("GET", "/jobs/1/explain"))["state"] != "retrying":
        # its pause, random from zero on, was over already: it fails again
        attempt = (await node.lease(wait=25))["grants"][0]["attempt_id"]
        await node.report(attempt, "fail", failure=failure)
    assert explained["waiting_code"] == "backoff"
    assert "failed (stalled: no progress for 60 s)" in explained["waiting_reason"]
    assert "the next starts in" in explained["waiting_reason"]


async def test_explain_says_how_many_go_first(master: Running) -> None:
    for priority in ("low", "medium", "high", "medium"):
        await master.submit(priority=priority)
    await master.submit(parameters={"codec": "vp9"})  # another class: it waits for other nodes
    ahead = [(await master.send("GET", f"/jobs/{number}/explain")).get("ahead") for number in range(1, 6)]
    assert ahead == [3, 1, 0, 2, 0]
    await master.send("POST", "/jobs/3/pause")
    assert (await master.send("GET", "/jobs/1/explain"))["ahead"] == 2
    assert "ahead" not in await master.send("GET", "/jobs/3/explain")


async def test_explain_counts_what_the_same_nodes_take_first(master: Running) -> None:
    """One node runs both codecs, so that what waits for the other codec goes first as well."""
    for _ in range(3):
        await master.submit()
    await master.submit(parameters={"codec": "vp9"})
    await master.submit(parameters={"codec": "av1"})
    await master.node("both")  # no av1
    ahead = [(await master.send("GET", f"/jobs/{number}/explain")).get("ahead") for number in range(1, 6)]
    assert ahead == [0, 1, 2, 3, 0]


async def test_explain_shows_the_newest_events(master: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    await master.submit()
    await master.send("POST", "/jobs/1/pause")
    whole = await master.send("GET", "/jobs/1/explain")
    assert "earlier_left_out" not in whole
    monkeypatch.setattr(explain, "_MOST_EVENTS", 2)
    await master.send("POST", "/jobs/1/resume")
    found = await master.send("GET", "/jobs/1/explain")
    assert found["earlier_left_out"]
    assert len(found["history"]) == 2
    assert "job.resume_requested" in " ".join(found["history"])


async def test_jobs_of_a_node_by_name_or_id(master: Running) -> None:
    made = await master.submit()
    node = await master.node("encoder-1")
    await node.lease()
    for ref in ("encoder-1", node.id):
        assert [job["id"] for job in (await master.send("GET", f"/jobs?node={ref}"))["jobs"]] == [made["id"]]
    refused = await master.send("GET", "/jobs?node=encoder-2", expect=404)
    assert refused["detail"] == "There is no node encoder-2."


async def test_explain_says_why_a_job_waits(master: Running) -> None:
    await master.submit()
    assert (await master.send("GET", "/jobs/1/explain"))["waiting_code"] == "no_nodes"
    await master.node()
    assert (await master.send("GET", "/jobs/1/explain"))["waiting_code"] == "next"
    await master.submit(parameters={"requires": {"labels": {"zone": "moon"}}})
    explained = await master.send("GET", "/jobs/2/explain")
    assert explained["waiting_code"] == "no_node_fits"
    assert explained["nodes"][0]["unmet"] == ["it has no label zone=moon"]
    rows = (await master.send("GET", "/queue"))["rows"]
    assert {row["waiting_code"] for row in rows} == {"next", "no_node_fits"}


async def test_unknown_paths_and_methods_are_problem_documents(master: Running) -> None:
    assert (await master.send("GET", "/nope", expect=404))["code"] == "no_route"
    assert (await master.send("PUT", "/jobs", expect=405))["code"] == "method_not_allowed"
