"""The process that is killed: has a SQLite store open and works on it.

`python -m ffrtmp.testing.crash.victim DATABASE SEED [eager]`; `eager`: with many checkpoints.

It notes what it asks and is answered on stdout, each record as eight bytes of length and a pickle; first None, before it opens the
store. It ends in order when its stdin is closed.
"""

import asyncio
import os
import random
import sys
from typing import Any

from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.store.sqlite_process import dumps
from ffrtmp.telemetry import logs
from ffrtmp.testing.crash import load
from ffrtmp.testing.crash.writer import EagerWriter
from ffrtmp.testing.world import NoWait


def _note(record: Any) -> None:
    data = dumps(record)
    while data:
        data = data[os.write(1, data) :]


async def _main() -> None:
    path, seed, *eager = sys.argv[1:]
    logs.configure()  # to stderr: stdout is for the records
    store = SqliteStore(path, rng=NoWait(seed))
    if eager:
        store.make_writer = EagerWriter
    _note(None)
    await store.open()
    enough = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, enough.set)
    await load.run([store], _note, random.Random(seed), enough)
    await store.close()


if __name__ == "__main__":
    asyncio.run(_main())
