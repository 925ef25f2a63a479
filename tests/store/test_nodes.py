import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ffrtmp.domain import errors, node
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.node import NodeStatus
from ffrtmp.domain.states import AttemptState, JobState
from ffrtmp.store.interface import Store
from ffrtmp.testing import factories
from ffrtmp.testing.world import Agent, World, conflict

Sql = Callable[[str], Awaitable[list[tuple[Any, ...]]]]


async def test_what_was_registered_is_what_is_read(store: Store) -> None:
    new = factories.a_node(
        "alpha",
        labels={"site": "nürnberg"},
        capabilities=node.Capabilities(engines={"ffmpeg": "9"}, media_roots=["/media"]),
        has_gpu=True,
        gpu_type="L4",
    )
    registered = await store.register(new)
    assert (registered.created, registered.restored, registered.node.id) == (True, [], new.id)
    found = await store.get_node("alpha")
    assert found == registered.node == await store.get_node(new.id)
    assert [found] == await store.nodes()
    assert (found.labels, found.capabilities, found.gpu_type) == (new.labels, new.capabilities, "L4")
    assert (found.status, found.active_attempts, found.draining) == (NodeStatus.AVAILABLE, 0, False)
    assert (await store.counts()).nodes == 1


async def test_a_node_without_a_name_is_its_address(store: Store) -> None:
    await store.register(factories.a_node("", address="10.0.0.7"))
    assert (await store.get_node("10.0.0.7")).name == "10.0.0.7"


async def test_a_returning_node_is_the_same_one(store: Store) -> None:
    first = await store.register(factories.a_node("alpha"))
    again = await store.register(factories.a_node("alpha", slots=9))
    assert (again.created, again.node.id, again.node.slots) == (False, first.node.id, 9)
    assert again.node.registered_at == first.node.registered_at
    assert len(await store.nodes()) == 1


async def test_many_register_at_one_moment(store: Store) -> None:
    answers = await asyncio.gather(*(store.register(factories.a_node(f"n{index % 4}")) for index in range(20)))
    assert sum(answer.created for answer in answers) == 4
    assert len(await store.nodes()) == 4
    assert (await store.counts()).nodes == 4


async def test_a_new_incarnation_gives_back_what_the_old_one_had(world: World) -> None:
    made, done = await world.submit(), await world.submit()
    old = await world.agent("n")
    first, second = await old.lease(2)
    await old.start(first)
    await old.complete(second.attempt_id)
    registered = await world.store.register(factories.a_node("n"))
    assert registered.restored == [made.id]
    assert registered.ready_class_ids == tuple(one.id for one in await world.store.classes())
    found = await world.store.get_job(made.id)
    assert (found.state, found.retry_count) == (JobState.QUEUED, 1)
    [attempt] = await world.store.attempts(made.id)
    assert attempt.state is AttemptState.LOST
    assert attempt.failure is not None
    assert attempt.failure.code is Code.NODE_LOST
    [task] = await world.store.tasks(made.id)
    assert (task.failures, task.crashes) == (0, 1)
    assert (await conflict(old.complete(first.attempt_id))).state == "lost"
    assert await world.state(done) is JobState.COMPLETED
    again = await world.agent("n", incarnation=registered.node.incarnation)
    assert (await again.take()).number == 2


async def test_the_same_incarnation_keeps_its_attempts(world: World) -> None:
    await world.submit()
    agent = await world.agent("n")
    grant = await agent.take()
    again = await world.store.register(factories.a_node("n", incarnation=agent.incarnation))
    assert again.restored == []
    await agent.complete(grant.attempt_id)


#: µs; so long that no slow machine makes an agent of these tests late
_BEAT, _TTL = 1000_000_000, 2000_000_000


async def _holder(world: World) -> Agent:
    """An agent of the origin "one" that has the name n."""
    return await world.agent(
        "n", origin="one", address="host-7", heard_from="10.0.0.7", heartbeat_interval_us=_BEAT, ttl_us=_TTL
    )


async def _refused(world: World, origin: str, **fields: object) -> str:
    """The message by which an agent of that origin is refused the name n."""
    before = await world.store.get_node("n")
    refusal = await conflict(world.store.register(factories.a_node("n", origin=origin, **fields)))
    assert refusal.code == "name_taken"
    after = await world.store.get_node("n")
    assert (after.incarnation, after.slots, after.last_heartbeat) == (
        before.incarnation,
        before.slots,
        before.last_heartbeat,
    )
    return refusal.message


