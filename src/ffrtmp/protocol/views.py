"""What the API answers: the domain's records with times as RFC 3339, under the names that users of the reference rely on.

Absent optionals are left out of the JSON. `status` and `state` of a job are the same word: the reference reads the one, we write
the other everywhere else.
"""

import datetime
import functools
from typing import Any, cast

import msgspec

from ffrtmp.domain import job as jobs
from ffrtmp.domain import node as nodes
from ffrtmp.domain.errors import Failure
from ffrtmp.domain.job import Progress, Result, Verdict
from ffrtmp.domain.spec import Metric
from ffrtmp.domain.states import JobState


class _View(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True): ...


class FailureView(_View, frozen=True):
    code: str
    failure_class: str
    message: str
    advice: str


class JobView(_View, frozen=True):
    id: str
    sequence_number: int
    state: str
    status: str
    scenario: str
    confidence: str
    engine: str
    queue: str
    priority: str
    parameters: dict[str, Any]
    created_at: str
    updated_at: str
    retry_count: int
    max_retries: int
    progress: int  #: percent, whole
    started_at: str | None = None
    completed_at: str | None = None
    node_id: str | None = None
    node_name: str | None = None
    progress_detail: Progress | None = None
    cancel_requested: bool = False
    tags: dict[str, str] = {}
    retry_of: str | None = None
    failure: FailureView | None = None
    failure_reason: str = ""  #: the failure's message, where the reference's CLI looks
    result: Result | None = None


class JobPage(_View, frozen=True):
    jobs: list[JobView]
    count: int  #: jobs in this answer
    next_cursor: str | None = None


class BatchView(_View, frozen=True):
    jobs: list[JobView]
    count: int


class TaskView(_View, frozen=True):
    id: str
    job_id: str
    kind: str
    state: str
    class_id: int
    pending_dependencies: int
    failures: int
    crashes: int
    created_at: str
    updated_at: str
    run_at: str | None = None


class AttemptView(_View, frozen=True):
    id: str
    task_id: str
    number: int
    state: str
    node_id: str
    node_name: str
    assigned_at: str
    started_at: str | None = None
    finished_at: str | None = None
    failure: FailureView | None = None
    result: Result | None = None


class TasksView(_View, frozen=True):
    """`GET /jobs/{id}/tasks`"""

    tasks: list[TaskView]
    attempts: list[AttemptView]


class EventView(_View, frozen=True):
    seq: int
    at: str
    kind: str
    data: dict[str, Any]
    job_id: str | None = None
    task_id: str | None = None
    attempt_id: str | None = None
    node_id: str | None = None


class EventsView(_View, frozen=True):
    events: list[EventView]
    count: int
    next_cursor: str | None = None


class AttemptLog(_View, frozen=True):
    attempt_id: str
    number: int
    node_name: str
    text: str


class LogsView(_View, frozen=True):
    """`GET /jobs/{id}/logs`: `logs` is all attempts' text in order, as the reference has it."""

    job_id: str
    logs: str
    attempts: list[AttemptLog] = []


class OutputView(_View, frozen=True):
    """`url` is there for what the artifact store holds; `path` and `node_name` for a file on a node."""

    name: str
    size_bytes: int
    sha256: str
    url: str | None = None
    path: str | None = None
    node_name: str | None = None


class OutputsView(_View, frozen=True):
    job_id: str
    outputs: list[OutputView]
    verdict: Verdict | None = None


class NodeFit(_View, frozen=True):
    node_name: str
    status: str
    fits: bool
    unmet: list[str] = []


class ExplainView(_View, frozen=True):
    """`GET /jobs/{id}/explain`: what the spec became, why it waits, where it can run, what happened."""

    job_id: str
    state: str
    spec: dict[str, Any]
    decisions: list[str]
    nodes: list[NodeFit]
    history: list[str]  #: the newest thousand events
    earlier_left_out: bool = False  #: there are more; `GET /jobs/{id}/events` has all
    waiting_code: str | None = None
    waiting_reason: str | None = None
    ahead: int | None = None  #: ready tasks that come first at the nodes that could run it, counted up to 1000
    eta_seconds: float | None = None
    search: jobs.Search | None = None  #: of a job with a target_vmaf, when its node has found the crf
    fit: jobs.Fit | None = None  #: of a job with a target_size


class SpecView(_View, frozen=True):
    """`POST /jobs/check`: what a submission would become, and where it could run."""

    spec: dict[str, Any]
    decisions: list[str]
    nodes: list[NodeFit]


class PresetView(_View, frozen=True):
    name: str
    description: str
    source: str  #: shipped, operator, or scenario: what such a name says
    parameters: dict[str, Any]
    text: str  #: the file, in TOML


class PresetsView(_View, frozen=True):
    presets: list[PresetView]
    count: int


class NodeView(_View, frozen=True):
    id: str
    name: str
    address: str
    type: str
    status: str
    cpu_threads: int
    cpu_model: str
    has_gpu: bool
    ram_total_bytes: int
    slots: int
    active_jobs: int
    last_heartbeat: str
    registered_at: str
    gpu_type: str | None = None
    labels: dict[str, str] = {}
    draining: bool = False
    version: str = ""
    engines: dict[str, str] = {}
    encoders: list[nodes.Encoder] = []
    decoders: list[nodes.Decoder] = []
    gpu_sessions: int | None = None
    metrics: list[Metric] = []  #: of quality, that it can measure
    media_roots: list[str] = []
    limits: dict[str, str] = {}  #: cpu, memory → how a job's limit is held there; why
    energy: list[str] = []  #: devices that measure theirs


