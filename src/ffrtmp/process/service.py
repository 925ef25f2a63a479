"""A long-lived child that answers JSON lines: started at the first request, started anew when it died, ended when idle.

Each request is one line `{"id": 1, …}` on its stdin, each reply one line with the same id on its stdout, in any order.
A request whose caller gives up is followed by `{"cancel": 1}`.
"""

import asyncio
import contextlib
import itertools
import signal
import subprocess
from typing import Any

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.command import Command
from ffrtmp.process import spawn
from ffrtmp.process.log import Ring
from ffrtmp.process.pipes import BytesPipe, LinesPipe, read_pipe

#: an idle service gives its memory back
IDLE_SECONDS = 60.0


class ServiceDied(errors.FfrtmpError):
    """A helper process ended in the middle of a request."""

    code = "service_died"


class _Running:
    """One life of the child."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._process = spawn.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._ring = Ring()
        self._lines = LinesPipe(self._on_line, on_fault=self.kill)
        self._log = BytesPipe(self._ring.feed)
        self._exit = asyncio.create_task(self._run(), name=f"{command.name} {self._process.pid}")
        self._deaf = False
        self.pending: dict[int, asyncio.Future[dict[str, Any]]] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def dead(self) -> bool:
        return self._deaf or self._exit.done()

    def kill(self) -> None:
        if not self.dead:
            spawn.signal_group(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Close its stdin, which asks it to end; kill it when it does not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        done, _ = await asyncio.wait({self._exit}, timeout=self._command.limits.stop_grace_seconds)
        if not done:
            self.kill()
            await asyncio.wait({self._exit})

    def send(self, message: dict[str, Any]) -> None:
        """A line is far below the pipe's buffer, and the child reads all the time: this does not block."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            self.kill()
            self._deaf = True  # it may not be reaped yet: the next request must not ask it again
            raise ServiceDied(f"{self._command.name} is gone: {error}") from error

    def _on_line(self, line: str) -> None:
        reply = msgspec.json.decode(line, type=dict[str, Any])
        waiting = self.pending.pop(reply["id"], None)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    async def _run(self) -> None:
        transports = [
            await read_pipe(self._process.stdout, self._lines),
            await read_pipe(self._process.stderr, self._log),
        ]
        exited = await spawn.reap(self._process)
        await self._lines.closed.wait()
        for transport in transports:
            transport.close()
        told = self._ring.text().strip().splitlines()[-3:]
        for waiting in self.pending.values():
            if not waiting.done():
                waiting.set_exception(
                    ServiceDied(
                        f"{self._command.name} ended (exit code {exited.exit_code}, signal {exited.signal}): "
                        + " / ".join(told)
                    )
                )
        self.pending.clear()


class Service:
    """Starts the child when it is needed. Use it from one event loop."""

    def __init__(self, command: Command, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._command = command
        self._idle_seconds = idle_seconds
        self._ids = itertools.count(1)
        self._running: _Running | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return self._running.pid if self._running is not None and not self._running.dead else None

    async def request(self, body: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        """Ask, and wait for the reply. When the child dies meanwhile, ask a new one once.

        Raises ServiceDied, or TimeoutError after `timeout_seconds` in all: then the child is stuck, and is ended, so that the
        next request finds one that answers. Being cancelled cancels the request.
        """
        asked = self._running
        try:
            async with asyncio.timeout(timeout_seconds):
                try:
                    return await self._ask(body)
                except ServiceDied:
                    return await self._ask(body)
        except TimeoutError:
            if self._running is not None and asked in (None, self._running):
                self._running.kill()
            raise

    async def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        if self._idle is not None:
            self._idle.cancel()
        if self._running is None or self._running.dead:
            self._running = _Running(self._command)
        running, number = self._running, next(self._ids)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        running.pending[number] = reply
        try:
            running.send({**body, "id": number})
            return await reply
        except asyncio.CancelledError:
            if not running.dead:
                with contextlib.suppress(ServiceDied):
                    running.send({"cancel": number})
            raise
        finally:
            running.pending.pop(number, None)
            if not running.pending and running is self._running:
                self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._retire)

    def _retire(self) -> None:
        if self._running is not None and not self._running.pending:
            task = asyncio.create_task(self._running.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._running = None

    async def close(self) -> None:
        """End the child. Requests under way fail with ServiceDied."""
        if self._idle is not None:
            self._idle.cancel()
        if self._running is not None:
            running, self._running = self._running, None
            await running.close()
        if self._closing:
            await asyncio.wait(self._closing)
