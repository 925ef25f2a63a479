"""The real transactions on a SQLite database in memory, with commits that take simulated time and can be cut off by a kill."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from ffrtmp.store import commit, sqlite_file
from ffrtmp.store.base import BaseStore
from ffrtmp.store.sqlite_process import Batch, Transactions
from ffrtmp.store.sqlite_tx import SqliteTx, drive
from ffrtmp.store.tx import Tx

P = ParamSpec("P")
T = TypeVar("T")
#: of the database's clock when a run begins, µs since 1970
EPOCH_US = 1_750_000_000_000_000


class Database:
    """What outlives every process. Several masters may have it open, as they may have a PostgreSQL."""

    def __init__(self, rng: random.Random) -> None:
        self.connection = sqlite_file.for_writing(Path(":memory:"))
        sqlite_file.upgrade(self.connection, "memory", EPOCH_US)
        self.transactions = Transactions(self.connection, rng)

    def now_us(self) -> int:
        return EPOCH_US + int(asyncio.get_running_loop().time() * 1e6)

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(text).fetchall()

    def close(self) -> None:
        self.connection.close()


class Store(BaseStore):
    """One master's way to the database. `seconds` gives how long a commit takes, `stands_for` how long the master still stands
    still."""

    def __init__(self, database: Database, seconds: Callable[[], float], stands_for: Callable[[], float]) -> None:
        self._database = database
        self._seconds = seconds
        self._stands_for = stands_for
        self._waiting: deque[commit.Pending] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None  #: of the commit under way

    def describe(self) -> str:
        return "simulated"

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    def kill(self) -> None:
        """What is not committed now never will be."""
        if self._timer is not None:
            self._timer.cancel()

    async def _write(self, call: Any) -> Any:
        return await self._queue(call)

    def _queue(self, call: Any) -> asyncio.Future[Any]:
        pending = commit.Pending(call, self._loop.create_future())
        self._waiting.append(pending)
        if self._timer is None:
            self._begin()
        return pending.future

    def _begin(self) -> None:
        # in it a kill loses the batch; after it, only the answers
        self._timer = self._loop.call_later(self._seconds(), self._commit)

    def _commit(self) -> None:
        if seconds := self._stands_for():
            self._timer = self._loop.call_later(seconds, self._commit)
            return
        # bulk work goes alone, as in the product
        first = self._waiting[0]
        batch = [self._waiting.popleft()] if commit.is_bulk(first) else self._ordinary()
        batch = commit.wanted(batch)
        answers = self._database.transactions.run(Batch(self._database.now_us(), [pending.call for pending in batch]))
        self._timer = self._loop.call_later(self._seconds() / 4, self._answer, batch, answers)

    def _answer(self, batch: list[commit.Pending], answers: list[Any]) -> None:
        if seconds := self._stands_for():
            self._timer = self._loop.call_later(seconds, self._answer, batch, answers)
            return
        self._timer = None
        if self._waiting:
            self._begin()
        commit.deliver(batch, answers)

    def _ordinary(self) -> list[commit.Pending]:
        taken: list[commit.Pending] = []
        while self._waiting and not commit.is_bulk(self._waiting[0]):
            taken.append(self._waiting.popleft())
        return taken

    async def _read(self, function: Callable[Concatenate[Tx, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(0)
        await standing(self._stands_for)
        tx = SqliteTx(self._database.connection, self._database.now_us)
        return drive(cast(Coroutine[Any, Any, T], function(tx, *args, **kwargs)))


async def standing(stands_for: Callable[[], float]) -> None:
    """Returns when the process goes on; at once when it does not stand still."""
    if seconds := stands_for():
        await asyncio.sleep(seconds)
        await standing(stands_for)  # it may have been frozen once more
