import asyncio
from typing import Any

import httpx
import pytest

from .conftest import Running, both_databases

pytestmark = both_databases

_FILE = {"name": "x.mp4", "size_bytes": 5, "sha256": "0" * 64, "path": "/srv/media/x.mp4"}


async def test_a_waiting_lease_is_woken_by_a_submission(master: Running) -> None:
    node = await master.node()
    waiting = asyncio.create_task(node.lease(wait=20))
    made = await master.submit()
    reply = await asyncio.wait_for(waiting, 10)
    assert [grant["job_id"] for grant in reply["grants"]] == [made["id"]]


async def test_repeating_a_lease_request_repeats_the_grant(master: Running) -> None:
    node = await master.node()
    await master.submit()
    await master.submit()
    first = await node.lease()
    node._requests -= 1
    assert (await node.lease())["grants"] == first["grants"]


async def test_a_job_is_run_published_and_completed(master: Running) -> None:
    node = await master.node()
    await master.submit()
    attempt = (await node.lease())["grants"][0]["attempt_id"]
    beat = await node.beat({"attempt_id": attempt, "started": True, "progress": {"percent": 40.0}})
    assert beat["directives"][0]["command"] == "ok"
    running = await master.send("GET", "/jobs/1")
    assert (running["state"], running["progress"], running["node_name"]) == ("running", 40, "a")
    await node.report(attempt, "publish", outputs=[_FILE])
    assert (await master.send("POST", "/jobs/1/cancel", expect=409))["code"] == "publishing"
    done = await node.report(attempt, "complete", result={"outputs": [_FILE], "engine": "ffmpeg"})
    assert done["job_state"] == "completed"
    assert await node.report(attempt, "complete", result={"outputs": [_FILE], "engine": "ffmpeg"}) == done
    assert (await master.send("GET", "/jobs/1/outputs"))["outputs"][0]["path"] == _FILE["path"]


async def test_a_cancel_reaches_a_running_attempt_through_its_long_poll(master: Running) -> None:
    node = await master.node()
    await master.submit()
    attempt = (await node.lease())["grants"][0]["attempt_id"]
    waiting = asyncio.create_task(node.lease(slots=0, wait=20, attempts=(attempt,)))
    assert (await master.send("POST", "/jobs/1/cancel"))["job"]["cancel_requested"]
    directives = (await asyncio.wait_for(waiting, 10))["directives"]
    assert [(one["attempt_id"], one["command"]) for one in directives] == [(attempt, "cancel")]
    assert (await node.report(attempt, "complete", expect=409, result={}))["code"] == "canceled"
    failure = {"code": "canceled", "message": "It was canceled."}
    assert (await node.report(attempt, "fail", failure=failure))["job_state"] == "canceled"


async def test_a_follower_makes_a_running_attempt_report_every_second(master: Running) -> None:
    node = await master.node()
    await master.submit()
    attempt = (await node.lease())["grants"][0]["attempt_id"]
    waiting = asyncio.create_task(node.lease(slots=0, wait=20, attempts=(attempt,)))
    await master.send("GET", "/jobs/1?follow=true")
    directive = (await asyncio.wait_for(waiting, 10))["directives"][0]
    assert (directive["attempt_id"], directive["command"]) == (attempt, "ok")
    assert directive["follow_seconds"] > 0


async def test_a_job_followed_before_it_starts_is_reported_from_its_start(master: Running) -> None:
    node = await master.node()
    await master.submit()
    await master.send("GET", "/jobs/1?follow=true")
    assert (await node.lease())["directives"][0]["follow_seconds"] > 0


async def test_a_returning_incarnation_gives_its_work_back_at_once(master: Running) -> None:
    node = await master.node()
    await master.submit()
    attempt = (await node.lease())["grants"][0]["attempt_id"]
    again = await master.node(incarnation="a-2")
    assert again.id == node.id
    assert (await again.lease())["grants"][0]["job_id"] == (await master.send("GET", "/jobs/1"))["id"]
    assert (await node.report(attempt, "complete", expect=409, result={}))["status"] == 409
    assert (await node.beat({"attempt_id": attempt}))["directives"][0]["command"] == "gone"


