"""A transaction on a PostgreSQL connection."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import asyncpg

from ffrtmp.store import statements
from ffrtmp.store.statements import Dialect, Statement

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  #: not generic at run time


#: below so many rows one execution per row is no slower
_FEW = 3


class PostgresTx:
    """A statement over many rows is one execution over arrays wherever it can be so written (see `statements.over_arrays`)."""

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
        return _changed(await self._connection.execute(statement.text, *statement.values(values)))

    async def variant(self, name: str, more: tuple[tuple[str, str], ...], values: Mapping[str, Any]) -> Sequence[Any]:
        return await self._fetch(statements.variant(Dialect.POSTGRES, name, more), values)

    async def _fetch(self, statement: Statement, values: Mapping[str, Any]) -> Sequence[Any]:
        return await self._connection.fetch(statement.text, *statement.values(values))

    async def each(self, name: str, objects: Sequence[Any]) -> Sequence[Any]:
        if not objects:
            return []
        statement = self._statements[name]
        rows = list(map(statement.fields, objects))
        if len(rows) == 1:
            return await self._connection.fetch(statement.text, *rows[0])
        text = await self._over_arrays(statement) if len(rows) >= _FEW else None
        if text is not None:
            return await self._connection.fetch(text, *map(list, zip(*rows, strict=True)))
        found: Sequence[Any] = await self._connection.fetchmany(statement.text, rows)
        return found

    async def change(self, name: str, objects: Sequence[Any]) -> int:
        statement = self._statements[name]
        rows = list(map(statement.fields, objects))
        text = await self._over_arrays(statement) if len(rows) >= _FEW else None
        if text is not None:
            return _changed(await self._connection.execute(text, *map(list, zip(*rows, strict=True))))
        return sum([_changed(await self._connection.execute(statement.text, *row)) for row in rows])

    async def insert_jobs(self, jobs: Sequence[Any]) -> None:
        numbers = dict(map(tuple, await self.each("job_insert", jobs)))
        for one in jobs:
            one.seq = numbers[one.id]

    async def _over_arrays(self, statement: Statement) -> str | None:
        if statement.name not in _ARRAYS:
            prepared = await self._connection.prepare(statement.text)
            types = [kind.name for kind in prepared.get_parameters()]
            _ARRAYS[statement.name] = statements.over_arrays(statement.text, types)
        return _ARRAYS[statement.name]


#: statement → the same over arrays, made when first needed: the server knows the types of the parameters
_ARRAYS: dict[str, str | None] = {}


def _changed(status: str) -> int:
    return int(status.rsplit(" ", 1)[1])  # "DELETE 3", "INSERT 0 3"
