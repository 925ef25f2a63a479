"""Who hears of work, and what a lost answer costs."""

import asyncio
import socket
import types
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import psutil
import pytest

from ffrtmp.domain import errors, job, spec
from ffrtmp.domain.node import Capabilities
from ffrtmp.master import app, auth, context, dispatch, server
from ffrtmp.master.api import nodes, work
from ffrtmp.master.loops import hints
from ffrtmp.master.settings import MasterSettings
from ffrtmp.protocol import agent
from ffrtmp.store import sqlite
from ffrtmp.testing import factories
from ffrtmp.testing.simulator.master import SimCall

from .conftest import Bench, NodeClient, Running, both_databases, run_master

pytestmark = both_databases


def _request(node: NodeClient, request_id: str, wait: float) -> dict[str, Any]:
    return {"incarnation": node.incarnation, "request_id": request_id, "free_slots": 1, "wait_seconds": wait}


async def test_a_grant_that_nobody_heard_of_is_repeated(master: Running) -> None:
    """The connection breaks while the agent waits; the job comes; the agent asks again under the same id."""
    node = await master.node()
    for number in range(10):
        async with httpx.AsyncClient(base_url=master.ready.url, timeout=30, trust_env=False) as lost:
            waiting = asyncio.create_task(lost.post(f"/nodes/{node.id}/lease", json=_request(node, f"r{number}", 25)))
            submitting = asyncio.create_task(master.submit())
            # it goes away at the worst moment: while the job is given to it
            await asyncio.wait({submitting})
            waiting.cancel()
            await asyncio.wait({waiting})
        again = await master.send("POST", f"/nodes/{node.id}/lease", json=_request(node, f"r{number}", 25))
        assert [grant["job_id"] for grant in again["grants"]] == [submitting.result()["id"]]
        repeated = await master.send("POST", f"/nodes/{node.id}/lease", json=_request(node, f"r{number}", 0))
        assert repeated["grants"] == again["grants"]


async def test_work_that_a_restarted_agent_had_goes_to_another_at_once(master: Running) -> None:
    mine, other = await master.node("mine", slots=3), await master.node("other")
    jobs = {(await master.submit())["id"] for _ in range(3)}
    assert len((await mine.lease(slots=3))["grants"]) == 3
    waiting = asyncio.create_task(other.lease(slots=3, wait=25))
    await master.node("mine", incarnation="mine-2")
    granted = (await waiting)["grants"]
    assert {grant["job_id"] for grant in granted} <= jobs
    assert granted


async def test_a_removed_node_is_released_and_fails_no_submission(master: Running) -> None:
    node, other = await master.node("a"), await master.node("b")
    body = {"incarnation": node.incarnation, "request_id": "r", "free_slots": 1, "wait_seconds": 25}
    waiting = asyncio.create_task(master.client.post(f"/nodes/{node.id}/lease", json=body))
    await other.lease()
    await node.stops()
    await master.send("DELETE", f"/nodes/{node.id}")
    answer = await waiting
    assert answer.status_code in (200, 404)  # it may just have looked, and then not know the node any more
    assert not answer.json().get("grants")
    made = await master.submit(parameters={"codec": "vp9"})  # a class that was not there before
    assert (await other.lease(wait=25))["grants"][0]["job_id"] == made["id"]
    await node.lease(expect=404)


async def test_a_node_is_offline_after_its_own_interval(settings: MasterSettings) -> None:
    master = context.Master(settings, app.open_store(settings), api_key="")
    asked = agent.Register(name="a", incarnation="x", capabilities=Capabilities(), heartbeat_interval_seconds=3000)
    new, _, _ = nodes._new_node(SimCall(master, asked, headers=None, path=None), asked)
    assert new.heartbeat_interval_us == 3_000_000_000


