"""The store on PostgreSQL: any number of masters on one database."""

import asyncio
import random
import re
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import asyncpg

from ffrtmp.domain import errors
from ffrtmp.store import interface, postgres_hints, postgres_refusals, postgres_schema, postgres_writer
from ffrtmp.store.base import BaseStore
from ffrtmp.store.ops.floors import Floors
from ffrtmp.store.ops.unit import Unit
from ffrtmp.store.postgres_hints import PostgresHints
from ffrtmp.store.postgres_tx import Connection, PostgresTx
from ffrtmp.store.postgres_writer import LOST, LOST_BY_SERVER, Lanes
from ffrtmp.store.tx import Tx
from ffrtmp.store.writing import Writing

P = ParamSpec("P")
T = TypeVar("T")
_OLDEST_SERVER = 14  # the oldest that PostgreSQL's own policy supports
_READERS = 4
_MIGRATION_LOCK = 0x66667274  # "ffrt": masters that start together upgrade one after another
#: All that we ask is found by key. The planner must not think otherwise while the tables are small or their statistics old: a plan
#: is kept, and a scan that was right for a hundred rows is not for a million.
_SETTINGS = {
    "application_name": "ffrtmp",
    "statement_timeout": "15000",
    "idle_in_transaction_session_timeout": "15000",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",  # starting a worker costs more than a page of jobs
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_ALLOWED = "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
#: asked on a reading session, which only reads because we say so: what server, database or role say stands in reset_val
_READS_ONLY = (
    """SELECT pg_is_in_recovery() OR reset_val = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only'"""
)
_HELD_SECONDS = 0.05  #: a ready task whose job another transaction held is looked for again after so long
_SILENT_SECONDS = 4.0  #: a database that has not answered for so long does not count as there
_ANSWER_SECONDS = 20.0  #: longer than the server's own limit: only a dead connection takes so long


class PostgresStore(BaseStore):
    """`dsn` as libpq takes it. `write_connections`: batches in flight."""

    def __init__(self, dsn: str, *, rng: random.Random | None = None, write_connections: int = 2) -> None:
        self._dsn = dsn
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self._write_connections = write_connections
        self._class_ids: dict[str, int] = {}
        self._floors = Floors()
        self._version = ""
        self._lanes: Lanes | None = None
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._hints = PostgresHints(self._connect_to_listen, self._rng)
        self._writing = Writing(*postgres_writer.LASTING)
        self._probe: asyncio.Task[None] | None = None  # of `check`: one for all who ask at the same time
        self._probed_at = 0.0

    @property
    def hints(self) -> PostgresHints:
        return self._hints

    def describe(self) -> str:
        return f"PostgreSQL {self._version or '(not connected)'}, {_without_secrets(self._dsn)}"

    async def open(self) -> None:
        """Raises Misconfigured (such as SchemaTooNew, NotOurs), InvalidInput for a DSN that is none, or Unavailable with what the
        server said."""
        connections: list[Connection] = []
        try:
            await self._upgrade()
            connections += [await self._connect() for _ in range(self._write_connections)]
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=0,  # the pool would log a traceback for each connection that it cannot make again
                max_size=_READERS,
                server_settings=_SETTINGS,
                command_timeout=_ANSWER_SECONDS,
                timeout=10,
                statement_cache_size=256,
                init=_only_reads,
                reset=_no_reset,
            )
        except ValueError:  # what cannot be parsed may be a part of the password: it is not repeated
            raise errors.InvalidInput(
                f"The address of the database {_without_secrets(self._dsn)} cannot be read; write --db-dsn (or DATABASE_DSN) like"
                " postgresql://user:password@host:5432/database, with %23 for # in a password, %40 for @, %2F for /."
            ) from None
        except (*LOST, asyncpg.PostgresError) as error:
            for connection in connections:
                connection.terminate()
            raise postgres_refusals.refusal(_without_secrets(self._dsn), error) from error
        self._lanes = Lanes(self._connect, self._unit, self._committed, self._rng)
        self._lanes.start(connections)
        self._hints.start()

    @property
    def most_connections(self) -> int:
        """That this store opens: to write, to read, and to hear hints."""
        return self._write_connections + _READERS + 1

    async def connections_allowed(self) -> int:
        """By the server, for all programs together that are not its administrator's. Raises Unavailable."""
        allowed: int = await self._ask(_ALLOWED)
        return allowed

    async def _ask(self, question: str) -> Any:
        """What the server says of itself. Raises Unavailable."""
        if self._pool is None:
            raise errors.Unavailable("The store is not open.")
        try:
            return await self._pool.fetchval(question)
        except (*LOST, asyncpg.PostgresError) as error:
            raise postgres_writer.told(error) from error

    async def check(self) -> None:
        """Does not wait for a silent database as a request does: who asks for the state of a master has little time."""
        loop = asyncio.get_running_loop()
        if self._probe is None or self._probe.done():
            self._probe, self._probed_at = asyncio.create_task(super().check()), loop.time()
            self._probe.add_done_callback(_looked_at)
        silent = loop.time() - self._probed_at
        await asyncio.wait({self._probe}, timeout=max(0.0, _SILENT_SECONDS - silent))
        if not self._probe.done():
            silent = loop.time() - self._probed_at
            raise errors.Unavailable(f"The database {_without_secrets(self._dsn)} has not answered for {silent:.0f} s.")
        self._probe.result()

    async def check_writing(self) -> None:
        await self.check()
        self._writing.check()
        if await self._ask(_READS_ONLY):
            raise errors.Unavailable(
                f"The database {_without_secrets(self._dsn)} only reads: it is a standby, or default_transaction_read_only is on."
            )

    async def close(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
        if self._lanes is not None:
            await self._lanes.stop()
            self._lanes = None
        await self._hints.stop()
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 10)
            except TimeoutError:
                self._pool.terminate()
            self._pool = None

    async def _connect(self) -> Connection:
        connection = await asyncpg.connect(
            self._dsn,
            server_settings=_SETTINGS,
            command_timeout=_ANSWER_SECONDS,
            timeout=10,
            statement_cache_size=256,
        )
        # this may be another server, after a fail-over: what was learnt of the one before may not hold there
        self._class_ids.clear()
        self._floors.clear()
        # What was answered must be on disk (guarantee G1), however this server is set up; a stronger setting stays.
        if await connection.fetchval("SHOW synchronous_commit") == "off":
            await connection.execute("SET synchronous_commit = on")
        return connection

    async def _connect_to_listen(self) -> Connection:
        # a pooler between us and the server may hand each statement to another session: nothing is prepared
        return await asyncpg.connect(
            self._dsn,
            server_settings={"application_name": postgres_hints.APPLICATION},
            command_timeout=postgres_hints.ANSWER_SECONDS,
            timeout=10,
            statement_cache_size=0,
        )

    async def _upgrade(self) -> None:
        connection = await asyncpg.connect(self._dsn, server_settings={"application_name": "ffrtmp"}, timeout=10)
        try:
            version = connection.get_server_version()
            self._version = f"{version.major}.{version.minor}"
            if version.major < _OLDEST_SERVER:
                raise errors.Misconfigured(
                    f"ffrtmp needs PostgreSQL {_OLDEST_SERVER} or newer; this is {self._version}."
                )
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
                await postgres_schema.upgrade(connection, _without_secrets(self._dsn))
                await postgres_schema.mend_after_restore(connection)
        finally:
            await connection.close()

    async def _unit(self, tx: PostgresTx, shard: int) -> Unit:
        return Unit(tx, await tx.now(), self._rng, shard, self._class_ids, self._floors)

    def _committed(self, unit: Unit) -> None:
        self._class_ids.update(unit.new_class_ids)
        for class_id, key in unit.ready.items():
            self._floors.came(class_id, key)
        self._hints.tell(unit.hint())
        if unit.left:  # our own agents too, through another of our connections
            self._hints.hear(interface.Hint(ready=frozenset(unit.left)))
        if unit.skipped:
            held = interface.Hint(ready=frozenset(unit.skipped))
            asyncio.get_running_loop().call_later(_HELD_SECONDS, self._hints.hear, held)

    async def _write(self, call: Any) -> Any:
        if self._lanes is None:
            raise errors.Unavailable("The store is not open.")
        return await self._writing.watch(call, self._lanes.call(call))

    async def _read(self, function: Callable[Concatenate[Tx, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        pool = self._pool
        if pool is None:
            raise errors.Unavailable("The store is not open.")
        tries = 0
        while True:
            try:
                async with (
                    pool.acquire(timeout=10) as connection,
                    connection.transaction(isolation="repeatable_read", readonly=True),
                ):
                    return await function(PostgresTx(cast("Connection", connection)), *args, **kwargs)
            except (*LOST, *LOST_BY_SERVER) as error:
                # all idle connections may have died long ago; after that many tries they are new ones
                tries += 1
                if tries > _READERS or isinstance(error, TimeoutError):
                    raise postgres_writer.told(error) from error
            except asyncpg.PostgresError as error:
                raise postgres_writer.told(error) from error


def _looked_at(probe: "asyncio.Task[None]") -> None:
    """Whoever asked may be gone: its error is nobody's fault."""
    if not probe.cancelled():
        probe.exception()


async def _only_reads(connection: Any) -> None:
    """Not among the settings that it begins with: `target_session_attrs=read-write` in a DSN would refuse it for them."""
    await connection.execute("SET default_transaction_read_only = on")


async def _no_reset(connection: Any) -> None:
    """Nothing that we do on a connection outlives its transaction."""


#: hosts with ports, and a database
_WHERE = re.compile(r"[\w.,:\[\]-]*(?:/[\w.-]*)?")


def _without_secrets(dsn: str) -> str:
    """Host and database of a DSN; nothing of a password, even one with characters that it must not have (`#`, `/`, `@`, `?`)."""
    scheme, _, rest = dsn.partition("://")
    before, _, query = rest.partition("?")
    where = before.rpartition("@")[2]
    if scheme not in ("postgresql", "postgres") or "@" in query or not _WHERE.fullmatch(where):
        return "of --db-dsn"
    if not where or where.startswith("/"):
        where = (urllib.parse.parse_qs(query).get("host") or ["localhost"])[0] + where
    return where
