"""Working copies of rows, held while a transaction has the job. Parameters of statements are read from their attributes."""

from typing import Any

import msgspec

from ffrtmp.domain import errors, states
from ffrtmp.domain.states import AttemptState, JobState, TaskState

JOB_STATES = {state.value: state for state in JobState}
TASK_STATES = {state.value: state for state in TaskState}
ATTEMPT_STATES = {state.value: state for state in AttemptState}


class Task(msgspec.Struct, gc=False):
    job_seq: int
    position: int
    id: str
    state: TaskState
    class_id: int
    sort_key: int
    ready_at: int
    pending_deps: int
    failures: int
    crashes: int
    attempts: int
    run_at: int | None
    own_payload: int
    was: TaskState = TaskState.QUEUED
    placed: tuple[str, int, int] | None = None  #: its row in `ready` or `delayed` as the database has it
    changed: bool = False
    updated_at: int = 0

    def move(self, target: TaskState) -> None:
        """Along the transition table only: the guard of the UPDATE is the state this was checked against."""
        if target not in states.TASK_TRANSITIONS[self.state]:
            raise AssertionError(f"task {self.id} may not go from {self.state} to {target}")
        self.state = target
        self.changed = True


class Job(msgspec.Struct):
    seq: int
    id: str
    state: JobState
    queue: str
    engine: str
    paused: int
    cancel_requested: int
    max_retries: int
    retry_count: int
    task_count: int
    head_start_us: int
    started_at: int | None
    finished_at: int | None
    node_id: str | None
    failure_text: str | None
    result_attempt: str | None
    was: JobState = JobState.QUEUED
    assigned: bool = False  #: its node changed
    updated_at: int = 0
    tasks: list[Task] = []  #: by position
    leases: list["Lease"] = []  #: of its live attempts

    @property
    def held(self) -> bool:
        """Its tasks have no rows in `ready` and `delayed`: nothing of it may start."""
        return bool(self.paused or self.cancel_requested) or self.over

    @property
    def over(self) -> bool:
        return self.state in states.JOB_TERMINAL


class Lease(msgspec.Struct, gc=False):
    attempt_id: str
    job_seq: int
    position: int
    task_id: str
    node_id: str
    incarnation: str
    number: int
    state: AttemptState
    paused: int
    expires_at: int
    progress: str | None = None
    renewable_until: int | None = None  #: by a beat that names no attempts; None: for ever
    at: int = 0
    was: AttemptState = AttemptState.ASSIGNED
    failure: str | None = None
    result: str | None = None

    def move(self, target: AttemptState) -> None:
        if target not in states.ATTEMPT_TRANSITIONS[self.state]:
            raise AssertionError(f"attempt {self.attempt_id} may not go from {self.state} to {target}")
        self.was = self.state
        self.state = target


class Node(msgspec.Struct, gc=False):
    id: str
    name: str
    incarnation: str
    draining: int
    stopping: int
    lost: int
    ttl_us: int
    last_heartbeat: int


class Event(msgspec.Struct, gc=False):
    at: int
    kind: str
    job_seq: int | None
    task_id: str | None
    attempt_id: str | None
    node_id: str | None
    data: str


class Count(msgspec.Struct, gc=False):
    name: str
    shard: int
    value: int


def job(row: Any) -> Job:
    made = Job(*row)
    made.state = made.was = JOB_STATES[row[2]]
    return made


def task(row: Any, *, held: bool) -> Task:
    made = Task(*row)
    made.state = made.was = TASK_STATES[row[3]]
    made.placed = placement(made, held=held)
    return made


def lease(row: Any) -> Lease:
    made = Lease(*row)
    made.state = made.was = ATTEMPT_STATES[row[7]]
    return made


def placement(task: Task, *, held: bool) -> tuple[str, int, int] | None:
    """Where a task stands in line: its row's table and key. The only rule by which `ready` and `delayed` are filled."""
    if held:
        return None
    if task.state is TaskState.QUEUED:
        return ("ready", task.class_id, task.sort_key)
    if task.state is TaskState.RETRYING and task.run_at is not None:
        return ("delayed", task.class_id, task.run_at)
    return None


def failure_text(failure: errors.Failure) -> str:
    return msgspec.json.encode(failure).decode()


def with_who(data: dict[str, Any], by: str) -> str:
    """An event's data, with who asked for it where that is known."""
    return json_text({**data, "by": by} if by else data)


def json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
