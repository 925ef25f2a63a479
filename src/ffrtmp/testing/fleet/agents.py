"""Agents that are real but for their work: the agent's shell and session, over a light wire, with attempts that only take time."""

import asyncio
import collections
import random
from array import array

from ffrtmp.agent import messages as m
from ffrtmp.agent.moves import Config
from ffrtmp.agent.shell import Shell
from ffrtmp.agent.task import Task
from ffrtmp.domain import node, spec
from ffrtmp.domain.errors import Failure
from ffrtmp.domain.job import Grant, OutputFile, Progress, Result
from ffrtmp.protocol import agent
from ffrtmp.telemetry import metrics
from ffrtmp.testing.fleet.plan import Plan
from ffrtmp.testing.fleet.wire import Calls, Wire

CAPABILITIES = node.Capabilities(
    engines={"ffmpeg": "9.0"},
    encoders=[node.Encoder(name="libx264", codec=spec.Codec.H264, engine=spec.Engine.FFMPEG, works=True)],
    media_roots=["/media"],
)
#: of a pretended file, which nobody reads
_SHA256 = "0" * 64


class Tally:
    """What all agents of a fleet saw. `changed` is set at each end of an attempt."""

    def __init__(self) -> None:
        self.registered = 0
        self.exits: list[m.Exit] = []  #: agents that ended, which none should
        self.ended: collections.Counter[str] = collections.Counter()  #: attempts: completed, or why not
        self.warnings: collections.Counter[str] = collections.Counter()  #: what an agent's log would have warned of
        self.seconds: dict[str, array[float]] = collections.defaultdict(lambda: array("d"))  #: by call
        self.changed = asyncio.Event()

    def took(self, call: str, seconds: float) -> None:
        self.seconds[call].append(seconds)


class PretendedTask(Task):
    """Takes so many seconds, then is "verified", "published" and done. It starts no process and touches no file."""

    def __init__(self, grant: Grant, shell: "PretendingShell", seconds: float) -> None:
        self._shell = shell
        self._seconds = seconds
        super().__init__(grant, None, tell=shell.feed, may_publish=shell.may_publish, holds=shell.holds)  # type: ignore[arg-type]

    async def _run(self) -> tuple[Result | None, Failure | None]:
        try:
            self.attempt.tell(m.TaskStarted(self.id))
            self.attempt.tell(m.TaskProgress(self.id, Progress(percent=0.0, phase="encode")))
            await asyncio.sleep(self._seconds)
            name = self.attempt.spec.output or ""
            made = OutputFile(name=name, size_bytes=1, sha256=_SHA256, path=f"/media/{name}")
            self.attempt.tell(m.PublishAsked(self.id, [made]))
            await self.attempt.allowed.wait()
            if not self.attempt.may_publish(self.id):
                return None, None
            await self._shell.put_log(self.id, "pretended\n")
        except asyncio.CancelledError:
            return None, None
        return Result(outputs=[made], engine=spec.Engine.FFMPEG, encoder="libx264", frames=30), None


class PretendingShell(Shell):
    """One agent of the fleet, for `run`."""

    def __init__(self, name: str, plan: Plan, wire: Wire, tally: Tally, rng: random.Random) -> None:
        config = Config(slots=1, poll_seconds=plan.poll_seconds, heartbeat_seconds=plan.heartbeat_seconds)
        register = agent.Register(
            name=name,
            cpu_threads=8,
            ram_total_bytes=8 << 30,
            capabilities=CAPABILITIES,
            slots=config.slots,
            heartbeat_interval_seconds=config.heartbeat_seconds,
        )
        self._plan = plan
        self._wire = wire
        self._tally = tally
        self._rng = rng
        calls = Calls(wire, tally.took)  # all that a client has for agents; these send no files
        super().__init__(config, calls, register, _REGISTRY, rng, on_registered=self._joined)  # type: ignore[arg-type]

    async def run(self) -> m.Exit:
        try:
            end = await super().run()
        finally:
            self._wire.close()
        self._tally.exits.append(end)
        self._tally.changed.set()
        return end

    def feed(self, event: m.Event) -> None:
        if isinstance(event, m.TaskEnded):
            self._tally.ended["completed" if event.result is not None else "stopped"] += 1
        super().feed(event)
        if isinstance(event, m.ReportTaken | m.TaskEnded):
            self._tally.changed.set()

    def _joined(self, _: agent.Registered) -> None:
        self._tally.registered += 1
        self._tally.changed.set()

    def note(self, note: m.Note) -> None:
        if note.level == "warning":
            self._tally.warnings[note.event] += 1
        super().note(note)

    def start_task(self, grant: Grant) -> Task:
        plan, rng = self._plan, self._rng
        between = plan.long_seconds if rng.random() < plan.long_share else plan.job_seconds
        return PretendedTask(grant, self, rng.uniform(*between))


#: one for all: nobody scrapes it
_REGISTRY = metrics.Registry(metrics.AGENT)
