"""What the model knows of jobs, tasks, attempts, nodes and uploads."""

from collections import Counter
from typing import Any

import msgspec

from ffrtmp.domain import job, states
from ffrtmp.domain.errors import Code
from ffrtmp.domain.states import AttemptState, JobState, TaskState


class Attempt(msgspec.Struct, kw_only=True):
    id: str
    task: "Task"
    node_id: str
    incarnation: str
    number: int
    assigned_at: int
    expires_at: int
    renewable_until: int | None  #: by a beat that names no attempts
    state: AttemptState = AttemptState.ASSIGNED
    paused: bool = False  #: as the agent says
    progress: job.Progress | None = None
    started_at: int | None = None
    finished_at: int | None = None
    failure: Code | None = None
    result: job.Result | None = None
    outputs: list[job.OutputFile] | None = None  #: what it was about to publish
    log: str | None = None
    excused: bool = False  #: it was lost, and its agent lives

    @property
    def live(self) -> bool:
        return self.state not in states.ATTEMPT_TERMINAL

    @property
    def lost(self) -> bool:
        return self.state is AttemptState.LOST


class Task(msgspec.Struct, kw_only=True):
    id: str
    of: "Job"
    position: int
    class_key: str
    waits_for: set[int]  #: positions of tasks that are not done yet
    state: TaskState
    ready_at: int
    sort_key: int
    failures: int = 0
    crashes: int = 0
    run_at: int | None = None
    attempts: list[Attempt] = []

    @property
    def over(self) -> bool:
        return self.state in states.TASK_TERMINAL


class Job(msgspec.Struct, kw_only=True):
    new: job.NewJob
    seq: int
    created_at: int
    tasks: list[Task] = []
    state: JobState = JobState.QUEUED
    told: JobState = JobState.QUEUED  #: by the latest event
    paused: bool = False
    cancel_requested: bool = False
    retries: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    node_id: str | None = None
    failure: Code | None = None
    result: job.Result | None = None
    uploads: set[str] = set()

    @property
    def id(self) -> str:
        return self.new.id

    @property
    def over(self) -> bool:
        return self.state in states.JOB_TERMINAL

    @property
    def held(self) -> bool:
        """Nothing of it may start."""
        return self.over or self.paused or self.cancel_requested

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for task in self.tasks for attempt in task.attempts]

    @property
    def live(self) -> list[Attempt]:
        """In the order of their ids, in which those that are lost together are counted."""
        return sorted((attempt for attempt in self.attempts if attempt.live), key=lambda attempt: attempt.id)


class Node(msgspec.Struct, kw_only=True):
    id: str
    name: str
    incarnation: str
    origin: str
    began_us: int
    slots: int
    ttl_us: int
    heartbeat_interval_us: int
    last_heartbeat: int
    draining: bool = False  #: a person asked
    stopping: bool = False  #: the agent asked
    silent: bool = False  #: its silence was noted
    removed: bool = False
    credential: str = ""


class Upload(msgspec.Struct, kw_only=True):
    id: str
    created_at: int
    complete: bool = False


class Tally(msgspec.Struct):
    """What happened, counted."""

    engines: Counter[str] = msgspec.field(default_factory=Counter)
    failures: Counter[Code] = msgspec.field(default_factory=Counter)
    retries: int = 0
    lease_expiries: int = 0


class Said(msgspec.Struct, frozen=True, order=True):
    """An event: what must be in the history."""

    kind: str
    job_id: str = ""
    task_id: str = ""
    attempt_id: str = ""
    node_id: str = ""
    data: str = "{}"


def said(kind: job.EventKind, data: dict[str, Any] | None = None, **about: str) -> Said:
    return Said(kind=kind.value, data=as_text(data or {}), **about)


def as_text(data: Any) -> str:
    """The same text for equal values."""
    return msgspec.json.encode(data, order="deterministic").decode()