async def test_a_name_belongs_to_one_live_agent(world: World) -> None:
    await world.submit()
    first = await _holder(world)
    grant = await first.take()
    told = await _refused(world, "two")
    assert told.startswith("The name n is taken: an agent on host-7 (10.0.0.7) has it, heard ")
    assert "--name" in told
    assert "silent for 3000 s" in told
    await _refused(world, "")  # one that does not say is another too
    await first.complete(grant.attempt_id)
    assert await first.lease() == []


async def test_a_registration_that_comes_late_takes_nothing_from_a_later_start(world: World) -> None:
    """A copy of what the agent sent before its restart, or what was on its way then. It took what the present process has."""
    made = await world.submit()
    await world.agent("n", origin="one", began_us=10, incarnation="first")
    second = await world.agent("n", origin="one", began_us=20, incarnation="second")
    grant = await second.take()
    for late in ({"began_us": 10, "incarnation": "first"}, {"began_us": 19, "incarnation": "between"}):
        refusal = await conflict(world.store.register(factories.a_node("n", origin="one", **late)))
        assert (refusal.code, refusal.state) == ("superseded", "20")
    assert (await world.store.get_node("n")).incarnation == "second"
    assert (await world.store.get_job(made.id)).state == "assigned"
    await second.complete(grant.attempt_id)
    again = await world.store.register(factories.a_node("n", origin="one", began_us=20, incarnation="third"))
    assert again.restored == []


async def test_a_restart_of_the_same_agent_gets_its_name_at_once(world: World) -> None:
    made = await world.submit()
    first = await world.agent("n", origin="one")
    await first.take()
    again = await world.store.register(factories.a_node("n", origin="one"))
    assert (again.node.id, again.restored) == (first.id, [made.id])


async def test_who_does_not_say_which_agent_it_is_holds_no_name(world: World) -> None:
    made = await world.submit()
    reference = await world.agent("n")
    await reference.take()
    taken = await world.store.register(factories.a_node("n", origin="two", heartbeat_interval_us=_BEAT))
    assert taken.restored == [made.id]
    await _refused(world, "three")


async def test_the_name_of_a_lost_agent_is_free_once_its_leases_have_ended(world: World, sql: Sql) -> None:
    made = await world.submit()
    first = await _holder(world)
    await first.take()
    await sql(f"UPDATE nodes SET last_heartbeat = last_heartbeat - {3 * _BEAT + 1}")
    assert (await world.store.get_node("n")).status is NodeStatus.OFFLINE
    await _refused(world, "two")  # what it runs may still run: it may be cut off, and comes to its fence then
    await sql(f"UPDATE leases SET expires_at = expires_at - {_TTL + 1}")
    taken = await world.store.register(factories.a_node("n", origin="two", heartbeat_interval_us=_BEAT))
    assert (taken.node.id, taken.restored, taken.node.status) == (first.id, [made.id], NodeStatus.AVAILABLE)
    await _refused(world, "one")


async def test_an_agent_that_is_silent_but_not_lost_keeps_its_name(world: World, sql: Sql) -> None:
    await _holder(world)
    await sql(f"UPDATE nodes SET last_heartbeat = last_heartbeat - {2 * _BEAT}")
    assert re.search(r"heard 2\d\d\d s ago", await _refused(world, "two"))


async def test_an_agent_that_stops_frees_its_name_with_its_last_attempt(world: World) -> None:
    await world.submit()
    first = await _holder(world)
    grant = await first.take()
    await first.beats(drain=True)
    await _refused(world, "two")
    await first.give_back(grant.attempt_id)
    taken = await world.store.register(factories.a_node("n", origin="two", heartbeat_interval_us=_BEAT))
    assert (taken.node.id, taken.restored, taken.node.draining) == (first.id, [], False)
    await _refused(world, "three")


async def test_a_node_that_people_drain_keeps_its_name(world: World) -> None:
    await _holder(world)
    await world.store.drain("n", on=True)
    await _refused(world, "two")


async def test_of_agents_that_come_at_one_moment_one_gets_the_name(world: World) -> None:
    answers = await asyncio.gather(
        *(
            world.store.register(factories.a_node("n", origin=f"o{index}", heartbeat_interval_us=_BEAT))
            for index in range(8)
        ),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, errors.Conflict)]
    assert ([one.code for one in refused], len(answers) - len(refused)) == (["name_taken"] * 7, 1)
    assert [event.kind for event in await world.store.events(after=0, limit=99)] == [EventKind.NODE_REGISTERED]


