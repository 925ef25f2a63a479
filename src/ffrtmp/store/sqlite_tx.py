"""A transaction on a SQLite connection."""

import sqlite3
from collections.abc import Callable, Coroutine, Mapping, Sequence
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
        statement = self._statements[name]
        execute, text, fields = self._connection.execute, statement.text, statement.fields
        found: list[Any] = []
        for one in objects:
            found += execute(text, fields(one))
        return found

    async def change(self, name: str, objects: Sequence[Any]) -> int:
        if not objects:
            return 0
        statement = self._statements[name]
        return self._connection.executemany(statement.text, map(statement.fields, objects)).rowcount


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that never suspends, without a loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise AssertionError("a store function waited for something other than its transaction")
