"""Group commit on PostgreSQL: a few connections, each with one batch in flight; what comes meanwhile gathers for the next."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg

from ffrtmp.domain import errors
from ffrtmp.store import commit
from ffrtmp.store.commit import Pending
from ffrtmp.store.ops import batch as batches
from ffrtmp.store.ops.unit import Unit
from ffrtmp.store.postgres_tx import Connection, PostgresTx

#: the connection is gone, or cannot be trusted any more
LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
LOST_BY_SERVER = (
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, after a fail-over: a new connection finds the server that writes
)
#: what is not over by the next try
LASTING = (
    TimeoutError,
    asyncpg.DiskFullError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
#: the class of warnings. A COMMIT gives one where somebody canceled its wait for a synchronous standby: it is on this server's disk
#: then, and perhaps on no other's
_WARNING = "01000"
_TRIES = 4
_SHORTEST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 2.0


class Lanes:
    """Calls wait here; each lane is a connection that takes as many as there are. At most one lane does bulk work."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        make_unit: Callable[[PostgresTx, int], Awaitable[Unit]],
        committed: Callable[[Unit], None],
        rng: random.Random,
    ) -> None:
        self._connect = connect
        self._make_unit = make_unit
        self._committed = committed
        self._rng = rng
        self._normal: deque[Pending] = deque()
        self._bulk: deque[Pending] = deque()
        self._bulk_running = False
        self._wake = asyncio.Condition()
        self._idle_lanes = 0
        self._closed = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, connections: Sequence[Connection]) -> None:
        self._tasks = [
            asyncio.create_task(self._work(_Lane(self, connection, shard)), name=f"ffrtmp-store-lane-{shard}")
            for shard, connection in zip(self._rng.sample(range(16), len(connections)), connections, strict=True)
        ]

    async def call(self, call: Any) -> Any:
        if self._closed:
            raise errors.Unavailable("The store is closed.")
        return await (await self._queue(call))

    async def _queue(self, call: Any) -> asyncio.Future[Any]:
        pending = Pending(call, asyncio.get_running_loop().create_future())
        (self._bulk if commit.is_bulk(pending) else self._normal).append(pending)
        if self._idle_lanes:
            async with self._wake:
                self._wake.notify()
        return pending.future

    async def stop(self) -> None:
        """Writes what was queued, then ends."""
        self._closed = True
        async with self._wake:
            self._wake.notify_all()
        await asyncio.gather(*self._tasks)

    def fail_waiting(self, error: Exception) -> None:
        """The database is away: nobody waits for it longer than one attempt to reach it."""
        for waiting in (self._normal, self._bulk):
            batch = list(waiting)
            waiting.clear()
            commit.deliver(batch, [told(error) for _ in batch])

    async def _work(self, lane: "_Lane") -> None:
        try:
            while True:
                batch = self._next()
                if batch is None:
                    if self._closed:
                        return
                    await self._wait()
                    continue
                bulk = bool(batch) and commit.is_bulk(batch[0])
                self._bulk_running = self._bulk_running or bulk
                try:
                    await lane.commit(batch)
                finally:
                    if bulk:
                        self._bulk_running = False
        finally:
            await lane.close()

    async def _wait(self) -> None:
        async with self._wake:
            if self._normal or (self._bulk and not self._bulk_running) or self._closed:
                return
            self._idle_lanes += 1
            try:
                await self._wake.wait()
            finally:
                self._idle_lanes -= 1

    def _next(self) -> list[Pending] | None:
        if self._bulk and not self._bulk_running and (not self._normal or self._bulk_turn()):
            return [self._bulk.popleft()]
        return commit.take(self._normal) if self._normal else None

    def _bulk_turn(self) -> bool:
        """Bulk work goes on under load too, on every second batch."""
        self._turn = not getattr(self, "_turn", False)
        return self._turn

    async def make_unit(self, tx: PostgresTx, shard: int) -> Unit:
        return await self._make_unit(tx, shard)

    def done(self, unit: Unit) -> None:
        self._committed(unit)

    async def connect(self) -> Connection:
        return await self._connect()

    @property
    def rng(self) -> random.Random:
        return self._rng


