"""What the parts of one attempt share: its work, its log, what it has made so far, and whether it may go on."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ffrtmp.agent import messages as m
from ffrtmp.agent.kit import Kit
from ffrtmp.agent.log import AttemptLog
from ffrtmp.agent.usage import Usage
from ffrtmp.domain import errors
from ffrtmp.domain.command import Command
from ffrtmp.domain.job import Grant, OutputFile, Progress, Result
from ffrtmp.domain.spec import Spec
from ffrtmp.media.progress import ALMOST
from ffrtmp.process import run
from ffrtmp.process.clocks import Clocks
from ffrtmp.process.confine import Confinement
from ffrtmp.runtime.threads import ended
from ffrtmp.telemetry import logs

_log = logs.get("task")
_LOG_SECONDS = 5.0
_BEFORE_THE_ENCODE = ("fetch", "search")


class Attempt:
    """`tell` hands events to the session, `may_publish` is asked from another thread just before the rename, `holds` before each
    piece of a stream: whether the lease lasts."""

    def __init__(
        self,
        grant: Grant,
        kit: Kit,
        *,
        tell: Callable[[m.Event], None],
        may_publish: Callable[[str], bool],
        holds: Callable[[str], bool],
    ) -> None:
        self.grant = grant
        self.work = grant.spec
        self.kit = kit
        self.tell = tell
        self.may_publish = may_publish
        self.holds = holds
        self.granted_at = time.monotonic()
        self.clocks = Clocks(self.granted_at, wall_seconds=None, stall_seconds=None)
        self.running = asyncio.Event()  #: cleared while paused
        self.running.set()
        self.allowed = asyncio.Event()  #: to publish
        self.stopped = threading.Event()  #: for threads that read for long
        self.silent = False  #: lost: not even its log is sent
        self.log = AttemptLog()
        self.made = Result()
        self.metrics: dict[str, Any] = {}
        self.child: run.Child | None = None
        self._confinement: Confinement | None = None
        self._usage = Usage()
        self._percent: float | None = None

    @property
    def id(self) -> str:
        return self.grant.attempt_id

    @property
    def spec(self) -> Spec:
        """What an encode is to make."""
        assert isinstance(self.work, Spec)
        return self.work

    @property
    def threads(self) -> int | None:
        """Of an engine: more than its CPU limit has room for would only wait for each other. None: its own choice."""
        percent = self.work.limits.max_cpu_percent
        most = None if percent is None else -(-percent // 100)
        return min((count for count in (most, self.kit.threads) if count is not None), default=None)

    # what the session asks for

    def kill(self, *, now: bool) -> None:
        if now:
            self.silent = True
            if self.child is not None:
                self.child.kill()
        self.stopped.set()

    def pause(self) -> None:
        self.running.clear()
        self.clocks.pause(time.monotonic())
        if self.child is not None:
            self.child.pause()

    def resume(self) -> None:
        self.running.set()
        self.clocks.resume(time.monotonic())
        if self.child is not None:
            self.child.resume()

    # what it does

    def ran_seconds(self) -> float:
        """Since it was granted, pauses left out."""
        return self.clocks.running_seconds(time.monotonic())

    def note_made(self, **found: Any) -> None:
        """Fields of the result, as they become known."""
        self.made = msgspec.structs.replace(self.made, **found)

    async def run(self, command: Command, on_line: Callable[[str, run.Child], None]) -> run.Outcome:
        """A child process from its start to its end, in step with pauses; being cancelled ends it first."""
        await self.running.wait()
        confinement = self._confined(command)
        self.log.command(command.argv)
        child = self.child = await run.start(
            command,
            on_line=lambda line: on_line(line, child),
            sandbox=self.kit.sandbox,
            confinement=confinement,
        )
        if "dispatch_seconds" not in self.metrics:
            self.metrics["dispatch_seconds"] = round(time.monotonic() - self.granted_at, 4)
            self.tell(m.TaskStarted(self.id))
        if not self.running.is_set():
            child.pause()
        measured = self.kit.meters.begin(self.id)
        try:
            outcome = await child.wait()
        except BaseException:
            if self.silent:
                child.kill()
            stopping = asyncio.ensure_future(child.stop())
            await ended(stopping)
            self.log.outcome(command.name, stopping.result())
            raise
        finally:
            self.child = None
            energy = self.kit.meters.end(measured)
        self.log.outcome(command.name, outcome)
        group = confinement.group
        self._usage.add(outcome, energy, group_cpu_seconds=group.cpu_seconds() if group else None)
        self.note_made(**self._usage.fields())
        return outcome

    def _confined(self, command: Command) -> Confinement:
        """What holds all commands of this attempt; made for the first of them."""
        if self._confinement is None:
            self._confinement = self.kit.limiter.attempt(self.id)
            if told := self.kit.limiter.means.told(command.limits):
                self.log.note(told)
        return self._confinement

    async def release(self) -> None:
        """After its last command: nothing that it started is left."""
        if self._confinement is not None:
            await self._confinement.close()

    # what is told

    def result(self, *outputs: OutputFile) -> Result:
        return msgspec.structs.replace(self.made, outputs=list(outputs), metrics=self.metrics)

    def progress(self, found: Progress) -> None:
        self._percent = found.percent
        self.tell(m.TaskProgress(self.id, found))

    def phase(self, phase: str) -> None:
        self.tell(m.TaskProgress(self.id, Progress(percent=None if self._percent is None else ALMOST, phase=phase)))

    def moved(self, phase: str) -> Callable[[int, int], None]:
        """Progress of a transfer: as percent while nothing is encoded, else as its phase only."""

        def moved(done: int, size: int) -> None:
            percent = 0.0 if phase in _BEFORE_THE_ENCODE else ALMOST
            self.tell(
                m.TaskProgress(self.id, Progress(percent=percent, phase=f"{phase} {100 * done // max(size, 1)}%"))
            )

        return moved

    async def send_log(self) -> None:
        try:
            async with asyncio.timeout(_LOG_SECONDS):
                await self.kit.master.put_log(self.id, self.log.text())
        except (errors.FfrtmpError, TimeoutError) as error:
            _log.warning("the attempt's log could not be sent", attempt_id=self.id, why=str(error))