class NodePage(_View, frozen=True):
    nodes: list[NodeView]
    count: int


class QueueRow(_View, frozen=True):
    queue: str
    class_id: int
    state: str
    count: int
    requires: dict[str, Any]
    waiting_code: str
    waiting_reason: str


class QueueView(_View, frozen=True):
    rows: list[QueueRow]
    total: int


class ChangeView(_View, frozen=True):
    """The answer to cancel, pause, resume and retry: the reference's two fields, and the job."""

    status: str
    job_id: str
    job: JobView


class HealthView(_View, frozen=True):
    status: str  #: ok, degraded
    version: str
    database: str
    uptime_seconds: float


def plain(value: Any) -> dict[str, Any]:
    """A struct as a JSON object."""
    converted: dict[str, Any] = msgspec.to_builtins(value)
    return converted


@functools.lru_cache(maxsize=1024)
def _second(at_s: int) -> str:
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def rfc3339(at_us: int) -> str:
    """µs since 1970 → `2026-01-05T12:00:00.123456Z`."""
    at_s, rest = divmod(at_us, 1_000_000)
    return f"{_second(at_s)}.{rest:06d}Z"


def _maybe(at_us: int | None) -> str | None:
    return None if at_us is None else rfc3339(at_us)


def failure_view(failure: Failure | None) -> FailureView | None:
    if failure is None:
        return None
    return FailureView(
        code=failure.code.value,
        failure_class=failure.failure_class.value,
        message=failure.message,
        advice=failure.advice,
    )


def job_view(job: jobs.Job) -> JobView:
    done = job.state is JobState.COMPLETED
    percent = job.progress.percent if job.progress and job.progress.percent is not None else 0.0
    return JobView(
        id=job.id,
        sequence_number=job.sequence_number,
        state=job.state,
        status=job.state,
        scenario=job.scenario,
        confidence=job.confidence,
        engine=job.engine,
        queue=job.queue,
        priority=job.priority,
        parameters=cast("dict[str, Any]", job.parameters),  # JSON already: it goes out as it is
        created_at=rfc3339(job.created_at),
        updated_at=rfc3339(job.updated_at),
        started_at=_maybe(job.started_at),
        completed_at=_maybe(job.finished_at),
        retry_count=job.retry_count,
        max_retries=job.max_retries,
        node_id=job.node_id,
        node_name=job.node_name,
        progress=100 if done else min(99, int(percent)),
        progress_detail=job.progress,
        cancel_requested=job.cancel_requested,
        tags=job.tags,
        retry_of=job.retry_of,
        failure=failure_view(job.failure),
        failure_reason=job.failure.message if job.failure else "",
        result=job.result,
    )


def task_view(task: jobs.Task) -> TaskView:
    return TaskView(
        id=task.id,
        job_id=task.job_id,
        kind=task.kind.value,
        state=task.state.value,
        class_id=task.class_id,
        pending_dependencies=task.pending_deps,
        failures=task.failures,
        crashes=task.crashes,
        run_at=_maybe(task.run_at),
        created_at=rfc3339(task.created_at),
        updated_at=rfc3339(task.updated_at),
    )


def attempt_view(attempt: jobs.Attempt) -> AttemptView:
    return AttemptView(
        id=attempt.id,
        task_id=attempt.task_id,
        number=attempt.number,
        state=attempt.state.value,
        node_id=attempt.node_id,
        node_name=attempt.node_name,
        assigned_at=rfc3339(attempt.assigned_at),
        started_at=_maybe(attempt.started_at),
        finished_at=_maybe(attempt.finished_at),
        failure=failure_view(attempt.failure),
        result=attempt.result,
    )


def event_view(event: jobs.Event) -> EventView:
    return EventView(
        seq=event.seq,
        at=rfc3339(event.at),
        kind=event.kind.value,
        job_id=event.job_id,
        task_id=event.task_id,
        attempt_id=event.attempt_id,
        node_id=event.node_id,
        data=msgspec.json.decode(event.data),
    )


def node_view(node: nodes.Node) -> NodeView:
    return NodeView(
        id=node.id,
        name=node.name,
        address=node.address,
        type=node.type.value,
        status=node.status.value,
        cpu_threads=node.cpu_threads,
        cpu_model=node.cpu_model,
        has_gpu=node.has_gpu,
        gpu_type=node.gpu_type or None,
        ram_total_bytes=node.ram_total_bytes,
        labels=node.labels,
        slots=node.slots,
        active_jobs=node.active_attempts,
        draining=node.draining,
        version=node.version,
        engines=node.capabilities.engines,
        encoders=node.capabilities.encoders,
        decoders=node.capabilities.decoders,
        gpu_sessions=node.capabilities.gpu_sessions,
        metrics=node.capabilities.metrics,
        media_roots=node.capabilities.media_roots,
        limits=node.capabilities.limits,
        energy=node.capabilities.energy,
        last_heartbeat=rfc3339(node.last_heartbeat),
        registered_at=rfc3339(node.registered_at),
    )
