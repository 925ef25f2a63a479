"""Cuts of the power under the process that writes SQLite.

A kill does not lose what stands in the kernel's cache; a cut of the power does. So every write, sync and answer of that process is
recorded (strace), and a cut is made up from the record: at any point in it, what was synced before is there, and of what was
written since the last sync of its file each write is there, or not, or in part. What was answered before that point must be in
the database that is opened on this.
"""

import asyncio
import random
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ffrtmp.domain import errors
from ffrtmp.store.sqlite import SqliteStore
from ffrtmp.store.sqlite_process import LENGTH, Batch, loads
from ffrtmp.store.sqlite_writer import Writer
from ffrtmp.testing.crash import load
from ffrtmp.testing.crash.ledger import Answered, Asked, Ledger
from ffrtmp.testing.crash.outcome import Outcome
from ffrtmp.testing.crash.sqlite import examine
from ffrtmp.testing.world import NoWait

#: cuts made up from one record
_PER_RECORD = 25
_ANSWERS = 300  #: in one record
_SECTOR_BYTES = 512  #: what a disk writes whole
_CALLS = "unlink,pwrite64,ftruncate,fsync,fdatasync,sendto,recvfrom"


class _Write(msgspec.Struct):
    at: int
    data: bytes


class _File(msgspec.Struct):
    """As it is on the disk, and what was done to it since it was last synced: writes, and cuts to a length."""

    synced: bytearray = msgspec.field(default_factory=bytearray)
    since: list[_Write | int] = msgspec.field(default_factory=list)

    def sync(self) -> None:
        for step in self.since:
            _apply(self.synced, step)
        self.since.clear()

    def after_a_cut(self, rng: random.Random) -> bytes:
        found = bytearray(self.synced)
        # by turns all, none or any of them
        chance = rng.choice([0.0, 0.5, 0.9, 1.0])
        for step in self.since:
            if rng.random() < chance:
                _apply(found, step)
            elif isinstance(step, _Write) and rng.random() < 0.3:
                whole = rng.randrange(len(step.data) // _SECTOR_BYTES + 1) * _SECTOR_BYTES
                _apply(found, _Write(step.at, step.data[:whole]))
        return bytes(found)


def _apply(content: bytearray, step: _Write | int) -> None:
    if isinstance(step, int):
        del content[step:]
        content.extend(bytes(step - len(content)))
    elif step.data:
        content.extend(bytes(max(0, step.at - len(content))))
        content[step.at : step.at + len(step.data)] = step.data


class Disk:
    """The files of a database, and what went over the process's socket, up to a point of the record."""

    def __init__(self, path: Path) -> None:
        self._names = {str(path), f"{path}-wal", f"{path}-journal"}
        self.files = {str(path): _File()}
        self._asked, self._answered = bytearray(), bytearray()

    def step(self, call: "_Call") -> None:
        match call.name:
            case "sendto":
                self._answered += call.data
            case "recvfrom":
                self._asked += call.data
            case "unlink":
                self.files.pop(call.data.decode(), None)
            case _ if call.file not in self._names:
                pass
            case "pwrite64":
                self._file(call.file).since.append(_Write(call.numbers[1], call.data))
            case "ftruncate":
                self._file(call.file).since.append(call.numbers[0])
            case "fsync" | "fdatasync":
                self._file(call.file).sync()

    def _file(self, name: str) -> _File:
        return self.files.setdefault(name, _File())

    def cut(self, folder: Path, rng: random.Random) -> None:
        """Writes into `folder` what is left of the files."""
        folder.mkdir()
        for name, file in self.files.items():
            (folder / Path(name).name).write_bytes(file.after_a_cut(rng))

    def ledger(self) -> Ledger:
        """What had been answered. A batch is answered by one message, in the order of the questions."""
        made, number = Ledger(), 0
        answers = iter([message for message in _messages(self._answered) if isinstance(message, list)])
        for batch in _messages(self._asked):
            if isinstance(batch, Batch):
                found = next(answers, [None] * len(batch.calls))
                for call, answer in zip(batch.calls, found, strict=True):
                    made.note(Asked(number, call))
                    if answer is not None and not isinstance(answer, errors.Unavailable):
                        made.note(Answered(number, answer))
                    number += 1
        made.crashed()
        return made


class _Call(msgspec.Struct):
    """A system call that succeeded."""

    name: str
    file: str  #: behind its descriptor
    data: bytes
    numbers: list[int]  #: after the data


_LINE = re.compile(r'(\w+)\((?:\d+<([^>]*)>|)[^"]*?(?:"((?:\\x..)*)")?([^"]*)\) += (\d+)')


def _calls(record: Path) -> Iterator[_Call]:
    with record.open() as lines:
        for line in lines:
            if found := _LINE.fullmatch(line.rstrip()):
                name, file, data, rest, result = found.groups(default="")
                content = _bytes(data)
                if name in ("sendto", "pwrite64"):
                    content = content[: int(result)]
                yield _Call(name, _bytes(file).decode(), content, [int(one) for one in re.findall(r"\d+", rest)])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _messages(stream: bytearray) -> Iterator[Any]:
    at = 0
    while len(stream) >= at + LENGTH.size:
        (size,) = LENGTH.unpack_from(stream, at)
        at += LENGTH.size
        if len(stream) < at + size:
            return
        yield loads(bytes(stream[at : at + size]))
        at += size


async def cuts(
    folder: Path, count: int, seed: int, said: Callable[[str], None], *, synchronous: str = "FULL"
) -> Outcome:
    """So many cuts. `synchronous`: the setting of the process; the checks must find any but FULL."""
    if shutil.which("strace") is None:
        raise errors.Unavailable("Cuts of the power are made up from what strace records: install strace.")
    outcome = Outcome()
    for first in range(0, count, _PER_RECORD):
        rng = random.Random(f"{seed}/{first}")
        path = folder / f"record-{first}" / "queue.db"
        path.parent.mkdir()
        record = await _record(path, rng, synchronous)
        outcome.databases += 1
        calls = list(_calls(record))
        disk, done = Disk(path), 0
        for number, at in enumerate(sorted(rng.sample(range(len(calls)), min(_PER_RECORD, count - first)))):
            for call in calls[done:at]:
                disk.step(call)
            done = at
            ledger = disk.ledger()
            acknowledged = ledger.acknowledged
            await _cut(disk, folder / f"cut-{first + number}", path, ledger, rng)
            outcome.add("cut", acknowledged, [f"cut {first + number}: {one}" for one in ledger.violations])
            said(f"cut {first + number}")
    return outcome


async def _record(path: Path, rng: random.Random, synchronous: str) -> Path:
    """Works on a new database and closes it, all recorded."""
    record = path.with_suffix(".strace")

    class Recorded(Writer):
        command = (
            *(
                "strace",
                "-xx",
                "-y",
                "-s",
                "100000000",
                "-e",
                f"trace={_CALLS}",
                "-e",
                "signal=none",
                "-o",
                str(record),
            ),
            *(sys.executable, "-P", "-m", "ffrtmp.testing.crash.writer", synchronous),
        )

    store = SqliteStore(path, rng=NoWait(7))
    store.make_writer = Recorded
    await store.open()
    enough, answers = asyncio.Event(), 0

    def note(record: Any) -> None:
        nonlocal answers
        answers += isinstance(record, Answered)
        if answers >= _ANSWERS:
            enough.set()

    await load.run([store], note, rng, enough)
    await store.close()
    return record


async def _cut(disk: Disk, folder: Path, path: Path, ledger: Ledger, rng: random.Random) -> None:
    """What a cut of the power leaves, opened and compared. An answer before the cut is one that somebody may rely on."""
    await asyncio.to_thread(disk.cut, folder, rng)
    try:
        await examine(folder / path.name, ledger)
    except (errors.FfrtmpError, sqlite3.Error) as error:
        ledger.violations.append(f"the database does not open: {error}")
    if not ledger.violations:
        shutil.rmtree(folder)