async def test_a_lease_counts_from_its_commit_and_not_from_its_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies between the two must not be in `held`: the agent's fence would lie behind the lease's end."""
    known = await bench.world.agent()
    await bench.world.submit(factories.a_spec(requires=spec.Requires()))
    await hints.refresh(bench.master)
    lease = bench.store.lease

    async def slowly(*arguments: Any) -> Any:
        granted = await lease(*arguments)
        bench.clock.now += 100.0
        return granted

    monkeypatch.setattr(bench.store, "lease", slowly)
    asked = agent.LeaseRequest(incarnation=known.incarnation, request_id="r", free_slots=1, wait_seconds=0)
    reply = await work._lease_for(cast(Any, types.SimpleNamespace(master=bench.master)), known.id, asked)
    assert reply.grants
    assert (reply.held_seconds, bench.clock.now) == (0.0, 100.0)


async def test_a_grant_that_another_master_gave_under_the_same_request_counts_from_the_request(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent's connection to that master broke, and its client asked here within the same call: it does not know that the lease
    may be older than this master's look."""
    known = await bench.world.agent()
    await bench.world.submit(factories.a_spec(requires=spec.Requires()))
    await hints.refresh(bench.master)
    asked = agent.LeaseRequest(incarnation=known.incarnation, request_id="r", free_slots=1, wait_seconds=25)
    look = bench.store.lease
    given: list[job.Grant] = []

    async def lease(*arguments: Any) -> list[job.Grant]:
        if given:
            return await look(*arguments)
        given.extend(await look(*arguments))  # by the other master; something else wakes this long-poll later
        bench.clock.now += 9.0
        asyncio.get_running_loop().call_soon(bench.master.dispatcher.wake_all)
        return []

    monkeypatch.setattr(bench.store, "lease", lease)
    reply = await work._lease_for(cast(Any, types.SimpleNamespace(master=bench.master)), known.id, asked)
    assert given
    assert reply.grants == given
    assert (reply.held_seconds, bench.clock.now) == (0.0, 9.0)


async def test_a_copy_of_a_request_that_was_answered_elsewhere_takes_no_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent has gone to another master and got its answer there; this one still holds the connection that broke."""
    known, other = await bench.world.agent(), await bench.world.agent()
    anywhere = factories.a_spec(requires=spec.Requires())
    before = await bench.world.submit(anywhere)
    await bench.store.cancel(before.id)
    await hints.refresh(bench.master)
    elsewhere = context.Master(bench.master.settings, bench.store, api_key="", clock=bench.clock)
    looks: list[asyncio.Event] = [asyncio.Event(), asyncio.Event()]
    look = bench.store.lease

    async def lease(*arguments: Any) -> list[job.Grant]:
        granted = await look(*arguments)
        next((event for event in looks if not event.is_set()), looks[1]).set()
        return cast("list[job.Grant]", granted)

    def ask(master: context.Master, who: Any, wait: float, **more: Any) -> asyncio.Task[agent.LeaseReply]:
        asked = agent.LeaseRequest(incarnation=who.incarnation, request_id="r", wait_seconds=wait, **more)
        return asyncio.create_task(work._lease_for(cast(Any, types.SimpleNamespace(master=master)), who.id, asked))

    monkeypatch.setattr(bench.store, "lease", lease)
    forgotten = ask(bench.master, known, 25, free_slots=2)  # more slots: it is woken first
    await looks[0].wait()
    waiting = ask(bench.master, other, 25, free_slots=1)
    await looks[1].wait()
    assert not (await ask(elsewhere, known, 0, free_slots=2, again=True)).grants
    made = await bench.world.submit(anywhere)
    bench.master.dispatcher.ready([one.id for one in await bench.store.classes()])
    assert [grant.job_id for grant in (await waiting).grants] == [made.id]
    assert not (await forgotten).grants


async def test_a_request_that_is_asked_again_ends_with_what_it_was_given_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a master that the agent no longer listens to, while this one had nothing."""
    known = await bench.world.agent()
    made = await bench.world.submit()
    await hints.refresh(bench.master)
    asked = agent.LeaseRequest(incarnation=known.incarnation, request_id="r", free_slots=1, wait_seconds=0, again=True)

    async def wait(wants: dispatch.Wants, _: object) -> None:
        await known.lease(request_id="r")

    monkeypatch.setattr(bench.master.dispatcher, "wait", wait)
    bench.clock.now += 5.0
    reply = await work._lease_for(cast(Any, types.SimpleNamespace(master=bench.master)), known.id, asked)
    assert ([grant.job_id for grant in reply.grants], reply.held_seconds) == ([made.id], 0.0)


async def test_a_long_poll_has_a_longest_time_and_polls_do_not_end_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await bench.world.agent()
    ends: set[float] = set()

    async def wait(wants: dispatch.Wants, _: object) -> None:
        ends.add(wants.deadline)

    monkeypatch.setattr(bench.master.dispatcher, "wait", wait)
    for number in range(20):
        asked = agent.LeaseRequest(
            incarnation=known.incarnation, request_id=f"r{number}", free_slots=1, wait_seconds=1000
        )
        await work._lease_for(cast(Any, types.SimpleNamespace(master=bench.master)), known.id, asked)
    assert len(ends) == 20
    assert min(ends) >= 20.0
    assert max(ends) <= 25.0


