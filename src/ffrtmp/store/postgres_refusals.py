"""Why a database cannot be opened, and what an operator does about it."""

import asyncpg

from ffrtmp.domain import errors
from ffrtmp.store import postgres_writer

#: what the server said → what to do; the first that fits counts
_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (
        asyncpg.InvalidPasswordError,
        "Check user and password in --db-dsn (or DATABASE_DSN, PGPASSWORD).",
    ),
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "Check the user in --db-dsn (or DATABASE_DSN), and on the server that pg_hba.conf lets this user in from this machine.",
    ),
    (
        asyncpg.InvalidCatalogNameError,
        "Check the name in --db-dsn (or DATABASE_DSN), or make it on the server: CREATE DATABASE name OWNER role.",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "The role in --db-dsn (or DATABASE_DSN) must own ffrtmp's tables, and may make some. On the server, best give it the"
        " database: ALTER DATABASE name OWNER TO role. Or GRANT CONNECT ON DATABASE name TO role, and in that database"
        " GRANT USAGE, CREATE ON SCHEMA public TO role.",
    ),
    (
        asyncpg.TooManyConnectionsError,
        "Stop what else is connected, or allow more: max_connections on the server, the CONNECTION LIMIT of role or database. A"
        " master, or each of its workers, opens at most seven.",
    ),
    (
        asyncpg.ReadOnlySQLTransactionError,
        "Name the server that writes in --db-dsn (or DATABASE_DSN), or all of them with ?target_session_attrs=read-write; or let"
        " this one write: default_transaction_read_only = off.",
    ),
    (asyncpg.DiskFullError, "Free space on the server."),
    (asyncpg.CannotConnectNowError, "Start the master again in a moment: the server is starting or stopping."),
)
_OTHERWISE = "Check --db-dsn (or DATABASE_DSN), and that PostgreSQL runs there."


def refusal(where: str, error: Exception) -> errors.Unavailable:
    """`where`: the database without secrets; `error`: what connecting or the upgrade of the schema ended in."""
    advice = next((advice for kind, advice in _ADVICE if isinstance(error, kind)), _OTHERWISE)
    return errors.Unavailable(
        f"The database {where} cannot be opened: {postgres_writer.words(error).rstrip('.')}. {advice}"
    )
