"""The dispatcher over a store of a few lines: who is woken, who takes what, what is passed on."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from ffrtmp.domain import errors, node, spec
from ffrtmp.master import dispatch
from ffrtmp.master.dispatch import ClassBook, Dispatcher
from ffrtmp.master.waiters import Wants
from ffrtmp.store import base, interface
from ffrtmp.testing import factories

_H264 = spec.Requires(codec=spec.Codec.H264)
_VP9 = spec.Requires(codec=spec.Codec.VP9)


class _Store:
    """Two nodes that take h264, one of which takes vp9 too."""

    def __init__(self) -> None:
        self.known = {name: _node(name) for name in ("a", "b")}
        self.requires = [interface.Class(1, _H264)]
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def classes(self) -> list[interface.Class]:
        return self.requires

    async def get_node(self, ref: str) -> node.Node:
        self.asked.set()
        await self.go_on.wait()
        if ref not in self.known:
            raise errors.NotFound(f"There is no node {ref}.")
        return self.known[ref]


def _node(name: str) -> node.Node:
    codecs = (spec.Codec.H264, spec.Codec.VP9) if name == "b" else (spec.Codec.H264,)
    return node.Node(
        id=name,
        name=f"name of {name}",
        address="",
        type=node.NodeType.SERVER,
        status=node.NodeStatus.AVAILABLE,
        cpu_threads=4,
        cpu_model="",
        has_gpu=False,
        gpu_type="",
        ram_total_bytes=1,
        labels={},
        capabilities=node.Capabilities(
            engines={"ffmpeg": "9"},
            encoders=[
                node.Encoder(name=codec.value, codec=codec, engine=spec.Engine.FFMPEG, works=True) for codec in codecs
            ],
        ),
        slots=1,
        active_attempts=0,
        draining=False,
        incarnation=factories.new_id(),
        version="",
        registered_at=0,
        last_heartbeat=0,
    )


class _Poll:
    """A long-poll, and how often it looked for work."""

    def __init__(self, dispatcher: Dispatcher, node_id: str, found: Callable[[], Awaitable[bool]]) -> None:
        self.looks = 0
        self.looked = asyncio.Event()
        self._found = found
        wants = Wants(node_id=node_id, free_slots=1, deadline=1e6)  # the clock stands still
        self.task = asyncio.create_task(dispatcher.wait(wants, self._look))

    async def _look(self, _: tuple[int, ...]) -> bool:
        self.looks += 1
        self.looked.set()
        return await self._found()

    async def again(self) -> None:
        """Waits until it has looked once more."""
        await self.looked.wait()
        self.looked.clear()


async def _nothing() -> bool:
    return False


async def _something() -> bool:
    return True


@pytest.fixture
def store() -> _Store:
    return _Store()


@pytest.fixture
async def dispatcher(store: _Store) -> Dispatcher:
    """Without the poll behind the wakes: who looks again was woken."""
    typed = cast(Any, store)
    book = ClassBook(typed)
    await book.reload()
    return Dispatcher(book, backstop=lambda: 1e6, clock=lambda: 0.0)


async def test_a_ready_task_wakes_one(dispatcher: Dispatcher) -> None:
    one, other = _Poll(dispatcher, "a", _nothing), _Poll(dispatcher, "b", _nothing)
    await one.again()
    await other.again()
    dispatcher.ready([1])
    await one.again()
    dispatcher.stop()
    await asyncio.gather(one.task, other.task)
    assert (one.looks, other.looks) == (2, 1)


async def test_one_that_took_work_wakes_the_next(dispatcher: Dispatcher) -> None:
    """Several tasks of a class are announced once: each that finds one lets the next look."""
    found = [False, True]

    async def first() -> bool:
        return found.pop(0)

    one, other = _Poll(dispatcher, "a", first), _Poll(dispatcher, "b", _nothing)
    await one.again()
    await other.again()
    dispatcher.ready([1])
    await one.task
    await other.again()
    dispatcher.stop()
    await other.task


async def test_one_that_went_away_wakes_the_next(dispatcher: Dispatcher) -> None:
    one, other = _Poll(dispatcher, "a", _nothing), _Poll(dispatcher, "b", _nothing)
    await one.again()
    await other.again()
    dispatcher.ready([1])
    one.task.cancel()
    await other.again()
    dispatcher.stop()
    await other.task


async def test_a_wake_that_comes_during_a_last_look_is_passed_on(dispatcher: Dispatcher, store: _Store) -> None:
    looking, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> bool:
        looking.set()
        await go_on.wait()
        return False

    store.requires = [*store.requires, interface.Class(2, _VP9)]
    await dispatcher._classes.reload()  # b can do more than a: a is woken first
    other = _Poll(dispatcher, "b", _nothing)
    await other.again()
    last = asyncio.create_task(
        dispatcher.wait(Wants(node_id="a", free_slots=1, deadline=0.0), lambda _: slowly())  # its time is over already
    )
    await looking.wait()
    dispatcher.ready([1])
    go_on.set()
    await last
    await other.again()
    dispatcher.stop()
    await other.task


async def test_a_poll_that_a_newer_one_replaced_takes_nothing(dispatcher: Dispatcher) -> None:
    """Its client has most likely gone away: what it took would be lost until the lease ends."""
    old = _Poll(dispatcher, "a", _nothing)
    await old.again()
    new = _Poll(dispatcher, "a", _something)
    await old.task
    await new.task
    assert (old.looks, new.looks) == (1, 1)


async def test_a_stopping_master_gives_nothing(dispatcher: Dispatcher) -> None:
    waiting = _Poll(dispatcher, "a", _nothing)
    await waiting.again()
    dispatcher.stop()
    await waiting.task
    late = _Poll(dispatcher, "b", _something)
    await late.task
    assert (waiting.looks, late.looks) == (1, 0)


async def test_new_classes_reach_those_who_wait(dispatcher: Dispatcher, store: _Store) -> None:
    one, other = _Poll(dispatcher, "a", _nothing), _Poll(dispatcher, "b", _nothing)
    await one.again()
    await other.again()
    store.requires = [*store.requires, interface.Class(2, _VP9)]
    assert await dispatcher._classes.reload()
    await dispatcher.classes_changed()
    dispatcher.ready([2])
    await other.again()
    dispatcher.stop()
    await asyncio.gather(one.task, other.task)
    assert one.looks == 1


async def test_polls_come_and_go_while_classes_change(dispatcher: Dispatcher, store: _Store) -> None:
    """A submission must not fail because of who is waiting at that moment."""
    removed, other = _Poll(dispatcher, "a", _nothing), _Poll(dispatcher, "b", _nothing)
    await removed.again()
    await other.again()
    dispatcher._classes.drop_node("a")
    del store.known["a"]
    store.asked.clear()
    store.go_on.clear()
    changing = asyncio.create_task(dispatcher.classes_changed())
    await store.asked.wait()
    other.task.cancel()  # one of those it goes through is gone before its turn
    await asyncio.wait({other.task})
    store.go_on.set()
    await changing
    await removed.task


async def test_a_node_that_another_master_changed_is_read_anew(dispatcher: Dispatcher, store: _Store) -> None:
    book = dispatcher._classes
    assert await book.fits("a") == (1,)
    assert not book.refresh(store.known.values())
    changed = {"a": _node("b"), "b": store.known["b"]}
    changed["a"] = type(changed["a"])(
        **{name: getattr(changed["a"], name) for name in changed["a"].__struct_fields__ if name != "id"}, id="a"
    )
    store.requires = [*store.requires, interface.Class(2, _VP9)]
    await book.reload()
    assert await book.fits("a") == (1,)
    assert book.refresh(changed.values())
    assert await book.fits("a") == (1, 2)
    del store.known["a"]
    assert book.refresh([])
    with pytest.raises(errors.NotFound):
        await book.fits("a")


async def test_a_name_is_not_an_id(dispatcher: Dispatcher, store: _Store) -> None:
    store.known["name of a"] = store.known["a"]
    with pytest.raises(errors.NotFound, match="with the id"):
        await dispatcher._classes.node("name of a")


async def test_without_a_wake_there_is_a_look_now_and_then(store: _Store) -> None:
    """Also when the wake for it was lost."""
    book = ClassBook(cast(Any, store))
    await book.reload()
    eager = Dispatcher(book, backstop=lambda: 0.0, clock=lambda: 0.0)
    found = [False, False, True]

    async def look() -> bool:
        return found.pop(0)

    await _Poll(eager, "a", look).task
    assert found == []


@pytest.mark.parametrize(("up", "seconds"), [(True, 15.0), (None, 15.0), (False, 1.0)])
def test_the_look_comes_sooner_where_hints_are_missed(up: bool | None, seconds: float) -> None:
    """None: a database of one master, who misses nothing."""
    hints = base.NoHints()
    hints.up = up
    for seed in range(20):
        assert 0.8 * seconds <= dispatch.backstop_seconds(hints, random.Random(seed)) <= 1.2 * seconds


async def test_a_poll_whose_time_is_up_does_not_look_once_more(store: _Store) -> None:
    """Its agent asks again at once, and that looks: the farm of idle agents costs half as many looks."""
    book = ClassBook(cast(Any, store))
    await book.reload()
    dispatcher = Dispatcher(book, backstop=lambda: 1e6, clock=asyncio.get_running_loop().time)
    looks = 0

    async def look(_: tuple[int, ...]) -> bool:
        nonlocal looks
        looks += 1
        return False

    deadline = asyncio.get_running_loop().time() + 0.02
    await dispatcher.wait(Wants(node_id="a", free_slots=1, deadline=deadline), look)
    assert looks == 1
