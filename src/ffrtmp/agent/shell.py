"""Executes the session's effects: calls, tasks, timers. It decides nothing."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from ffrtmp.agent import messages as m
from ffrtmp.agent.session import Config, Session
from ffrtmp.agent.task import Kit, Task
from ffrtmp.client.client import Client
from ffrtmp.domain import errors, job
from ffrtmp.protocol import agent
from ffrtmp.telemetry import logs, metrics

_log = logs.get("agent")


def clock() -> float:
    """Seconds that go on while the machine sleeps: a lease does too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Shell:
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
        self._client = client
        self._register = register
        self._registry = registry
        self._on_registered = on_registered
        self._node_id = ""
        self._session = Session(config, rng)
        self._tasks: dict[str, Task] = {}
        self._granted_at: dict[str, float] = {}
        self._lost: set[str] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._poll: asyncio.Task[None] | None = None
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
            for task in self._tasks.values():
                task.kill(now=True)
            for task in list(self._tasks.values()):
                await task.wait()
            for call in list(self._calls):
                call.cancel()
            if self._calls:
                await asyncio.wait(self._calls)

    def stop(self, grace_seconds: float) -> None:
        self.feed(m.StopRequested(grace_seconds))

    def feed(self, event: m.Event) -> None:
        """Tell the session, and do what it says."""
        if isinstance(event, m.TaskEnded):
            self._count(event)
        for effect in self._session.step(clock(), event):
            self._act(effect)
        self._registry.gauge("ffrtmp_worker_active_jobs").set(self._session.active)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._session.deadline()
        if deadline is not None and not self._exit.done():
            self._timer = self._loop.call_later(max(deadline - clock(), 0.0), self.feed, m.Tick())

    def _act(self, effect: m.Effect) -> None:
        match effect:
            case m.StartTask(grant):
                self._granted_at[grant.attempt_id] = time.monotonic()
                _log.info("task", job=grant.sequence_number, attempt_id=grant.attempt_id, try_number=grant.number)
                self._tasks[grant.attempt_id] = self._begin(grant)
            case m.KillTask(attempt_id, now):
                self._lost |= {attempt_id} if now else set()
                self._with(attempt_id, lambda task: task.kill(now=now))
            case m.PauseTask(attempt_id):
                self._with(attempt_id, Task.pause)
            case m.ResumeTask(attempt_id):
                self._with(attempt_id, Task.resume)
            case m.AllowPublish(attempt_id):
                self._with(attempt_id, Task.allow_publish)
            case m.SendRegister(incarnation):
                self._call(lambda: self._send_register(incarnation), m.CallFailed("register", m.Trouble.AWAY))
            case m.SendLease(node_id, request):
                self._poll = self._call(
                    lambda: self._send_lease(node_id, request),
                    m.CallFailed("lease", m.Trouble.AWAY, request_id=request.request_id),
                )
            case m.AbortLease():
                if self._poll is not None:
                    self._poll.cancel()
            case m.SendBeat(number, node_id, beat, timeout):
                self._call(
                    lambda: self._send_beat(number, node_id, beat, timeout),
                    m.CallFailed("beat", m.Trouble.AWAY, number=number),
                )
            case m.SendReport(number, attempt_id, report, timeout):
                self._call(
                    lambda: self._send_report(number, attempt_id, report, timeout),
                    m.CallFailed("report", m.Trouble.AWAY, attempt_id=attempt_id, number=number),
                )
            case m.Note(level, event, detail):
                getattr(_log, level)(event, **detail)
            case m.Exit():
                if not self._exit.done():
                    self._exit.set_result(effect)

    def _begin(self, grant: job.Grant) -> Task:
        assert self.kit is not None
        return Task(grant, self.kit, tell=self.feed, may_publish=self.may_publish)

    def may_publish(self, attempt_id: str) -> bool:
        """Asked in the instant before a rename."""
        return self._session.may_publish(attempt_id, clock())

    def _with(self, attempt_id: str, do: Callable[[Task], None]) -> None:
        if task := self._tasks.get(attempt_id):
            do(task)

    # calls

    def _call(self, sending: Callable[[], Awaitable[m.Event]], failed: m.CallFailed) -> asyncio.Task[None]:
        async def send() -> None:
            try:
                event = await sending()
            except errors.FfrtmpError as error:
                retry_after = error.retry_after_seconds if isinstance(error, errors.Unavailable) else None
                event = msgspec.structs.replace(
                    failed, trouble=trouble(failed.call, error), detail=error.message, retry_after=retry_after
                )
            except Exception as error:  # noqa: BLE001 - a fault of ours in one call must not end the agent
                _log.exception("a call broke", call=failed.call)
                event = msgspec.structs.replace(failed, detail=f"{type(error).__name__}: {error}")
            self.feed(event)

        call = asyncio.create_task(send(), name=failed.call)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return call

    async def _send_register(self, incarnation: str) -> m.Event:
        reply = await self._client.register(msgspec.structs.replace(self._register, incarnation=incarnation))
        self._node_id = reply.id
        self._on_registered(reply)
        return m.Registered(reply)

    async def _send_lease(self, node_id: str, request: agent.LeaseRequest) -> m.Event:
        return m.Leased(request.request_id, await self._client.lease(node_id, request))

    async def _send_beat(self, number: int, node_id: str, beat: agent.Beat, timeout: float) -> m.Event:
        reply = await self._client.beat(node_id, beat, timeout=timeout)
        self._registry.counter("ffrtmp_worker_heartbeat_total").inc()
        return m.BeatAcked(number, reply)

    async def _send_report(self, number: int, attempt_id: str, report: m.Report, timeout: float) -> m.Event:
        match report:
            case agent.Publish():
                await self._client.publish(attempt_id, report, timeout=timeout)
            case agent.Complete():
                await self._client.complete(attempt_id, report, timeout=timeout)
            case agent.Fail():
                await self._client.fail(attempt_id, report, timeout=timeout)
            case agent.GiveBack():
                await self._client.give_back(attempt_id, report, timeout=timeout)
        return m.ReportTaken(number, attempt_id)

    # what tasks need of the master

    async def fetch(self, upload_id: str, dest: Path, on_progress: Callable[[int, int], None]) -> str:
        return (await self._client.download_upload(upload_id, dest, on_progress=on_progress)).name

    async def store(self, path: Path, name: str, sha256: str, on_progress: Callable[[int, int], None]) -> str:
        return (await self._client.upload(path, name=name, sha256=sha256, on_progress=on_progress)).id

    async def put_log(self, attempt_id: str, text: str) -> None:
        logs_message = agent.Logs(node_id=self._node_id, incarnation=self._session.incarnation, text=text)
        await self._client.put_log(attempt_id, logs_message)

    def _count(self, ended: m.TaskEnded) -> None:
        self._tasks.pop(ended.attempt_id, None)
        took = time.monotonic() - self._granted_at.pop(ended.attempt_id, time.monotonic())
        outcome = "lost" if ended.attempt_id in self._lost else "stopped"
        if ended.failure is not None or ended.result is not None:
            outcome = ended.failure.code.value if ended.failure else "completed"
        self._lost.discard(ended.attempt_id)
        self._registry.counter("ffrtmp_worker_jobs_total", outcome).inc()
        self._registry.histogram("ffrtmp_worker_job_duration_seconds").observe(took)
        _log.info("task ended", attempt_id=ended.attempt_id, outcome=outcome, seconds=f"{took:.2f}")


def trouble(call: str, error: errors.FfrtmpError) -> m.Trouble:
    """What a refused call means for the session."""
    if isinstance(error, errors.Unavailable):
        return m.Trouble.AWAY
    if isinstance(error, errors.Unauthenticated | errors.Forbidden):
        return m.Trouble.UNAUTHENTICATED
    if isinstance(error, errors.Conflict | errors.NotFound):
        if call == "report":
            return m.Trouble.CONFLICT
        return (
            m.Trouble.STALE
            if isinstance(error, errors.NotFound) or error.code == "stale_incarnation"
            else m.Trouble.REFUSED
        )
    if type(error) is errors.FfrtmpError:
        return m.Trouble.AWAY  # a 500, or something that is no answer of a master
    return m.Trouble.REFUSED
