"""The master's handle on the process that writes a SQLite database: started, asked, ended."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from ffrtmp.domain import errors
from ffrtmp.runtime.threads import in_thread
from ffrtmp.store import sqlite_guard
from ffrtmp.store.sqlite_process import LENGTH, Start, dumps, loads
from ffrtmp.telemetry import logs

#: of what the other end sends, before we have read it
_BUFFER_BYTES = 1 << 20
#: to end by itself; its last checkpoint may have 64 MB to copy
_ENDING_SECONDS = 10.0
_KILLED_SECONDS = 2.0
#: the process's argv, before the numbers of its descriptors
COMMAND = (sys.executable, "-P", "-m", "ffrtmp.store.sqlite_process")


class Child:
    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, command: tuple[str, ...], lock: int, first: Start) -> "Child":
        """`lock`: the descriptor of the lock on the database, which the process holds along with us.

        Raises what keeps the database from being opened; then, and when cancelled, nothing is left of it.
        """
        ours, process = _spawn(command, lock, first.path)
        writer = None
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_BUFFER_BYTES)
            child = cls(process, reader, writer)
            refusal = await child.ask(dumps(first))
        except BaseException as error:
            (ours if writer is None else writer).close()
            process.kill()
            await in_thread(process.wait)
            if isinstance(error, Exception):
                raise errors.Unavailable(
                    f"The process that writes {first.path} ended at its start (exit code {process.returncode});"
                    " its own words stand above."
                ) from error
            raise
        if refusal is not None:
            await child.end()
            raise refusal
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    async def ask(self, message: bytes) -> Any:
        """The answer. Raises OSError or IncompleteReadError when it ends instead, anything at all when it answers nonsense."""
        self._writer.write(message)
        (size,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        return loads(await self._reader.readexactly(size))

    async def end(self) -> None:
        """Ends after what it has at hand; one that does not is killed, which loses nothing that was answered."""
        with contextlib.suppress(OSError):
            self._writer.write(dumps(None))
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await in_thread(self._reap)

    def kill(self) -> None:
        """And wait for its end, which comes at once unless it hangs in the kernel."""
        self._writer.close()
        self._kill()

    def _kill(self) -> None:
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILLED_SECONDS)

    def _reap(self) -> None:
        try:
            self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            logs.get("store").error("the process that writes the database does not end; it is killed", pid=self.pid)
            self._kill()


def _spawn(command: tuple[str, ...], lock: int, path: Path) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Our end of its socket, and the process. Not through asyncio: nothing can come between its start and our knowing of it."""
    ours, its = socket.socketpair()
    try:
        with its:
            process = subprocess.Popen(
                (*command, str(its.fileno()), str(lock)),
                pass_fds=(its.fileno(), lock),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is for the master
            )
    except OSError as error:
        ours.close()
        raise errors.Unavailable(f"The process that writes {path} cannot be started: {error}.") from error
    sqlite_guard.note_holders(lock, os.getpid(), process.pid)
    ours.setblocking(False)
    return ours, process
