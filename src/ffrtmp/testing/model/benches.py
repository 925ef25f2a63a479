"""Both databases under a clock that stands still until it is moved, emptied between one run and the next."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import asyncpg

from ffrtmp.store.base import BaseStore
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.sqlite_process import Batch
from ffrtmp.store.sqlite_tx import SqliteTx, drive
from ffrtmp.store.tx import Tx
from ffrtmp.testing.clocks import Clock
from ffrtmp.testing.simulator.store import Database

P = ParamSpec("P")
T = TypeVar("T")


class MostWait(random.Random):
    """Jitter that is always the most there can be: a back-off that the model can foretell."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002
        return b


class Bench(ABC):
    store: BaseStore
    clock: Clock

    @abstractmethod
    def run(self, call: Awaitable[T]) -> T:
        """The answer of a call to the store."""

    @abstractmethod
    def rows(self, text: str) -> list[tuple[Any, ...]]:
        """What a statement beside the store finds."""

    @abstractmethod
    def fresh(self) -> None:
        """An empty database, and the clock at its start."""

    @abstractmethod
    def advance(self, *, seconds: float) -> None:
        """Lets time pass."""

    @abstractmethod
    def close(self) -> None: ...


class _InMemory(BaseStore):
    """The real transactions, one call each, in this process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def _write(self, call: Any) -> Any:
        [answer] = self._database.transactions.run(Batch(self._clock(), [call]))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _read(self, function: Callable[Concatenate[Tx, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await function(SqliteTx(self._database.connection, self._clock), *args, **kwargs)


class Sqlite(Bench):
    def __init__(self) -> None:
        self._database: Database | None = None

    def fresh(self) -> None:
        self.close()
        self.clock = Clock()
        self._database = Database(MostWait())
        self.store = _InMemory(self._database, self.clock)

    def run(self, call: Awaitable[T]) -> T:
        return drive(cast("Coroutine[Any, Any, T]", call))

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        assert self._database is not None
        return self._database.rows(text)

    def advance(self, *, seconds: float) -> None:
        self.clock.advance(seconds=seconds)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


#: Found before PostgreSQL's own: `pg_catalog` comes last on the path of this database.
_CLOCK = """
    CREATE SCHEMA simulated;
    CREATE TABLE simulated.clock (us bigint NOT NULL);
    INSERT INTO simulated.clock VALUES (0);
    CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS
        $$ SELECT timestamptz 'epoch' + us * interval '1 microsecond' FROM simulated.clock $$;
"""


class Postgres(Bench):
    """`address`: of an empty database, which gets a clock of its own. One store connects, migrates and stays."""

    def __init__(self, address: str) -> None:
        self.clock = Clock()
        self._runner = asyncio.Runner()
        self._admin: asyncpg.Connection[asyncpg.Record] = self.run(asyncpg.connect(address))
        self.run(self._admin.execute(_CLOCK))
        self.run(self._set_path())
        self._show_clock()
        self.store = self._connected = PostgresStore(address, rng=MostWait())
        self.run(self._connected.open())
        tables = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        # the store remembers the ids of classes, so they stay
        kept = ("classes", "schema_version")
        self._empty = ";".join(f"DELETE FROM {name}" for (name,) in tables if name not in kept)  # noqa: S608

    async def _set_path(self) -> None:
        name = await self._admin.fetchval("SELECT quote_ident(current_database())")
        await self._admin.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")

    def _show_clock(self) -> None:
        self.run(self._admin.execute("UPDATE simulated.clock SET us = $1", self.clock()))

    def fresh(self) -> None:
        self.clock = Clock()
        self._show_clock()
        self.run(self._admin.execute(self._empty))

    def run(self, call: Awaitable[T]) -> T:
        return self._runner.run(_awaited(call))

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.run(self._admin.fetch(text))]

    def advance(self, *, seconds: float) -> None:
        self.clock.advance(seconds=seconds)
        self._show_clock()

    def close(self) -> None:
        self.run(self._connected.close())
        self.run(self._admin.close())
        self._runner.close()


async def _awaited(call: Awaitable[T]) -> T:
    return await call
