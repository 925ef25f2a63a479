"""Group commit on SQLite: calls that wait together are committed together, by the process that writes.

While a batch is being written and synced, the next one gathers; with slow disks the batches grow and the throughput holds.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ffrtmp
from ffrtmp.domain import errors
from ffrtmp.store import commit
from ffrtmp.store.sqlite_child import COMMAND, Child
from ffrtmp.store.sqlite_process import Batch, Start, dumps
from ffrtmp.telemetry import logs

#: for what is queued when the store closes; the master's own grace for its requests is over by then
_CLOSING_SECONDS = 10.0
#: for one batch: longer than any checkpoint takes that a slow disk is busy with, so that only one that hangs is replaced
ANSWER_SECONDS = 60.0


class Writer:
    """`lock`: the descriptor of the lock on the database."""

    command: tuple[str, ...] = COMMAND

    def __init__(self, path: Path, lock: int, *, now_us: Callable[[], int], rng: random.Random) -> None:
        self._path = path
        self._lock = lock
        self._now_us = now_us
        self._rng = rng
        self._waiting: deque[commit.Pending] = deque()
        self._bulk: deque[commit.Pending] = deque()
        self._bulk_next = False
        self._batch: Sequence[commit.Pending] = ()
        self._woken = asyncio.Event()
        self._closed = False
        self._asked_at: float | None = None  #: by the loop's clock: a batch is with the process since then
        self._child: Child | None = None
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises what keeps the database from being opened."""
        await self._running()
        self._worker = asyncio.create_task(self._work())

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    def silent_seconds(self) -> float:
        """How long the process has had a batch without answering; 0: it has none."""
        return 0.0 if self._asked_at is None else asyncio.get_running_loop().time() - self._asked_at

    async def call(self, call: Any) -> Any:
        if self._closed:
            raise errors.Unavailable("The store is closed.")
        return await self._queue(call)

    def _queue(self, call: Any) -> asyncio.Future[Any]:
        pending = commit.Pending(call, asyncio.get_running_loop().create_future())
        (self._bulk if commit.is_bulk(pending) else self._waiting).append(pending)
        self._woken.set()
        return pending.future

    async def drain(self) -> None:
        """Takes nothing more, and writes what was queued, as long as that goes on."""
        self._closed = True
        self._woken.set()
        if self._worker is None:
            return
        _, late = await asyncio.wait({self._worker}, timeout=_CLOSING_SECONDS)
        if late:
            self.abandon()
            await asyncio.wait({self._worker})

    async def stop(self) -> None:
        """Ends the process, after `drain`."""
        await self.drain()
        child, self._child = self._child, None
        if child is not None:
            await child.end()

    def abandon(self) -> None:
        """At once: what was not answered is answered with an error, and the process is gone."""
        self._closed = True
        child, self._child = self._child, None
        if self._worker is not None:
            self._worker.cancel()
        if child is not None:
            child.kill()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._batch = self._take()
                if self._batch:
                    answers = await self._ask([pending.call for pending in self._batch])
                    # later than the next hand-over, so that the process works on while the answers go out
                    loop.call_soon(commit.deliver, self._batch, answers)
                elif self._closed:
                    return
                else:
                    self._woken.clear()
                    await self._woken.wait()
        finally:
            # nobody waits for ever, however this ends
            self._closed = True
            left = [*self._batch, *self._waiting, *self._bulk]
            closed = errors.Unavailable("The store closed before this was written; it may have been done or not.")
            commit.deliver(left, [closed] * len(left))

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
            answers = await self._answers(calls)
        except Exception as error:  # noqa: BLE001 - whatever it is, these callers must hear of it and the next must be served
            return [error] * len(calls)
        if isinstance(answers, list):
            return answers
        if len(calls) == 1:
            return [answers]
        # one that cannot be sent, or not be read at the other end, fails alone
        return [answer for call in calls for answer in await self._ask([call])]

    async def _answers(self, calls: Sequence[Any]) -> list[Any] | Exception:
        """An answer per call; an error when the batch could not be read as it is. Raises Unavailable, or what ended the process."""
        try:
            message = dumps(Batch(self._now_us(), calls))
        except Exception as error:  # noqa: BLE001 - pickle raises what it likes
            return error
        child = await self._running()
        self._asked_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answers: list[Any] | Exception = await child.ask(message)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._child = None
            child.kill()
            why = f"no answer in {ANSWER_SECONDS:g} s" if isinstance(error, TimeoutError) else repr(error)
            logs.get("store").error("the process that writes the database failed and is replaced", why=why)
            raise errors.Unavailable(
                "The process that writes the database failed; what was asked may have been done or not. Look, then try again."
            ) from error
        finally:
            self._asked_at = None
        return answers

    async def _running(self) -> Child:
        """The process; a new one when there is none, or when it ended while nothing was asked of it."""
        if self._child is None or not self._child.running:
            if self._child is not None:
                logs.get("store").error("the process that writes the database was gone and is replaced")
                await self._child.end()
                self._child = None
            start = Start(ffrtmp.__version__, self._path, self._now_us(), self._rng)
            self._child = await Child.start(self.command, self._lock, start)
        return self._child
