"""Executes the session's effects: one match over them. What a task is and how a call reaches a master is its heirs' affair."""

import abc
import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import msgspec

from ffrtmp.agent import messages as m
from ffrtmp.domain import errors
from ffrtmp.domain.job import Grant
from ffrtmp.protocol import agent


class Task(Protocol):
    """One attempt that runs. It tells the executor how it goes by `feed`."""

    def kill(self, *, now: bool) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def allow_publish(self) -> None: ...


T = TypeVar("T", bound=Task)


class Executor(abc.ABC, Generic[T]):
    def __init__(self) -> None:
        self.tasks: dict[str, T] = {}  #: by attempt
        self._calls: dict[asyncio.Task[None], None] = {}  #: under way, in their order
        self._poll: asyncio.Task[None] | None = None

    @abc.abstractmethod
    def feed(self, event: m.Event) -> None:
        """Tell the session, and execute what it says."""

    @abc.abstractmethod
    def start_task(self, grant: Grant) -> T: ...

    @abc.abstractmethod
    def exit(self, effect: m.Exit) -> None: ...

    @abc.abstractmethod
    def note(self, note: m.Note) -> None: ...

    @abc.abstractmethod
    def broken(self, failed: m.CallFailed, error: Exception) -> m.Event:
        """A call ended by a fault of ours: what the session hears of it."""

    # calls with the master. Each raises FfrtmpError.

    @abc.abstractmethod
    async def send_register(self, incarnation: str) -> agent.Registered: ...

    @abc.abstractmethod
    async def send_lease(self, node_id: str, request: agent.LeaseRequest) -> agent.LeaseReply: ...

    @abc.abstractmethod
    async def send_beat(self, node_id: str, beat: agent.Beat, timeout: float) -> agent.BeatReply: ...

    @abc.abstractmethod
    async def send_report(self, attempt_id: str, report: m.Report, timeout: float) -> None: ...

    def act(self, effect: m.Effect) -> None:
        match effect:
            case m.StartTask(grant):
                self.tasks[grant.attempt_id] = self.start_task(grant)
            case m.KillTask(attempt_id, now):
                self._with(attempt_id, lambda task: task.kill(now=now))
            case m.PauseTask(attempt_id):
                self._with(attempt_id, lambda task: task.pause())
            case m.ResumeTask(attempt_id):
                self._with(attempt_id, lambda task: task.resume())
            case m.AllowPublish(attempt_id):
                self._with(attempt_id, lambda task: task.allow_publish())
            case m.SendRegister(incarnation):
                self._call(lambda: self._register(incarnation), m.CallFailed("register", m.Trouble.AWAY))
            case m.SendLease(node_id, request):
                self._poll = self._call(
                    lambda: self._lease(node_id, request),
                    m.CallFailed("lease", m.Trouble.AWAY, request_id=request.request_id),
                )
            case m.AbortLease():
                if self._poll is not None:
                    self._poll.cancel()
            case m.SendBeat(number, node_id, beat, timeout):
                self._call(
                    lambda: self._beat(number, node_id, beat, timeout),
                    m.CallFailed("beat", m.Trouble.AWAY, number=number),
                )
            case m.SendReport(number, attempt_id, report, timeout):
                self._call(
                    lambda: self._report(number, attempt_id, report, timeout),
                    m.CallFailed("report", m.Trouble.AWAY, attempt_id=attempt_id, number=number),
                )
            case m.Note():
                self.note(effect)
            case m.Exit():
                self.exit(effect)

    def _with(self, attempt_id: str, do: Callable[[T], None]) -> None:
        if task := self.tasks.get(attempt_id):
            do(task)

    def _call(self, sending: Callable[[], Awaitable[m.Event]], failed: m.CallFailed) -> asyncio.Task[None]:
        async def send() -> None:
            try:
                event = await sending()
            except errors.FfrtmpError as error:
                retry_after = error.retry_after_seconds if isinstance(error, errors.Unavailable) else None
                event = msgspec.structs.replace(
                    failed, trouble=trouble(failed.call, error), detail=error.message, retry_after=retry_after
                )
            except Exception as error:  # noqa: BLE001 - what becomes of it is for the heir to say
                event = self.broken(failed, error)
            self.feed(event)

        call = asyncio.create_task(send(), name=failed.call)
        self._calls[call] = None
        call.add_done_callback(self._calls.pop)
        return call

    async def _register(self, incarnation: str) -> m.Event:
        return m.Registered(await self.send_register(incarnation))

    async def _lease(self, node_id: str, request: agent.LeaseRequest) -> m.Event:
        return m.Leased(request.request_id, await self.send_lease(node_id, request))

    async def _beat(self, number: int, node_id: str, beat: agent.Beat, timeout: float) -> m.Event:
        return m.BeatAcked(number, await self.send_beat(node_id, beat, timeout))

    async def _report(self, number: int, attempt_id: str, report: m.Report, timeout: float) -> m.Event:
        await self.send_report(attempt_id, report, timeout)
        return m.ReportTaken(number, attempt_id)


def trouble(call: str, error: errors.FfrtmpError) -> m.Trouble:
    """What a refused call means for the session."""
    if isinstance(error, errors.Unavailable):
        return m.Trouble.AWAY
    if isinstance(error, errors.Unauthenticated | errors.Forbidden):
        return m.Trouble.UNAUTHENTICATED
    if isinstance(error, errors.Conflict | errors.NotFound):
        if call == "report":
            return m.Trouble.CONFLICT
        if error.code == "name_taken":
            return m.Trouble.TAKEN
        if error.code == "superseded":
            return m.Trouble.AWAY  # what is sent next began later
        return (
            m.Trouble.STALE
            if isinstance(error, errors.NotFound) or error.code == "stale_incarnation"
            else m.Trouble.REFUSED
        )
    if type(error) is errors.FfrtmpError:
        return m.Trouble.AWAY  # a 500, or something that is no answer of a master
    return m.Trouble.REFUSED
