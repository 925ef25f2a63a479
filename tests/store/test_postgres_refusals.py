"""A server that refuses us says why, and the message what to do about it."""

import random
import urllib.parse
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ffrtmp.domain import errors
from ffrtmp.store import postgres_refusals
from ffrtmp.store.postgres import PostgresStore

pytestmark = pytest.mark.postgres


@pytest.fixture
async def admin(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def role(admin: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[str]:
    name = f"role_{random.randrange(10**12)}"
    await admin.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    await admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def as_role(database: str, role: str, name: str | None = None) -> str:
    parts = urllib.parse.urlsplit(database)
    return parts._replace(
        netloc=f"{role}@{parts.netloc.rpartition('@')[2]}", path=f"/{name}" if name else parts.path
    ).geturl()


async def refused(dsn: str) -> str:
    with pytest.raises(errors.Unavailable) as caught:
        await PostgresStore(dsn).open()
    return caught.value.message


async def test_a_role_that_may_not_make_tables(
    admin: "asyncpg.Connection[asyncpg.Record]", database: str, role: str
) -> None:
    await admin.execute("REVOKE CREATE ON SCHEMA public FROM public")
    said = await refused(as_role(database, role))
    assert "permission denied for schema public. The role" in said
    # and what it advises helps
    await admin.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {role}")
    store = PostgresStore(as_role(database, role))
    await store.open()
    await store.close()


async def test_a_role_or_a_database_that_is_not_there(database: str, role: str) -> None:
    assert 'role "nobody" does not exist. Check the user' in await refused(as_role(database, "nobody"))
    assert 'database "nothing" does not exist. Check the name' in await refused(as_role(database, role, "nothing"))


async def test_too_many_connections(admin: "asyncpg.Connection[asyncpg.Record]", database: str, role: str) -> None:
    await admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    said = await refused(as_role(database, role))
    assert "too many connections for role" in said
    assert "max_connections on the server, the CONNECTION LIMIT" in said


async def test_a_server_that_only_reads(admin: "asyncpg.Connection[asyncpg.Record]", database: str, role: str) -> None:
    await admin.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    assert "Name the server that writes" in await refused(as_role(database, role))


def test_a_password_that_is_wrong() -> None:
    error = asyncpg.InvalidPasswordError('password authentication failed for user "x"')
    assert postgres_refusals.refusal("db/x", error).message == (
        'The database db/x cannot be opened: password authentication failed for user "x". Check user and password in --db-dsn'
        " (or DATABASE_DSN, PGPASSWORD)."
    )
