"""What the store's functions need of a database transaction. Both databases offer this; the functions are written once."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ffrtmp.store.statements import Dialect

Row = Sequence[Any]


class Tx(Protocol):
    """Statements by name. On SQLite nothing here suspends, so the writing process runs the same coroutines without a loop."""

    dialect: Dialect

    async def now(self) -> int:
        """The database's clock, µs since 1970."""

    async def all(self, name: str, **values: Any) -> Sequence[Row]:
        """Every row of one statement."""

    async def one(self, name: str, **values: Any) -> Row | None:
        """Its first row."""

    async def run(self, name: str, **values: Any) -> int:
        """How many rows it changed."""

    async def each(self, name: str, objects: Sequence[Any]) -> Sequence[Row]:
        """The statement once per object, in order; each parameter is the object's attribute of that name. All rows that came."""

    async def change(self, name: str, objects: Sequence[Any]) -> int:
        """Like `each`, for statements without rows: how many rows changed altogether."""

    async def insert_jobs(self, jobs: Sequence[Any]) -> None:
        """`job_insert` for each, and their numbers into their `seq`. A number is never given twice, also when this is undone."""

    async def variant(self, name: str, more: tuple[tuple[str, str], ...], values: Mapping[str, Any]) -> Sequence[Row]:
        """A statement with parts of the store's own making: see `statements.variant`."""
