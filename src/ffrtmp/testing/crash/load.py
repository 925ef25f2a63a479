"""Many callers of a store at once, all of whose calls and answers are noted."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from ffrtmp.domain import errors, job, spec
from ffrtmp.store.base import BaseStore
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.store.tx import Tx
from ffrtmp.testing import factories
from ffrtmp.testing.crash.ledger import Answered, Asked, Seen
from ffrtmp.testing.story import Player
from ffrtmp.testing.world import Agent, World

P = ParamSpec("P")
T = TypeVar("T")
Real = SqliteStore | PostgresStore
Note = Callable[[Asked | Answered | Seen], None]

#: enough for batches of several calls, and for some to wait while one is written
_CALLERS = 16
#: how often each thing is done, for one another
_DEEDS = {
    "submit": 8,
    "lease": 6,
    "start": 6,
    "publish": 2,
    "complete": 6,
    "fail": 2,
    "give_back": 1,
    "cancel": 2,
    "pause": 1,
    "resume": 1,
    "reject": 1,
    "rescue": 1,
    "promote": 2,
    "tail": 3,
}
_REGISTERED_AGAIN = 0.01
_LATEST = 30  #: what callers choose from: of older attempts and jobs most are over


class Noted(BaseStore):
    """A store whose writes are noted before they are asked for and when they are answered."""

    def __init__(self, store: Real, note: Note, numbers: Iterator[int]) -> None:
        self._store = store
        self._note = note
        self._numbers = numbers

    async def _write(self, call: Any) -> Any:
        number = next(self._numbers)
        self._note(Asked(number, call))
        try:
            answer = await self._store._write(call)
        except errors.Unavailable:
            raise
        except errors.FfrtmpError as refused:
            self._note(Answered(number, refused))
            raise
        self._note(Answered(number, answer))
        return answer

    async def _read(self, function: Callable[Concatenate[Tx, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._store._read(function, *args, **kwargs)

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    def describe(self) -> str:
        return self._store.describe()


class _Keyed(World):
    """Submits with a key, so that what was not answered can be asked for again."""

    async def submit(self, of: spec.Work | None = None, **fields: object) -> job.Job:
        return await super().submit(of, idempotency_key=factories.new_id(), body_sha256="b", **fields)


class _Caller(Player):
    def __init__(self, store: Noted, rng: random.Random, note: Note, first: "_Caller | None") -> None:
        super().__init__(_Keyed(store), rng)
        self._note = note
        self._tailed = 0
        if first is not None:  # the same jobs, agents and attempts as another caller, perhaps through another store
            self.jobs, self.agents, self.held = first.jobs, first.agents, first.held

    def _held(self) -> tuple[Agent, str]:
        if not self.held:
            raise errors.NotFound
        agent, attempt_id = self.rng.choice(self.held[-_LATEST:])
        return self._mine(agent), attempt_id

    def _job(self) -> str:
        if not self.jobs:
            raise errors.NotFound
        return self.rng.choice(self.jobs[-_LATEST:])

    async def lease(self) -> None:
        if self.agents:
            agent = self._mine(self.rng.choice(self.agents))
            self.held += [(agent, grant.attempt_id) for grant in await agent.lease(self.rng.randint(1, 3))]

    def _mine(self, agent: Agent) -> Agent:
        return Agent(self.world.store, agent.new, agent.id)

    async def register(self) -> None:
        await super().register()
        del self.agents[:-3]

    async def tail(self) -> None:
        events = await self.world.store.events(after=self._tailed, limit=50)
        if events:
            self._tailed = events[-1].seq
            self._note(Seen([(event.seq, event.kind.value) for event in events]))

    async def go_on(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            again = not self.agents or self.rng.random() < _REGISTERED_AGAIN
            [what] = ["register"] if again else self.rng.choices(list(_DEEDS), list(_DEEDS.values()))
            with contextlib.suppress(errors.Unavailable):
                await self.do(what)
            await asyncio.sleep(0)


async def run(stores: Sequence[Real], note: Note, rng: random.Random, enough: asyncio.Event) -> None:
    """Works on these stores of one database until it is enough. What is Unavailable then is tried no more."""
    numbers = itertools.count()
    noted = [Noted(store, note, numbers) for store in stores]
    first = _Caller(noted[0], rng, note, None)
    others = [_Caller(noted[number % len(noted)], rng, note, first) for number in range(1, _CALLERS)]
    await asyncio.gather(*(caller.go_on(enough) for caller in (first, *others)))
