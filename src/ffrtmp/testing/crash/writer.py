"""The process that writes, with a checkpoint every few commits, so that crashes meet checkpoints too.

`python -m ffrtmp.testing.crash.writer SYNCHRONOUS SOCKET LOCK`. With another SYNCHRONOUS than FULL it breaks what is promised,
which the checks must find.
"""

import contextlib
import os
import sqlite3
import sys
from pathlib import Path

from ffrtmp.store import sqlite_file, sqlite_process
from ffrtmp.store.sqlite_writer import Writer
from ffrtmp.testing import mutants

_PAGES = 96


class EagerWriter(Writer):
    command = (sys.executable, "-P", "-m", "ffrtmp.testing.crash.writer", "FULL")


def main() -> None:
    synchronous = sys.argv.pop(1)
    if mutant := os.environ.get(mutants.VARIABLE):
        from ffrtmp.testing.mutants import catalog

        catalog.MUTANTS[mutant].apply(contextlib.ExitStack())
    whole = sqlite_file.for_writing

    def for_writing(path: Path) -> sqlite3.Connection:
        connection = whole(path)
        connection.execute(f"PRAGMA wal_autocheckpoint={_PAGES}")
        if synchronous != "FULL":
            connection.execute(f"PRAGMA synchronous={synchronous}")
        return connection

    sqlite_file.for_writing = for_writing
    sqlite_process.main()


if __name__ == "__main__":
    main()
