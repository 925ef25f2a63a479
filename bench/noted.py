"""The process that writes a SQLite database, noting what it executes: `python -m bench.noted NOTES SOCKET LOCK`."""

import pickle
import sqlite3
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ffrtmp.store import sqlite_file, sqlite_process

#: (monotonic time, method of the connection, statement, its values)
Note = tuple[float, str, str, Any]


class Connection:
    """A SQLite connection that writes down each statement."""

    def __init__(self, connection: sqlite3.Connection, into: list[Note]) -> None:
        self._connection = connection
        self._into = into

    def execute(self, text: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        self._into.append((time.monotonic(), "execute", text, values))
        return self._connection.execute(text, values)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def close(self) -> None:
        self._connection.close()


def main() -> None:
    notes: list[Note] = []
    connect: Any = sqlite_file.for_writing
    sqlite_file.for_writing = lambda path: Connection(connect(path), notes)  # type: ignore[assignment, return-value]
    place = Path(sys.argv.pop(1))
    sqlite_process.main()
    place.write_bytes(pickle.dumps(notes))


if __name__ == "__main__":
    main()
