"""A PostgreSQL store that stops before any statement that a test names, and can lose its connection there."""

import asyncio
from typing import Any, cast

import asyncpg

from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.postgres_tx import Connection


class Gate:
    """Stops before statement `at` (0 is the BEGIN) until it is opened. `lose_commit`: the answer to COMMIT never arrives."""

    def __init__(self, at: int | None = None, *, lose_commit: bool = False) -> None:
        self.statements: list[str] = []
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.lose_commit = lose_commit
        self._at = at

    async def before(self, statement: str) -> None:
        number = len(self.statements)
        self.statements.append(statement)
        if number == self._at:
            self.reached.set()
            await self.opened.wait()


class StoppableStore(PostgresStore):
    """One connection for writing, whose statements go through `gate`."""

    def __init__(self, dsn: str, **options: Any) -> None:
        super().__init__(dsn, write_connections=1, **options)
        self.gate = Gate()
        self.pid = 0  #: of the connection's server process

    async def _connect(self) -> Connection:
        connection = await super()._connect()
        self.pid = connection.get_server_pid()
        return cast("Connection", _Gated(connection, self))


class _Gated:
    """What the store asks of a connection, through the gate; the rest is the connection's own."""

    def __init__(self, connection: Connection, store: StoppableStore) -> None:
        self._connection = connection
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, statement: str, *values: Any) -> str:
        gate = self._store.gate
        await gate.before(statement)
        answer = await self._connection.execute(statement, *values)
        if statement == "COMMIT" and gate.lose_commit:
            gate.lose_commit = False
            self._connection.terminate()
            raise asyncpg.ConnectionDoesNotExistError("the connection was lost after COMMIT was sent")
        return answer

    async def fetch(self, statement: str, *values: Any) -> Any:
        await self._store.gate.before(statement)
        return await self._connection.fetch(statement, *values)

    async def fetchrow(self, statement: str, *values: Any) -> Any:
        await self._store.gate.before(statement)
        return await self._connection.fetchrow(statement, *values)

    async def fetchmany(self, statement: str, values: Any) -> Any:
        await self._store.gate.before(statement)
        return await self._connection.fetchmany(statement, values)
