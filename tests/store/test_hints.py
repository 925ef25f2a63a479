"""Hints between the masters on one PostgreSQL: what is told, how seldom, and what happens when it does not arrive."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest
import structlog

from ffrtmp.domain import spec
from ffrtmp.store import postgres_hints
from ffrtmp.store.interface import Follow, Hint
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.postgres_tx import Connection
from ffrtmp.testing import factories
from ffrtmp.testing.world import NoWait, World

pytestmark = pytest.mark.postgres

LISTENERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ffrtmp-hints'"


async def up(*stores: PostgresStore) -> None:
    """A store says `everything` to its own master when hints begin to arrive."""
    for store in stores:
        while not ((await store.hints.next()).everything and store.hints.up):
            continue


async def heard(store: PostgresStore, **wanted: Any) -> Hint:
    """All that came until these parts had come."""
    hint = Hint()
    while any(not getattr(hint, name) >= value for name, value in wanted.items()):
        hint |= await store.hints.next()
    return hint


@pytest.fixture
async def masters(database: str) -> AsyncIterator[list[PostgresStore]]:
    stores = [PostgresStore(database, rng=NoWait(seed)) for seed in range(2)]
    for store in stores:
        await store.open()
    await up(*stores)
    yield stores
    for store in stores:
        await store.close()


class Wire:
    """The channel, beside the masters: every notification that holds a hint."""

    def __init__(self, connection: Connection, channel: str) -> None:
        self._connection = connection
        self._channel = channel
        self._hints: list[dict[str, Any]] = []
        self._fence = asyncio.Event()

    @classmethod
    async def tap(cls, connection: Connection) -> "Wire":
        wire = cls(connection, await connection.fetchval(postgres_hints._CHANNEL))
        await connection.add_listener(wire._channel, wire._note)
        return wire

    def _note(self, _: object, __: int, ___: str, payload: object) -> None:
        message = msgspec.json.decode(str(payload))
        if "hint" in message:
            self._hints.append(message["hint"])
        elif message["master"] == "fence":
            self._fence.set()

    async def hints(self) -> list[dict[str, Any]]:
        """All that were sent before this call: notifications come in the order of their commits."""
        self._fence.clear()
        await self._connection.execute("SELECT pg_notify($1, $2)", self._channel, '{"master":"fence"}')
        await self._fence.wait()
        return self._hints


@pytest.fixture
async def wire(database: str) -> AsyncIterator[Wire]:
    connection = await asyncpg.connect(database)
    yield await Wire.tap(connection)
    await connection.close()


async def test_what_becomes_ready_is_told(masters: list[PostgresStore]) -> None:
    one, other = masters
    await World(one).submit()
    (known,) = await other.classes()
    hint = await heard(other, ready={known.id}, events=True)
    assert (hint.commands, hint.nodes) == (frozenset(), frozenset())


async def test_a_master_does_not_hear_itself(masters: list[PostgresStore]) -> None:
    one, other = masters
    await World(one).submit()
    await heard(other, events=True)
    agent = await World(other).agent()
    assert not (await heard(one, nodes={agent.id})).ready


async def test_commands_are_told(masters: list[PostgresStore]) -> None:
    one, other = (World(store) for store in masters)
    agent = await one.agent()
    made = await one.submit()
    (grant,) = await agent.lease()
    await agent.start(grant)
    for change in (other.store.pause, other.store.resume, other.store.cancel):
        await change(made.id)
        await heard(masters[0], commands={agent.id})


async def test_changes_of_nodes_are_told(masters: list[PostgresStore]) -> None:
    one, other = masters
    agent = await World(one).agent()
    await heard(other, nodes={agent.id})
    await one.drain(agent.id, on=True)
    await heard(other, nodes={agent.id})
    await one.set_credential(agent.id, "a" * 64)
    await heard(other, nodes={agent.id})
    await agent.beats(drain=True)
    await heard(other, nodes={agent.id})
    await one.remove_node(agent.id)
    await heard(other, nodes={agent.id})


async def test_what_a_lease_held_and_left_is_told(masters: list[PostgresStore]) -> None:
    """An agent that looked in the meantime, here or at another master, was told that there is nothing."""
    one, other = masters
    for encoder in ("libx264", "libx265"):
        await World(one).submit(factories.a_spec(requires=spec.Requires(encoder=encoder)))
    classes = {known.id for known in await one.classes()}
    await heard(other, ready=classes)
    agent = await World(one).agent()
    await heard(other, nodes={agent.id})
    assert len(await agent.lease(1, class_ids=tuple(classes))) == 1
    hint = await heard(other, events=True)
    assert len(hint.ready) == 1
    assert hint.ready < classes
    await heard(one, ready=hint.ready)


async def test_a_task_whose_job_is_held_is_looked_for_again(masters: list[PostgresStore], database: str) -> None:
    """Who holds the job may change nothing, and then tells nobody when it lets go."""
    one, _ = masters
    made = await World(one).submit()
    agent = await World(one).agent()
    classes = tuple(known.id for known in await one.classes())
    holder = await asyncpg.connect(database)
    async with holder.transaction():
        await holder.execute("SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE", made.id)
        assert await agent.lease(class_ids=classes) == []
        await heard(one, ready=set(classes))
        assert await agent.lease(class_ids=classes) == []
    await holder.close()
    await heard(one, ready=set(classes))
    assert len(await agent.lease(class_ids=classes)) == 1


async def test_a_follow_is_told_whole(masters: list[PostgresStore]) -> None:
    """Also one that no notification can hold."""
    attempts = tuple((factories.new_id(), factories.new_id()) for _ in range(300))
    masters[0].hints.tell(Hint(follows=(Follow("a", attempts, 10.0), Follow("b", (), 5.0))))
    found: list[Follow] = []
    while len([pair for one in found for pair in one.attempts]) < 300 or found[-1].job_id != "b":
        found += (await masters[1].hints.next()).follows
    assert tuple(pair for one in found for pair in one.attempts) == attempts
    assert {(one.job_id, one.seconds) for one in found} == {("a", 10.0), ("b", 5.0)}


async def test_more_than_a_notification_holds(masters: list[PostgresStore]) -> None:
    masters[0].hints.tell(Hint(commands=frozenset(factories.new_id() for _ in range(1000))))
    assert (await masters[1].hints.next()).everything


async def test_a_master_of_another_version(masters: list[PostgresStore], database: str) -> None:
    connection = await asyncpg.connect(database)
    channel = await connection.fetchval(postgres_hints._CHANNEL)
    for payload in ('{"master":"x","hint":{"ready":[7],"later":1}}', '{"master":"x","hint":{"ready":"all"}}', "?"):
        await connection.execute("SELECT pg_notify($1, $2)", channel, payload)
        hint = await masters[0].hints.next()
        assert hint == (Hint(ready=frozenset({7})) if "later" in payload else Hint(everything=True))
    await connection.close()


async def test_a_burst_is_few_notifications(masters: list[PostgresStore], wire: Wire) -> None:
    one, other = masters
    world = World(one)
    await asyncio.gather(*(world.submit() for _ in range(1000)))
    agent = await world.agent()  # what comes after it has come
    await heard(other, nodes={agent.id})
    assert 0 < len(await wire.hints()) < 50


async def test_what_is_committed_meanwhile_goes_together(
    masters: list[PostgresStore], wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at once, the rest with the next, which here comes only when the master stops."""
    monkeypatch.setattr(postgres_hints, "_GATHER_SECONDS", 1e6)
    one, other = masters
    agent = await World(one).agent()
    await heard(other, nodes={agent.id})
    for _ in range(20):
        await World(one).submit()
    assert len(await wire.hints()) == 1
    await one.close()
    (known,) = await other.classes()
    await heard(other, ready={known.id})
    assert len(await wire.hints()) == 2


