"""A transaction on a PostgreSQL connection."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import asyncpg

from ffrtmp.store import statements
from ffrtmp.store.statements import Dialect, Statement

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  #: not generic at run time


class PostgresTx:
    """A statement over many rows goes out in one piece: asyncpg sends all its executions before it reads the answers."""

    dialect = Dialect.POSTGRES

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._statements = statements.load(Dialect.POSTGRES)

    async def now(self) -> int:
        row = await self.one("now")
        return int(row[0])

    async def all(self, name: str, **values: Any) -> Sequence[Any]:
        return await self._fetch(self._statements[name], values)

    async def one(self, name: str, **values: Any) -> Any:
        statement = self._statements[name]
        return await self._connection.fetchrow(statement.text, *statement.values(values))

    async def run(self, name: str, **values: Any) -> int:
        statement = self._statements[name]
        status = await self._connection.execute(statement.text, *statement.values(values))
        return int(status.rsplit(" ", 1)[1])  # "DELETE 3"

    async def variant(self, name: str, more: tuple[tuple[str, str], ...], values: Mapping[str, Any]) -> Sequence[Any]:
        return await self._fetch(statements.variant(Dialect.POSTGRES, name, more), values)

    async def _fetch(self, statement: Statement, values: Mapping[str, Any]) -> Sequence[Any]:
        return await self._connection.fetch(statement.text, *statement.values(values))

    async def each(self, name: str, objects: Sequence[Any]) -> Sequence[Any]:
        if not objects:
            return []
        statement = self._statements[name]
        found: Sequence[Any] = await self._connection.fetchmany(statement.text, list(map(statement.fields, objects)))
        return found

    async def change(self, name: str, objects: Sequence[Any]) -> int:
        if not objects:
            return 0
        statement = self._statements[name]
        # a row for each row changed: the count that asyncpg does not give for many executions
        text = f"{statement.text} RETURNING 1"
        return len(await self._connection.fetchmany(text, list(map(statement.fields, objects))))
