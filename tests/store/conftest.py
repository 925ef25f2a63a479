"""Every test of the suite runs on both databases: `store` is an open store on an empty one."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ffrtmp.store.interface import Store
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.testing.world import NoWait, World

DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=DATABASES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], Store]:
    """Stores on the same database, not opened yet. Their back-off is always zero."""
    if kind == "sqlite":
        return lambda: SqliteStore(tmp_path / "queue.db", rng=NoWait(7))
    address = request.getfixturevalue("database")
    return lambda: PostgresStore(address, rng=NoWait(7))


@pytest.fixture
async def store(make_store: Callable[[], Store]) -> AsyncIterator[Store]:
    made = make_store()
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@pytest.fixture
def sql(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Awaitable[list[tuple[Any, ...]]]]:
    """Runs SQL beside the store, to see or to age what is in the tables."""

    async def on_sqlite(text: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
        try:
            return connection.execute(text).fetchall()
        finally:
            connection.close()

    async def on_postgres(text: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(request.getfixturevalue("database"))
        try:
            return [tuple(row) for row in await connection.fetch(text)]
        finally:
            await connection.close()

    return on_sqlite if kind == "sqlite" else on_postgres