async def test_an_agent_hears_the_lease_time_that_its_leases_have(settings: MasterSettings) -> None:
    """The master was started again with another one; the agent has registered with the old."""
    async for master in run_master(msgspec.structs.replace(settings, ttl_seconds=7.0)):
        node = await master.node()
        assert (await node.lease())["ttl_seconds"] == 7.0
    async for again in run_master(msgspec.structs.replace(settings, ttl_seconds=600.0)):
        node.master = again
        assert (await node.lease())["ttl_seconds"] == 7.0
        assert (await node.beat())["ttl_seconds"] == 7.0
        await again.node()
        assert (await node.beat())["ttl_seconds"] == 600.0


async def test_an_agent_that_registered_at_another_master_hears_its_lease_time_without_a_hint(bench: Bench) -> None:
    """Longer than the lease itself, and its fence would lie behind the lease's end."""
    before = await bench.world.agent("n", ttl_us=90_000_000)
    assert (await bench.master.classes.node(before.id)).ttl_us == 90_000_000
    anew = await bench.world.agent("n", ttl_us=10_000_000)
    beat = agent.Beat(incarnation=anew.incarnation)
    asked = agent.LeaseRequest(incarnation=anew.incarnation, request_id="r", free_slots=1, wait_seconds=0)
    call: Any = types.SimpleNamespace(
        master=bench.master, path={"node_id": anew.id}, principal=auth.ADMIN, body=b"{}", decode=lambda _: beat
    )
    assert (await work._lease_for(call, anew.id, asked)).ttl_seconds == 10.0
    bench.master.classes.put_node(msgspec.structs.replace(await bench.store.get_node("n"), incarnation="", ttl_us=1))
    assert (await nodes.heartbeat(call)).ttl_seconds == 10.0


async def test_a_batch_is_all_or_nothing_and_answers_the_same_again(master: Running) -> None:
    good, missing = {"scenario": "720p30-h264"}, {"scenario": "720p30-h264", "parameters": {"input": "upload:none"}}
    problem = await master.send("POST", "/jobs/batch", expect=400, json={"jobs": [good, missing, good]})
    assert [fault["path"] for fault in problem["errors"]] == ["jobs.1.parameters.input"]
    assert (await master.send("GET", "/jobs"))["count"] == 0
    node = await master.node()
    waiting = asyncio.create_task(node.lease(wait=25))
    key = {"Idempotency-Key": "k"}
    made = await master.send("POST", "/jobs/batch", expect=201, json={"jobs": [good, good]}, headers=key)
    assert (await waiting)["grants"][0]["job_id"] in {job["id"] for job in made["jobs"]}
    again = await master.send("POST", "/jobs/batch", expect=200, json={"jobs": [good, good]}, headers=key)
    assert [job["id"] for job in again["jobs"]] == [job["id"] for job in made["jobs"]]
    await master.send("POST", "/jobs/batch", expect=422, json={"jobs": [good]}, headers=key)


async def test_a_part_that_fails_ends_the_master_with_an_error(
    settings: MasterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(server.Server, "serve", broken)
    assert await asyncio.wait_for(app.run(settings), 30) == 1


async def test_a_master_whose_writing_process_stands_still_is_not_ready(
    master: Running, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind != "sqlite":
        pytest.skip("no other database has one")
    monkeypatch.setattr(sqlite, "_SILENT_SECONDS", 0.0)
    [writer] = [one for one in psutil.Process().children() if "ffrtmp.store.sqlite_process" in one.cmdline()]
    writer.suspend()
    asked = asyncio.create_task(master.submit())
    for path in ("/ready", "/health"):
        while (answer := await master.client.get(path)).status_code == 200:
            pass
        assert (answer.json()["code"], "has not answered" in answer.json()["detail"]) == ("unavailable", True)
    writer.resume()
    await asked
    while (await master.client.get("/ready")).status_code == 503:
        pass


async def test_a_start_that_fails_leaves_the_port_free(settings: MasterSettings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "artifacts").write_text("in the way")
    with pytest.raises(errors.InvalidInput, match="artifact directory"):
        await app.run(msgspec.structs.replace(settings, port=port))
    socket.create_server(("127.0.0.1", port)).close()
