"""One agent: the session with a real clock, real tasks and a client. It decides nothing."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ffrtmp.agent import messages as m
from ffrtmp.agent.executor import Executor
from ffrtmp.agent.kit import Kit
from ffrtmp.agent.moves import Config
from ffrtmp.agent.session import Session
from ffrtmp.agent.task import Task
from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.domain.job import Grant
from ffrtmp.protocol import agent
from ffrtmp.telemetry import logs, metrics

_log = logs.get("agent")


def clock() -> float:
    """Seconds that go on while the machine sleeps: a lease does too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Shell(Executor[Task]):
    """One agent's life between `run` and its exit code."""

    def __init__(
        self,
        config: Config,
        client: Client,
        register: agent.Register,
        registry: metrics.Registry,
        rng: random.Random,
        *,
        on_registered: Callable[[agent.Registered], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self._client = client
        self._register_as = register
        self._registry = registry
        self._on_registered = on_registered
        self._node_id = ""
        self._began = ("", 0)  #: the incarnation that registers, and when it began, in µs since the machine started
        self._session = Session(config, rng)
        self._granted_at: dict[str, float] = {}
        self._lost: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[m.Exit] = self._loop.create_future()
        self.kit: Kit | None = None

    @property
    def registered(self) -> bool:
        return self._session.registered

    async def run(self) -> m.Exit:
        """Until the session says so; then nothing of it is left."""
        self.feed(m.Tick())
        try:
            return await self._exit
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in self.tasks.values():
                task.kill(now=True)
            for task in list(self.tasks.values()):
                await task.wait()
            for call in list(self._calls):
                call.cancel()
            if self._calls:
                await asyncio.wait(self._calls)

    def stop(self, grace_seconds: float) -> None:
        self.feed(m.StopRequested(grace_seconds))

    def feed(self, event: m.Event) -> None:
        if isinstance(event, m.TaskEnded):
            self._count(event)
        for effect in self._session.step(clock(), event):
            self.act(effect)
        self._registry.gauge("ffrtmp_worker_active_jobs").set(self._session.active)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._session.deadline()
        if deadline is not None and not self._exit.done():
            self._timer = self._loop.call_later(max(deadline - clock(), 0.0), self.feed, m.Tick())

    def act(self, effect: m.Effect) -> None:
        if isinstance(effect, m.StartTask):
            grant = effect.grant
            self._granted_at[grant.attempt_id] = time.monotonic()
            _log.info("task", job=grant.sequence_number, attempt_id=grant.attempt_id, try_number=grant.number)
        elif isinstance(effect, m.KillTask) and effect.now:
            self._lost.add(effect.attempt_id)
        super().act(effect)

    def start_task(self, grant: Grant) -> Task:
        assert self.kit is not None
        return Task(grant, self.kit, tell=self.feed, may_publish=self.may_publish, holds=self.holds)

    def may_publish(self, attempt_id: str) -> bool:
        """Asked in the instant before a rename."""
        return self._session.may_publish(attempt_id, clock())

    def holds(self, attempt_id: str) -> bool:
        return self._session.holds(attempt_id, clock())

    def exit(self, effect: m.Exit) -> None:
        if not self._exit.done():
            self._exit.set_result(effect)

    def note(self, note: m.Note) -> None:
        getattr(_log, note.level)(note.event, **note.detail)

    def broken(self, failed: m.CallFailed, error: Exception) -> m.Event:
        """It must not end the agent."""
        _log.error("a call broke", call=failed.call, exc_info=error)
        return msgspec.structs.replace(failed, detail=f"{type(error).__name__}: {error}")

    # calls

    async def send_register(self, incarnation: str) -> agent.Registered:
        if self._began[0] != incarnation:
            self._began = incarnation, int(clock() * 1e6)  # an origin is of one boot: this only goes forward
        asked = msgspec.structs.replace(self._register_as, incarnation=incarnation, began_us=self._began[1])
        try:
            reply = await self._client.register(asked)
        except errors.Conflict as error:
            if error.code == "superseded" and (error.state or "").isdecimal():
                # this machine was set back to an earlier state of itself
                self._began = incarnation, int(error.state or "0") + 1
            raise
        self._node_id = reply.id
        self._on_registered(reply)
        return reply

    async def send_lease(self, node_id: str, request: agent.LeaseRequest) -> agent.LeaseReply:
        return await self._client.lease(node_id, request)

    async def send_beat(self, node_id: str, beat: agent.Beat, timeout: float) -> agent.BeatReply:
        reply = await self._client.beat(node_id, beat, timeout=timeout)
        self._registry.counter("ffrtmp_worker_heartbeat_total").inc()
        return reply

    async def send_report(self, attempt_id: str, report: m.Report, timeout: float) -> None:
        match report:
            case agent.Publish():
                await self._client.publish(attempt_id, report, timeout=timeout)
            case agent.Complete():
                await self._client.complete(attempt_id, report, timeout=timeout)
            case agent.Fail():
                await self._client.fail(attempt_id, report, timeout=timeout)
            case agent.GiveBack():
                await self._client.give_back(attempt_id, report)

    # what tasks need of the master

    async def fetch(self, upload_id: str, dest: Path, on_progress: Callable[[int, int], None]) -> str:
        return (await self._client.download_upload(upload_id, dest, on_progress=on_progress)).name

    async def store(self, path: Path, name: str, sha256: str, on_progress: Callable[[int, int], None]) -> str:
        return (await self._client.upload(path, name=name, sha256=sha256, on_progress=on_progress)).id

    async def put_log(self, attempt_id: str, text: str) -> None:
        logs_message = agent.Logs(node_id=self._node_id, incarnation=self._session.incarnation, text=text)
        await self._client.put_log(attempt_id, logs_message)

    def _count(self, ended: m.TaskEnded) -> None:
        self.tasks.pop(ended.attempt_id, None)
        took = time.monotonic() - self._granted_at.pop(ended.attempt_id, time.monotonic())
        outcome = "lost" if ended.attempt_id in self._lost else "stopped"
        if ended.failure is not None or ended.result is not None:
            outcome = ended.failure.code.value if ended.failure else "completed"
        self._lost.discard(ended.attempt_id)
        self._registry.counter("ffrtmp_worker_jobs_total", outcome).inc()
        self._registry.histogram("ffrtmp_worker_job_duration_seconds").observe(took)
        _log.info("task ended", attempt_id=ended.attempt_id, outcome=outcome, seconds=f"{took:.2f}")
