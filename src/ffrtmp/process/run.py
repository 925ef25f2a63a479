"""Run a Command: one child, its output, its limits, its end."""

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Callable

import msgspec

from ffrtmp.domain.command import Command
from ffrtmp.process import disk, spawn
from ffrtmp.process.clocks import Clocks, Ended
from ffrtmp.process.confine import Confinement
from ffrtmp.process.log import Ring
from ffrtmp.process.pipes import BytesPipe, LinesPipe, read_pipe
from ffrtmp.process.sandbox import OFF, Sandbox

__all__ = ["OFF", "Child", "Ended", "Outcome", "Sandbox", "start", "to_end"]

#: seconds between two looks at disk use and memory
POLL_SECONDS = 1.0
#: from its last words to its end by itself
_LAST_SECONDS = 5.0
#: how long a pipe that somebody else still holds open is read after the child's end
_DRAIN_SECONDS = 2.0

_Pipes = list[tuple[BytesPipe | LinesPipe, asyncio.ReadTransport]]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a child ended, and what it took."""

    ended: Ended
    exit_code: int | None  #: None: killed by `signal`
    signal: int | None
    wall_seconds: float  #: pauses left out
    cpu_seconds: float
    max_rss_bytes: int
    log: str  #: stderr (and stdout where nobody reads it), bounded, without control characters
    read_bytes: int | None = None  #: as `spawn.Exit` has them
    written_bytes: int | None = None

    @property
    def ok(self) -> bool:
        return self.ended is Ended.EXITED and self.exit_code == 0


class Child:
    """A running child. `start` makes it."""

    def __init__(
        self,
        command: Command,
        process: "subprocess.Popen[bytes]",
        on_line: Callable[[str], None] | None,
        confinement: Confinement | None = None,
    ) -> None:
        self.command = command
        self.pid = process.pid
        self._process = process
        self._confinement = confinement
        self._loop = asyncio.get_running_loop()
        limits = command.limits
        self._clocks = Clocks(self._loop.time(), wall_seconds=limits.wall_seconds, stall_seconds=limits.stall_seconds)
        self._ring = Ring()
        self._words = command.last_words.encode()
        self._heard = b""  # the end of its log, as long as its last words
        self._lines = LinesPipe(on_line, on_fault=lambda: self._end(Ended.STOPPED)) if on_line else None
        self._peak_rss = 0
        self._wake = asyncio.Event()  # look at the clocks again
        self._reason: Ended | None = None  # why we end it
        self._exit = asyncio.create_task(spawn.reap(process), name=f"reap {self.pid}")
        self._exit.add_done_callback(lambda _: self._wake.set())
        self._outcome = asyncio.create_task(self._supervise(), name=f"supervise {self.pid}")

    async def wait(self) -> Outcome:
        """The child's end. Being cancelled leaves the child running. Raises what `on_line` raised."""
        outcome = await asyncio.shield(self._outcome)
        if self._lines is not None and self._lines.fault is not None:
            raise self._lines.fault
        return outcome

    def alive(self) -> None:
        """Progress was seen: the stall clock starts again."""
        self._clocks.alive(self._loop.time())

    @property
    def paused(self) -> bool:
        return self._clocks.paused

    def pause(self) -> None:
        """Stop all processes of the child's group where they are; its clocks stand still."""
        if not self._exit.done() and self._reason is None:
            spawn.signal_group(self.pid, signal.SIGSTOP)
            self._clocks.pause(self._loop.time())
            self._wake.set()

    def resume(self) -> None:
        if not self._exit.done():
            self._clocks.resume(self._loop.time())
            spawn.signal_group(self.pid, signal.SIGCONT)
            self._wake.set()

    async def stop(self) -> Outcome:
        """End the child: SIGTERM, and after `limits.stop_grace_seconds` SIGKILL, to the whole group.

        A child that has ended already keeps the outcome that it had.
        """
        self._end(Ended.STOPPED)
        return await asyncio.shield(self._outcome)

    def kill(self) -> None:
        """End the whole group at once, without grace; `wait` or `stop` tells when it has ended."""
        self._end(Ended.STOPPED)
        if not self._exit.done():
            spawn.signal_group(self.pid, signal.SIGKILL)

    def _end(self, reason: Ended) -> None:
        if self._reason is None and not self._exit.done():
            self._reason = reason
            self._wake.set()

    async def _supervise(self) -> Outcome:
        """A child that cannot be watched any more (its disk does not answer, say) is not left to itself."""
        try:
            return await self._watch()
        except BaseException:
            self.kill()
            await asyncio.wait({self._exit})
            raise

    async def _watch(self) -> Outcome:
        pipes = await self._open_pipes()
        polled = self._loop.time()
        while not self._exit.done() and self._reason is None:
            now = self._loop.time()
            until = polled + POLL_SECONDS
            if (deadline := self._clocks.deadline()) is not None:
                until = min(until, deadline)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(until - now, 0)):
                    await self._wake.wait()
            self._wake.clear()
            now = self._loop.time()
            if breach := self._clocks.breach(now):
                self._end(breach)
            elif now - polled >= POLL_SECONDS:
                polled = now
                await self._look()
        if not self._exit.done():
            await self._terminate()
        exited = await self._exit
        running = self._clocks.running_seconds(self._loop.time())
        if self._reason is None and exited.exit_code != 0 and self._confinement and self._confinement.killed():
            self._reason = Ended.MEMORY_LIMIT
        await self._drain(pipes)
        return Outcome(
            ended=self._reason or Ended.EXITED,
            exit_code=exited.exit_code,
            signal=exited.signal,
            wall_seconds=running,
            cpu_seconds=exited.cpu_seconds,
            max_rss_bytes=self._peak(exited),
            log=self._ring.text(),
            read_bytes=exited.read_bytes,
            written_bytes=exited.written_bytes,
        )

    async def _look(self) -> None:
        self._peak_rss = max(self._peak_rss, spawn.peak_rss_bytes(self.pid))
        if self._confinement is not None and self._confinement.grown(self.pid, self.command.limits):
            self._end(Ended.MEMORY_LIMIT)
        if self.command.limits.watch and (breach := await asyncio.to_thread(disk.breach, self.command.limits)):
            self._end(breach)

    async def _terminate(self) -> None:
        """FFmpeg can ignore SIGTERM when it is stuck, and nothing hears it while stopped: TERM, CONT, wait, KILL."""
        spawn.signal_group(self.pid, signal.SIGTERM)
        spawn.signal_group(self.pid, signal.SIGCONT)
        done, _ = await asyncio.wait({self._exit}, timeout=self.command.limits.stop_grace_seconds)
        if not done:
            spawn.signal_group(self.pid, signal.SIGKILL)
            await asyncio.wait({self._exit})

    async def _open_pipes(self) -> _Pipes:
        process, log = self._process, BytesPipe(self._hear)
        if self._lines is None:
            return [(log, await read_pipe(process.stdout, log))]
        return [
            (log, await read_pipe(process.stderr, log)),
            (self._lines, await read_pipe(process.stdout, self._lines)),
        ]

    def _hear(self, data: bytes) -> None:
        self._ring.feed(data)
        if self._words:
            if self._words in (heard := self._heard + data):
                self._clocks.doom(self._loop.time(), _LAST_SECONDS)
                self._wake.set()
            self._heard = heard[-len(self._words) :]

    async def _drain(self, pipes: _Pipes) -> None:
        """Read what is left. A process that left the group may hold a pipe open for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                for pipe, _ in pipes:
                    await pipe.closed.wait()
        for _, transport in pipes:
            transport.close()

    def _peak(self, exited: spawn.Exit) -> int:
        """ru_maxrss starts at *our* size (the kernel counts the vforked child before its exec), so only above that is it the
        child's own. Below, the last sample counts; for a child too short to be sampled ru_maxrss is an upper bound, and so is the
        peak of its control group."""
        if exited.max_rss_bytes > spawn.own_peak_rss_bytes():
            return exited.max_rss_bytes
        group = self._confinement.group if self._confinement else None
        bound = group.peak_bytes() if group else None
        return self._peak_rss or min(exited.max_rss_bytes, bound or exited.max_rss_bytes)


async def start(
    command: Command,
    *,
    on_line: Callable[[str], None] | None = None,
    sandbox: Sandbox = OFF,
    confinement: Confinement | None = None,
) -> Child:
    """Start a child as the leader of its own session and process group, without stdin.

    Lines of stdout go to `on_line`, or into the log when there is none. Call it from the event loop's thread (see `spawn`).
    Without a confinement nobody holds its limits of CPU and memory. Raises TaskError(encoder_unavailable) when the program is not
    there, OSError when a limit cannot be set.
    """
    command = sandbox.wrap(command)
    if confinement is not None:
        command = confinement.enter(command)
    stderr = subprocess.PIPE if on_line else subprocess.STDOUT
    process = spawn.popen(command, stdout=subprocess.PIPE, stderr=stderr)
    return Child(command, process, on_line, confinement)


async def to_end(command: Command, *, on_line: Callable[[str], None] | None = None, sandbox: Sandbox = OFF) -> Outcome:
    """Run a command to its end. Being cancelled ends the child first."""
    child = await start(command, on_line=on_line, sandbox=sandbox)
    try:
        return await child.wait()
    except BaseException:
        await asyncio.shield(child.stop())
        raise
