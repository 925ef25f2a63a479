"""Two masters on one PostgreSQL: what happens at one reaches who waits at the other, without the poll behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import msgspec
import pytest

from ffrtmp.master import app, context, dispatch
from ffrtmp.master.api import events, work
from ffrtmp.master.loops import hints
from ffrtmp.master.settings import MasterSettings
from ffrtmp.store import interface, postgres_hints

from .conftest import NodeClient, Running, run_master

pytestmark = pytest.mark.postgres
NEVER = 1e6


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "postgres")


class Noted:
    """What was said, and waiting for it."""

    def __init__(self) -> None:
        self._said: list[Any] = []
        self._more = asyncio.Condition()

    async def say(self, what: Any) -> None:
        async with self._more:
            self._said.append(what)
            self._more.notify_all()

    async def until(self, wanted: Callable[[Any], bool]) -> None:
        async with self._more:
            await self._more.wait_for(lambda: any(map(wanted, self._said)))

    def forget(self) -> None:
        self._said.clear()


class Pair:
    def __init__(self, masters: list[Running], looks: Noted, applied: Noted) -> None:
        self.a, self.b = masters
        self.looks = looks
        self.applied = applied

    async def node_at_b(self, name: str = "a") -> NodeClient:
        """Registered at A, and the agent speaks with B."""
        node = await self.a.node(name)
        node.master = self.b
        return node

    async def waiting(self, poll: Awaitable[Any]) -> "asyncio.Task[Any]":
        """The poll, when it has looked and found nothing."""
        self.looks.forget()
        asked = asyncio.ensure_future(poll)
        await self.looks.until(lambda found: not found)
        return asked

    async def running_at_b(self, node: NodeClient) -> tuple[str, str]:
        """(job, attempt) of a job that the node has started."""
        made = await self.b.submit()
        (grant,) = (await node.lease(wait=NEVER))["grants"]
        await node.beat({"attempt_id": grant["attempt_id"], "started": True})
        return made["id"], grant["attempt_id"]


@pytest.fixture
async def pair(settings: MasterSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    """Both hear hints. No poll behind them, no sweep that looks for what changed, no long-poll that looks once more at its end."""
    for module, name in (
        (dispatch, "BACKSTOP_SECONDS"),
        (dispatch, "BACKSTOP_WITHOUT_HINTS_SECONDS"),
        (events, "_BACKSTOP_SECONDS"),
        (work, "LONGEST_WAIT_SECONDS"),
    ):
        monkeypatch.setattr(module, name, NEVER)
    looks, applied = Noted(), Noted()
    apply, open_store = hints.apply, app.open_store

    async def noting(master: context.Master, *, hint: interface.Hint) -> None:
        await apply(master, hint=hint)
        await applied.say((master.store, master.store.hints.up, hint))

    stores: list[interface.Store] = []

    def opened(which: MasterSettings) -> interface.Store:
        store = open_store(which)
        for name in ("lease", "directives", "events"):
            monkeypatch.setattr(store, name, _noted(getattr(store, name), looks))
        stores.append(store)
        return store

    monkeypatch.setattr(hints, "apply", noting)
    monkeypatch.setattr(app, "open_store", opened)
    still = msgspec.structs.replace(settings, scheduler_interval_seconds=NEVER)
    async for a in run_master(still):
        async for b in run_master(still):
            for store in stores:
                await applied.until(lambda said, store=store: said[0] is store and said[1] and said[2].everything)
            yield Pair([a, b], looks, applied)


def _noted(read: Callable[..., Awaitable[Any]], looks: Noted) -> Callable[..., Awaitable[Any]]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        found = await read(*args, **kwargs)
        await looks.say(found)
        return found

    return call


async def test_a_job_reaches_an_agent_that_waits_at_another_master(pair: Pair) -> None:
    node = await pair.node_at_b()
    poll = await pair.waiting(node.lease(wait=NEVER))
    made = await pair.a.submit()  # of a class that B does not know
    (grant,) = (await poll)["grants"]
    assert grant["job_id"] == made["id"]
    poll = await pair.waiting(node.lease(wait=NEVER))
    made = await pair.a.submit()
    (grant,) = (await poll)["grants"]
    assert grant["job_id"] == made["id"]


async def test_a_batch_reaches_all_who_wait(pair: Pair) -> None:
    """It is told once; each that finds a job lets the next one look."""
    nodes = [await pair.node_at_b(f"node-{number}") for number in range(4)]
    polls = [await pair.waiting(node.lease(wait=NEVER)) for node in nodes]
    body = {"jobs": [{"scenario": "720p30-h264"} for _ in nodes]}
    await pair.a.send("POST", "/jobs/batch", expect=201, json=body)
    assert [len(reply["grants"]) for reply in await asyncio.gather(*polls)] == [1, 1, 1, 1]


async def test_a_task_that_is_given_back_reaches_another_master(pair: Pair) -> None:
    first, second = await pair.a.node("first"), await pair.node_at_b("second")
    await pair.a.submit()
    (grant,) = (await first.lease())["grants"]
    poll = await pair.waiting(second.lease(wait=NEVER))
    await first.report(grant["attempt_id"], "give-back", reason="drained")
    (again,) = (await poll)["grants"]
    assert again["job_id"] == grant["job_id"]


@pytest.mark.parametrize(("verb", "command"), [("cancel", "cancel"), ("pause", "pause")])
async def test_a_command_reaches_an_agent_that_waits_at_another_master(pair: Pair, verb: str, command: str) -> None:
    node = await pair.node_at_b()
    job_id, attempt_id = await pair.running_at_b(node)
    poll = await pair.waiting(node.lease(slots=0, wait=NEVER, attempts=(attempt_id,)))
    await pair.a.send("POST", f"/jobs/{job_id}/{verb}")
    assert [(told["attempt_id"], told["command"]) for told in (await poll)["directives"]] == [(attempt_id, command)]


async def test_following_a_job_reaches_the_master_of_its_agent(pair: Pair) -> None:
    node = await pair.node_at_b()
    job_id, attempt_id = await pair.running_at_b(node)
    assert (await node.beat({"attempt_id": attempt_id}))["directives"][0]["follow_seconds"] == 0
    poll = await pair.waiting(node.lease(slots=0, wait=NEVER, attempts=(attempt_id,)))
    await pair.a.send("GET", f"/jobs/{job_id}?follow=true")
    (told,) = (await poll)["directives"]
    assert told["follow_seconds"] > 0
    assert (await node.beat({"attempt_id": attempt_id}))["directives"][0]["follow_seconds"] > 0


async def test_following_a_job_that_waits(pair: Pair) -> None:
    """Its attempt, when there is one, is followed from its grant on."""
    made = await pair.a.submit()
    await pair.a.send("GET", f"/jobs/{made['id']}?follow=true")
    await pair.applied.until(lambda said: any(one.job_id == made["id"] for one in said[2].follows))
    node = await pair.node_at_b()
    (told,) = (await node.lease(wait=NEVER))["directives"]
    assert told["follow_seconds"] > 0


async def test_a_stream_shows_the_events_of_another_master(pair: Pair) -> None:
    pair.looks.forget()
    async with pair.b.client.stream("GET", "/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == ": connected"
        await pair.looks.until(lambda found: found == [])
        await pair.a.submit()
        async for line in lines:
            if line.startswith("event:"):
                assert line == "event: job.submitted"
                return
    raise AssertionError("the stream ended")


async def test_a_drained_node_is_drained_at_every_master(pair: Pair) -> None:
    node = await pair.node_at_b()
    assert not (await node.lease()).get("drain")
    pair.applied.forget()
    await pair.a.send("POST", f"/nodes/{node.id}/drain")
    await pair.applied.until(lambda said: node.id in said[2].nodes)
    assert (await node.lease())["drain"]


async def test_an_agent_that_restarts_at_another_master_ends_the_poll_of_its_old_self(pair: Pair) -> None:
    node = await pair.node_at_b()
    poll = await pair.waiting(node.lease(wait=NEVER, expect=409))
    await pair.a.node(incarnation="a-2")
    assert (await poll)["code"] == "stale_incarnation"


async def test_the_metric_says_that_hints_arrive(pair: Pair) -> None:
    for master in (pair.a, pair.b):
        assert "\nffrtmp_store_hints_up 1.0\n" in (await master.client.get(str(master.ready.metrics_url))).text


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_a_master_that_is_the_only_one_has_no_such_metric(master: Running) -> None:
    text = (await master.client.get(str(master.ready.metrics_url))).text
    assert [line for line in text.splitlines() if line.startswith("ffrtmp_store_hints_up")] == []
    assert "# HELP ffrtmp_store_hints_up" in text


async def test_without_hints_there_is_the_poll(settings: MasterSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def listens_in_vain(*_: object) -> None:
        return

    monkeypatch.setattr(asyncpg.Connection, "add_listener", listens_in_vain)
    monkeypatch.setattr(postgres_hints, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(work, "LONGEST_WAIT_SECONDS", NEVER)
    monkeypatch.setattr(dispatch, "BACKSTOP_SECONDS", NEVER)  # that of a master that hears hints
    monkeypatch.setattr(dispatch, "BACKSTOP_WITHOUT_HINTS_SECONDS", 0.05)
    busy = msgspec.structs.replace(settings, scheduler_interval_seconds=0.1)  # new classes are read by a sweep
    async for a in run_master(busy):
        async for b in run_master(busy):
            node = await b.node()
            poll = asyncio.ensure_future(node.lease(wait=NEVER))
            await a.submit()
            assert (await poll)["grants"]
            assert "\nffrtmp_store_hints_up 0.0\n" in (await b.client.get(str(b.ready.metrics_url))).text