async def test_one_master_alone_tells_nobody(
    masters: list[PostgresStore], wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = masters
    with monkeypatch.context() as silence:
        silence.setattr(postgres_hints, "_ALONE_SECONDS", 0.0)
        one.hints._alone_from = 0.0
        await World(one).submit()
    agent = await World(other).agent()
    await heard(one, nodes={agent.id})  # there is another
    agent = await World(one).agent()
    assert not (await heard(other, nodes={agent.id})).ready
    assert not any(hint.get("ready") for hint in await wire.hints())


async def test_a_lost_connection_is_replaced(masters: list[PostgresStore], database: str) -> None:
    admin = await asyncpg.connect(database)
    one, other = masters
    for _ in range(3):
        assert await admin.fetch(LISTENERS)
        await up(*masters)
        made = await World(one).submit()
        (known,) = await other.classes()
        await heard(other, ready={known.id})
        await one.cancel(made.id)
        await heard(other, events=True)
    await admin.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_hints, "_PROBE_SECONDS", 0.05)
    monkeypatch.setattr(postgres_hints, "ANSWER_SECONDS", 0.5)


async def test_a_deaf_connection_is_noticed(masters: list[PostgresStore], impatient: None) -> None:
    """It is there and answers, but nothing comes: the probe finds out."""
    one, other = masters
    deaf = other.hints._connection
    assert deaf is not None
    with structlog.testing.capture_logs() as logged:
        await deaf.execute("UNLISTEN *")
        other.hints._stirred.set()  # the wait for the next probe had begun before this test made it short
        await up(other)
    assert [(line["log_level"], line["event"]) for line in logged] == [
        ("warning", "hints between masters do not work; what another master makes ready is found by polling"),
        ("info", "hints between masters work again"),
    ]
    await World(one).submit()
    await heard(other, events=True)


async def test_a_connection_that_is_half_dead_is_replaced(masters: list[PostgresStore], impatient: None) -> None:
    """Nobody ended it, and nobody answers on it."""
    one, other = masters
    frozen = other.hints._connection
    assert frozen is not None
    backend = frozen.get_server_pid()
    os.kill(backend, signal.SIGSTOP)
    try:
        other.hints._stirred.set()
        await up(other)
        assert other.hints._connection is not frozen
        await World(one).submit()
        await heard(other, events=True)
    finally:
        os.kill(backend, signal.SIGCONT)


async def test_where_nothing_ever_comes(database: str, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a pooler that hands each statement to another session: said once, tried again and again."""
    tried = 0
    often = asyncio.Event()

    async def listens_in_vain(*_: object) -> None:
        nonlocal tried
        tried += 1
        if tried == 3:
            often.set()

    monkeypatch.setattr(asyncpg.Connection, "add_listener", listens_in_vain)
    store = PostgresStore(database, rng=NoWait(1))
    with structlog.testing.capture_logs() as logged:
        await store.open()
        await often.wait()
        assert store.hints.up is False
        await World(store).submit()
        await store.close()
    assert [line["log_level"] for line in logged] == ["warning"]
