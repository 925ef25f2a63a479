"""A transaction on a SQLite connection."""

import itertools
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ffrtmp.store import statements
from ffrtmp.store.statements import Dialect, Statement

T = TypeVar("T")
_json = msgspec.json.Encoder().encode


class SqliteTx:
    """Nothing here suspends: see `drive`."""

    dialect = Dialect.SQLITE

    def __init__(self, connection: sqlite3.Connection, clock_us: Callable[[], int]) -> None:
        self._connection = connection
        self._clock_us = clock_us
        self._statements = statements.load(Dialect.SQLITE)
        self._last_number: int | None = None  #: of jobs: this is the only writer, so it counts for itself

    async def now(self) -> int:
        return self._clock_us()

    async def all(self, name: str, **values: Any) -> Sequence[Any]:
        return self._run(self._statements[name], values).fetchall()

    async def one(self, name: str, **values: Any) -> Any:
        return self._run(self._statements[name], values).fetchone()

    async def run(self, name: str, **values: Any) -> int:
        return self._run(self._statements[name], values).rowcount

    async def variant(self, name: str, more: tuple[tuple[str, str], ...], values: Mapping[str, Any]) -> Sequence[Any]:
        return self._run(statements.variant(Dialect.SQLITE, name, more), values).fetchall()

    def _run(self, statement: Statement, values: Mapping[str, Any]) -> sqlite3.Cursor:
        if statement.lists:
            values = {
                name: _json(value).decode() if name in statement.lists else value for name, value in values.items()
            }
        return self._connection.execute(statement.text, statement.values(values))

    async def each(self, name: str, objects: Sequence[Any]) -> Sequence[Any]:
        found: list[Any] = []
        for cursor in self._steps(name, objects):
            found += cursor
        return found

    async def change(self, name: str, objects: Sequence[Any]) -> int:
        return sum(cursor.rowcount for cursor in self._steps(name, objects))

    async def insert_jobs(self, jobs: Sequence[Any]) -> None:
        if self._last_number is None:
            (self._last_number,) = await self.one("job_last_number")
        for one in jobs:
            self._last_number += 1
            one.seq = self._last_number
        await self.change("job_insert", jobs)

    def _steps(self, name: str, objects: Sequence[Any]) -> Iterator[sqlite3.Cursor]:
        """The statement over all objects: inserts many rows at a time, everything else row by row."""
        statement = self._statements[name]
        execute, fields = self._connection.execute, statement.fields
        start = 0
        for count in _STEPS:
            if len(objects) - start < count:
                continue
            text = statements.for_rows(statement.text, len(statement.params), count) if count > 1 else statement.text
            if text is None:
                continue
            while len(objects) - start >= count:
                rows = map(fields, objects[start : start + count])
                yield execute(text, tuple(itertools.chain.from_iterable(rows)))
                start += count


#: rows of one step, largest first: few distinct texts, so that all of them stay prepared
_STEPS = (64, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that never suspends, without a loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise AssertionError("a store function waited for something other than its transaction")
