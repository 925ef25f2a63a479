"""The master's end of the process that writes a SQLite database: calls that wait together are committed together.

While a batch is being written and synced, the next one gathers; with slow disks the batches grow and the throughput holds.
"""

import asyncio
import contextlib
import random
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ffrtmp.domain import errors
from ffrtmp.store import commit
from ffrtmp.store.sqlite_process import LENGTH, Batch, Start, dumps, loads
from ffrtmp.telemetry import logs

#: of what the other end sends, before we have read it
_BUFFER_BYTES = 1 << 20


class Writer:
    """`lock`: the descriptor of the lock on the database, which the process holds along with us."""

    #: the process's argv, before the numbers of its descriptors
    command: tuple[str, ...] = (sys.executable, "-P", "-m", "ffrtmp.store.sqlite_process")

    def __init__(self, path: Path, lock: int, *, now_us: Callable[[], int], rng: random.Random) -> None:
        self._path = path
        self._lock = lock
        self._now_us = now_us
        self._rng = rng
        self._waiting: deque[commit.Pending] = deque()
        self._bulk: deque[commit.Pending] = deque()
        self._bulk_next = False
        self._woken = asyncio.Event()
        self._closed = False
        self._process: asyncio.subprocess.Process | None = None
        self._channel: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises what keeps the database from being opened."""
        await self._launch()
        self._worker = asyncio.create_task(self._work())

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def call(self, call: Any) -> Any:
        if self._closed:
            raise errors.Unavailable("The store is closed.")
        pending = commit.Pending(call, asyncio.get_running_loop().create_future())
        (self._bulk if commit.is_bulk(pending) else self._waiting).append(pending)
        self._woken.set()
        return await pending.future

    async def drain(self) -> None:
        """Takes nothing more, and writes what was queued."""
        self._closed = True
        self._woken.set()
        if self._worker is not None:
            await self._worker

    async def stop(self) -> None:
        """Ends the process, after `drain`."""
        await self.drain()
        await self._end()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = self._take()
            if batch:
                answers = await self._ask([pending.call for pending in batch])
                # later than the next hand-over, so that the process works on while the answers go out
                loop.call_soon(commit.deliver, batch, answers)
            elif self._closed:
                return
            else:
                self._woken.clear()
                await self._woken.wait()

    def _take(self) -> list[commit.Pending]:
        """Bulk work goes alone, in turn with the rest: neither waits for more than one batch of the other."""
        while self._bulk or self._waiting:
            self._bulk_next = not self._bulk_next
            alone = self._bulk and (self._bulk_next or not self._waiting)
            if batch := commit.wanted([self._bulk.popleft()] if alone else commit.take(self._waiting)):
                return batch
        return []

    async def _ask(self, calls: Sequence[Any]) -> list[Any]:
        try:
            message = dumps(Batch(self._now_us(), calls))
        except Exception as error:  # noqa: BLE001 - a call that cannot be sent fails alone
            if len(calls) == 1:
                return [error]
            return [answer for call in calls for answer in await self._ask([call])]
        try:
            if self._channel is None:
                await self._launch()
            answers: list[Any] = await self._exchange(message)
        except errors.FfrtmpError as error:
            return [error] * len(calls)
        return answers

    async def _exchange(self, message: bytes) -> Any:
        """Raises Unavailable when the process ends instead of answering; the next call starts another."""
        assert self._channel is not None
        reader, writer = self._channel
        try:
            writer.write(message)
            (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            return loads(await reader.readexactly(size))
        except (OSError, asyncio.IncompleteReadError) as error:
            code = await self._end()
            logs.get("store").error("the process that writes the database ended by itself", exit_code=code)
            raise errors.Unavailable(
                "The process that writes the database ended; what was asked may have been done or not. Look, then try again."
            ) from error

    async def _launch(self) -> None:
        ours, its = socket.socketpair()
        try:
            with its:
                descriptors = (its.fileno(), self._lock)
                self._process = await asyncio.create_subprocess_exec(
                    *self.command,
                    *map(str, descriptors),
                    pass_fds=descriptors,
                    stdin=asyncio.subprocess.DEVNULL,
                    # a terminal's Ctrl-C is for the master
                    start_new_session=True,
                )
            ours.setblocking(False)
            self._channel = await asyncio.open_unix_connection(sock=ours, limit=_BUFFER_BYTES)
        except BaseException as error:
            ours.close()
            await self._end()
            if isinstance(error, OSError):
                raise errors.Unavailable(f"The process that writes the database cannot be started: {error}.") from error
            raise
        refusal = await self._exchange(dumps(Start(self._path, self._now_us(), self._rng)))
        if refusal is not None:
            await self._end()
            raise refusal

    async def _end(self) -> int | None:
        """The process ends when our end of the socket closes, after what it has at hand."""
        if self._channel is not None:
            _, writer = self._channel
            self._channel = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        if self._process is None:
            return None
        process, self._process = self._process, None
        return await process.wait()