async def test_a_name_is_refused_while_another_agent_lives_under_it(master: Running) -> None:
    node = await master.node(origin="one", address="host-7")
    body = {"name": "a", "incarnation": "a-2", "slots": 1, "capabilities": {}, "origin": "two"}
    problem = await master.send("POST", "/nodes/register", expect=409, json=body)
    assert problem["code"] == "name_taken"
    assert "an agent on host-7 (127.0.0.1) has it" in problem["detail"]
    await node.lease(expect=200)  # it is as if nobody had come
    assert (await master.node(incarnation="a-3", origin="one")).id == node.id
    reference = {"address": "http://a:9000", "cpu_threads": 2}
    assert (await master.send("POST", "/nodes/register", expect=409, json=reference))["code"] == "name_taken"
    problem = await master.send("POST", "/nodes/register", expect=400, json={**body, "origin": "t w o"})
    assert [one["path"] for one in problem["errors"]] == ["origin"]


async def test_a_draining_node_gets_nothing(master: Running) -> None:
    node = await master.node()
    await master.send("POST", f"/nodes/{node.id}/drain")
    await master.submit()
    reply = await node.lease()
    assert reply["drain"]
    assert not reply.get("grants")
    await master.send("POST", f"/nodes/{node.id}/drain?on=false")
    assert (await node.lease())["grants"]


async def test_a_job_that_only_some_nodes_can_run_blocks_no_other(master: Running) -> None:
    node = await master.node()
    await master.submit(priority="high", parameters={"requires": {"labels": {"zone": "moon"}}})
    easy = await master.submit(priority="low")
    assert [grant["job_id"] for grant in (await node.lease(slots=2))["grants"]] == [easy["id"]]


async def test_a_wrong_message_names_the_field(master: Running) -> None:
    node = await master.node()
    problem = await master.send(
        "POST", f"/nodes/{node.id}/lease", expect=400, json={"incarnation": "x", "request_id": "r", "free_slots": "two"}
    )
    assert problem["errors"][0]["path"] == "free_slots"
    problem = await master.send("POST", "/nodes/register", expect=400, json={"slots": 0, "cpu_threads": 0})
    assert {fault["path"] for fault in problem["errors"]} == {"name", "slots", "cpu_threads"}


async def test_releasing_a_long_poll_is_part_of_a_graceful_stop(settings: Any) -> None:
    from .conftest import run_master

    waiting: asyncio.Task[Any] | None = None
    async for running in run_master(settings):
        node = await running.node()
        client = httpx.AsyncClient(base_url=running.ready.url, timeout=30, trust_env=False)
        body = {"incarnation": node.incarnation, "request_id": "r", "free_slots": 1, "wait_seconds": 25}
        waiting = asyncio.create_task(client.post(f"/nodes/{node.id}/lease", json=body))
        # the events stream is released too
        async with client.stream("GET", "/events") as stream:
            assert stream.status_code == 200
            await running.submit(parameters={"requires": {"labels": {"zone": "moon"}}})
            async for line in stream.aiter_lines():
                if line.startswith("event: job.submitted"):
                    break
    assert waiting is not None
    answer = await waiting
    assert answer.status_code == 200
    assert not answer.json().get("grants")


@pytest.mark.parametrize("after", ["0", "1"])
async def test_events_resume_after_a_number(master: Running, after: str) -> None:
    await master.submit()
    await master.submit()
    numbers = []
    async with master.client.stream("GET", "/events", headers={"Last-Event-ID": after}) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                numbers.append(int(line.removeprefix("id: ")))
            if len(numbers) == 2 - int(after):
                break
    assert numbers == list(range(int(after) + 1, 3))