async def test_an_agent_that_dies_three_times_of_one_job_stops_it(world: World) -> None:
    made = await world.submit(max_retries=99)
    for _ in range(3):
        agent = await world.agent("n")
        await agent.take()
    await world.agent("n")
    found = await world.store.get_job(made.id)
    assert found.state is JobState.FAILED
    assert found.failure is not None
    assert found.failure.code is Code.POISON


async def test_status_says_how_a_node_is(world: World) -> None:
    async def status(name: str) -> NodeStatus:
        return (await world.store.get_node(name)).status

    await world.submit()
    agent = await world.agent("n", slots=1)
    assert await status("n") is NodeStatus.AVAILABLE
    await agent.take()
    assert await status("n") is NodeStatus.BUSY
    assert (await world.store.get_node("n")).active_attempts == 1
    assert (await world.store.drain("n", on=True)).status is NodeStatus.DRAINING
    assert (await world.store.drain(agent.id, on=False)).status is NodeStatus.BUSY
    await world.agent("silent", heartbeat_interval_us=-1_000_000)
    assert await status("silent") is NodeStatus.OFFLINE


async def test_that_an_agent_stops_is_not_for_people_to_take_back(world: World) -> None:
    agent = await world.agent("n")
    await agent.beats(drain=True)
    for on in (False, True, False):
        assert (await world.store.drain("n", on=on)).draining
    assert await agent.lease() == []
    await world.agent("n")
    assert not (await world.store.get_node("n")).draining


async def test_silence_is_noted_once(world: World) -> None:
    agent = await world.agent(heartbeat_interval_us=-1_000_000)
    await world.store.rescue(10)
    await world.store.rescue(10)

    async def noted() -> int:
        found = await world.store.events(after=0, limit=100, node_id=agent.id)
        return [event.kind for event in found].count(EventKind.NODE_LOST)

    assert await noted() == 1
    await world.store.drain(agent.id, on=True)  # what people do says nothing of the agent
    await world.store.rescue(10)
    assert await noted() == 1
    await agent.beats()
    await world.store.rescue(10)
    assert await noted() == 2


async def test_a_node_that_works_is_not_removed(world: World) -> None:
    made = await world.submit()
    agent = await world.agent("n")
    grant = await agent.take()
    assert (await conflict(world.store.remove_node("n"))).state == "busy"
    await agent.complete(grant.attempt_id)
    await agent.beats(drain=True)
    await world.store.remove_node("n")
    with pytest.raises(errors.NotFound):
        await world.store.get_node("n")
    with pytest.raises(errors.NotFound):
        await world.store.remove_node("n")
    with pytest.raises(errors.NotFound):
        await agent.beats()
    assert (await world.store.counts()).nodes == 0
    assert (await world.store.get_job(made.id)).node_name == "n"
    assert (await world.store.register(factories.a_node("n"))).created


async def test_a_node_whose_agent_is_alive_is_not_removed(world: World) -> None:
    """It would join again at once, and take work although it had been drained."""
    agent = await world.agent("n")
    refused = await conflict(world.store.remove_node("n"))
    assert refused.state == "available"
    assert "Stop the agent first" in refused.message
    await world.store.drain("n", on=True)
    assert (await conflict(world.store.remove_node("n"))).state == "draining"
    await agent.beats(drain=True)  # it stops: it says so itself
    await world.store.remove_node("n")
    await world.agent("silent", heartbeat_interval_us=-1_000_000)
    await world.store.remove_node("silent")
    assert await world.store.nodes() == []


async def test_no_such_node(store: Store) -> None:
    for call in (
        store.get_node("x"),
        store.node_credential("x"),
        store.drain("x", on=True),
        store.remove_node("x"),
        store.set_credential("x", "y"),
    ):
        with pytest.raises(errors.NotFound):
            await call


async def test_credentials(world: World) -> None:
    agent = await world.agent("n")
    assert await world.store.node_credential(agent.id) == ""
    await world.store.set_credential(agent.id, "abc")
    assert await world.store.node_credential(agent.id) == "abc"


async def test_the_history_of_a_node(world: World) -> None:
    await world.submit()
    agent = await world.agent()
    await agent.take()
    await world.store.drain(agent.id, on=True)
    await world.store.drain(agent.id, on=True)
    found = await world.store.events(after=0, limit=100, node_id=agent.id)
    assert [event.kind for event in found] == [
        EventKind.NODE_REGISTERED,
        EventKind.ATTEMPT_ASSIGNED,
        EventKind.JOB_STATE,
        EventKind.NODE_DRAIN,
    ]