class _Lane:
    def __init__(self, lanes: Lanes, connection: Connection, shard: int) -> None:
        self._lanes = lanes
        self._connection: Connection | None = None
        self._use(connection)
        self._doubt = ""  #: what the server said against the COMMIT that it answers
        self._shard = shard
        self._wait_seconds = 0.0

    def _use(self, connection: Connection) -> None:
        connection.add_log_listener(self._told)
        self._connection = connection

    def _told(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        if message.sqlstate == _WARNING:
            self._doubt = str(message)

    async def commit(self, batch: Sequence[Pending]) -> None:
        batch = commit.wanted(batch)
        if batch:
            commit.deliver(batch, await self._try([pending.call for pending in batch]))

    async def _try(self, calls: Sequence[Any]) -> list[Any]:
        error: Exception = errors.Unavailable()
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(self._lanes.rng.uniform(0, 0.02 * 2**attempt))
            try:
                return await self._transaction(calls)
            except TimeoutError as silent:  # the server is there and does not answer: asking again would take as long
                await self._drop()
                return [told(silent) for _ in calls]
            except _CommitUnknown as unknown:
                await self._drop()
                return [told(unknown.error) for _ in calls]
            except _AGAIN as again:
                error = again
            except (*LOST, *LOST_BY_SERVER) as lost:
                error = lost
                await self._drop()
            except _Away as away:
                return [told(away.error) for _ in calls]
            except Exception as bad:  # noqa: BLE001 - whatever it is belongs to the caller whose call it is
                if len(calls) == 1 and isinstance(bad, asyncpg.UniqueViolationError):
                    error = bad  # another master was first with this key: the next try finds it
                    continue
                if len(calls) == 1:
                    return [told(bad)]
                # One bad call must not fail the others: each in a transaction of its own.
                return [answer for call in calls for answer in await self._try([call])]
        return [told(error) for _ in calls]

    async def _transaction(self, calls: Sequence[Any]) -> list[Any]:
        connection = await self._connected()
        await connection.execute("BEGIN")
        try:
            unit = await self._lanes.make_unit(PostgresTx(connection), self._shard)
            answers = await batches.run(unit, calls)
        except BaseException:
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                await connection.execute("ROLLBACK")
            raise
        self._doubt = ""
        try:
            await connection.execute("COMMIT")
        except asyncpg.PostgresError as error:
            if not isinstance(error, (*LOST, *LOST_BY_SERVER)) and not connection.is_closed():
                raise  # the server says that it did not commit
            raise _CommitUnknown(error) from error
        except Exception as error:
            raise _CommitUnknown(error) from error
        if self._doubt:
            raise _CommitUnknown(TimeoutError(self._doubt))
        self._lanes.done(unit)
        return answers

    async def _connected(self) -> Connection:
        """The connection; a new one, after waits that grow and differ between masters, when it was lost."""
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        self._connection = None
        if self._wait_seconds:
            await asyncio.sleep(self._lanes.rng.uniform(0, self._wait_seconds))
        try:
            connection = await self._lanes.connect()
        except (*LOST, asyncpg.PostgresError) as error:
            self._wait_seconds = min(_LONGEST_WAIT_SECONDS, 2 * self._wait_seconds or _SHORTEST_WAIT_SECONDS)
            self._lanes.fail_waiting(error)
            raise _Away(error) from error
        self._wait_seconds = 0.0
        self._use(connection)
        return connection

    async def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                await self._connection.close(timeout=5)
            self._connection = None


class _CommitUnknown(Exception):
    """The connection went away while the commit was on its way: it may have happened or not. Calls can be repeated."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Away(Exception):
    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def words(error: Exception) -> str:
    """What an error says; a time limit that passed says nothing by itself."""
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


def told(error: Exception) -> Exception:
    """Trouble with the database as callers know it: one error each, for each is raised in its own place."""
    transient = (
        *LOST,
        *LOST_BY_SERVER,
        *LASTING,
        *_AGAIN,
        asyncpg.QueryCanceledError,
        asyncpg.InsufficientResourcesError,
    )
    if isinstance(error, asyncpg.DiskFullError):
        full = errors.Unavailable(
            f"The disk of the database is full: nothing was written ({error}). Free space on the server, then try again.",
            code="disk_full",
        )
        full.__cause__ = error
        return full
    if isinstance(error, transient):
        unavailable = errors.Unavailable(f"The database did not answer as it should: {words(error)}.")
        unavailable.__cause__ = error
        return unavailable
    if isinstance(error, asyncpg.UniqueViolationError):
        conflict = errors.Conflict(f"There is one with this name already: {error}.", code="duplicate")
        conflict.__cause__ = error
        return conflict
    if isinstance(error, asyncpg.DataError):
        invalid = errors.InvalidInput(f"The database refuses a value: {error}.")
        invalid.__cause__ = error
        return invalid
    return error
