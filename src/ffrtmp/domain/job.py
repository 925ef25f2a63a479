"""Job → task → attempt → event: the records of the queue. Times are microseconds since 1970, by the database's clock."""

import enum
from typing import Any

import msgspec

from ffrtmp.domain.energy import Energy
from ffrtmp.domain.errors import Failure
from ffrtmp.domain.spec import Engine, Measurement, Priority, Queue, Work
from ffrtmp.domain.states import AttemptState, JobState, TaskState


class TaskKind(enum.StrEnum):
    ENCODE = "encode"
    MEASURE = "measure"


def kind_of(work: Work) -> TaskKind:
    return TaskKind.MEASURE if isinstance(work, Measurement) else TaskKind.ENCODE


class _Record(msgspec.Struct, frozen=True, kw_only=True): ...


class Progress(_Record, frozen=True, omit_defaults=True):
    """How far an attempt is. What is not known yet is None."""

    percent: float | None = None  #: 0 to 100; 100 only after the output was verified
    frame: int | None = None
    fps: float | None = None
    speed: float | None = None  #: times real time
    bitrate_bps: int | None = None
    out_seconds: float | None = None
    eta_seconds: float | None = None
    dropped_frames: int | None = None
    phase: str = ""  #: fetch, encode, pass 1, verify, publish; stream, reconnect


class OutputFile(_Record, frozen=True, omit_defaults=True):
    """One file that an attempt made."""

    name: str
    size_bytes: int
    sha256: str
    path: str | None = None  #: where it is on the node, for a local output
    upload_id: str | None = None  #: where it is in the artifact store


class Verdict(_Record, frozen=True, omit_defaults=True):
    """What verification found in an output."""

    level: str
    passed: bool
    checks: dict[str, Any] = {}  #: check → what was found, e.g. {"frames": 132, "frames_expected": 132}
    problems: list[str] = []
    seconds: float = 0.0


class Step(_Record, frozen=True, omit_defaults=True):
    """One way in which an attempt tried to encode."""

    settings: str  #: encoder and device, e.g. "h264_nvenc on 0, which decodes too"
    why: str
    failure: Failure | None = None  #: None: it succeeded


class Scores(_Record, frozen=True, omit_defaults=True):
    """The values of one metric over all frames. None: without bound (the PSNR of frames that are equal)."""

    mean: float | None
    harmonic_mean: float | None
    min: float | None
    max: float | None
    p1: float | None  #: one frame in a hundred is worse
    p5: float | None
    p50: float | None
    overall: float | None = None  #: PSNR only: from the mean squared error of all frames


class Quality(_Record, frozen=True, omit_defaults=True):
    """What a comparison of a video with its reference found, and how the two were made comparable."""

    scores: dict[str, Scores]  #: vmaf, psnr, psnr_y, ssim, ssim_y
    frames: int  #: that were compared
    frames_measured: int | None = None  #: of the video, as its index says
    frames_reference: int | None = None
    equal_frames: int | None = None  #: without any difference, where PSNR was measured
    every: int = 1  #: VMAF looked at one of so many frames
    model: str = ""  #: of VMAF
    size: str = ""  #: in which the pictures were compared
    pixel_format: str = ""
    notes: list[str] = []  #: how they were made comparable


class RungMade(_Record, frozen=True, omit_defaults=True):
    """One size of a ladder, and what it takes."""

    name: str
    width: int
    height: int
    asked: str  #: e.g. "crf 23 up to 4500 kb/s"
    average_bps: int  #: of the picture; where it is no package, of the whole file
    peak_bps: int  #: of any run of segments as long as one, about; 0: it is no package
    why: str = ""


class Pushed(_Record, frozen=True, omit_defaults=True):
    """What a stream's server was sent, and how well that went."""

    target: str  #: the server's URL, without the stream key
    seconds: float = 0.0  #: of the stream
    frames: int = 0  #: that were sent
    dropped_frames: int = 0  #: that were not: the server was away, or too slow
    sent_bytes: int = 0
    reconnects: int = 0
    away_seconds: float = 0.0  #: without a connection, all together
    behind_seconds: float = 0.0  #: that the engine was late, all together


class CurvePoint(_Record, frozen=True, omit_defaults=True):
    """What one CRF gave on samples of the input."""

    crf: float
    vmaf: float
    bitrate_bps: int  #: of the picture
    frames: int  #: that were encoded for it


class Search(_Record, frozen=True, omit_defaults=True):
    """How the CRF was found that gives a VMAF."""

    target_vmaf: float
    crf: float  #: that was chosen
    vmaf: float  #: that is expected of it
    bitrate_bps: int  #: of the picture, expected of it
    points: list[CurvePoint]  #: in the order of their CRF
    samples: int
    frames: int  #: of all samples together
    seconds: float  #: that the search took
    cpu_seconds: float  #: of its commands
    default_crf: float  #: of the codec, and what it would have given
    default_vmaf: float
    default_bitrate_bps: int


class Pass(_Record, frozen=True, omit_defaults=True):
    """One encode towards a size."""

    bitrate_bps: int  #: of the picture, that was asked of the encoder
    size_bytes: int  #: of the file that came out


class Fit(_Record, frozen=True, omit_defaults=True):
    """How a bitrate was found that gives a size."""

    target_bytes: int
    beside_bytes: int  #: estimated: sound, subtitles, covers, the container
    seconds: float  #: that the picture lasts
    encodes: list[Pass]


class Result(_Record, frozen=True, omit_defaults=True):
    """What a finished attempt made."""

    outputs: list[OutputFile] = []
    verdict: Verdict | None = None
    engine: Engine | None = None
    engine_reason: str = ""
    decisions: list[str] = []  #: what the node decided when it saw the input, and why
    encoder: str = ""
    encoder_reason: str = ""
    device: str = ""  #: the GPU that encoded: a number for nvenc, a render node for qsv and vaapi
    ladder: list[RungMade] = []
    steps: list[Step] = []  #: where the first way failed: what was tried, in order
    command: list[str] = []
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None  #: resident, of the largest process
    read_bytes: int | None = None  #: by the engine's read calls, from wherever
    written_bytes: int | None = None
    energy: list[Energy] = []  #: only what was measured
    frames: int | None = None
    speed: float | None = None
    pushed: Pushed | None = None  #: of a job that streams
    search: Search | None = None  #: of a job with a target_vmaf
    fit: Fit | None = None  #: of a job with a target_size
    quality: Quality | None = None  #: of a job that measures, and of verification at the level `quality`
    metrics: dict[str, Any] = {}  #: what a reference agent measured


class Job(_Record, frozen=True):
    id: str
    sequence_number: int
    state: JobState
    scenario: str
    confidence: str
    engine: Engine
    queue: Queue
    priority: Priority
    parameters: msgspec.Raw  #: as the user sent them
    spec: msgspec.Raw  #: what they became: `Work` as JSON
    tags: dict[str, str]
    retry_of: str | None
    paused: bool
    cancel_requested: bool
    max_retries: int
    retry_count: int
    created_at: int
    updated_at: int
    started_at: int | None
    finished_at: int | None
    node_id: str | None
    node_name: str | None
    progress: Progress | None
    failure: Failure | None
    result: Result | None


class NewTask(_Record, frozen=True):
    """A task of a submission. `depends_on` names tasks of the same submission by their index."""

    id: str
    kind: TaskKind
    requires_key: str  #: `Requires.key()`: the class
    payload: bytes  #: `Work` as JSON
    depends_on: tuple[int, ...] = ()


class NewJob(_Record, frozen=True):
    """A job as `planning` made it, ready to be stored."""

    id: str
    scenario: str
    confidence: str
    engine: Engine
    queue: Queue
    priority: Priority
    parameters: bytes
    spec: bytes
    tasks: tuple[NewTask, ...]
    head_start_us: int  #: `scheduling.order.head_start_us`: the sort key is ready time minus this
    max_retries: int
    tags: dict[str, str] = {}
    retry_of: str | None = None
    idempotency_key: str | None = None
    body_sha256: str = ""
    by: str = ""  #: who asked, for the history


class Task(_Record, frozen=True):
    id: str
    job_id: str
    kind: TaskKind
    state: TaskState
    class_id: int
    pending_deps: int
    failures: int
    crashes: int
    run_at: int | None  #: for RETRYING
    created_at: int
    updated_at: int


class Attempt(_Record, frozen=True):
    id: str
    task_id: str
    job_id: str
    node_id: str
    node_name: str
    number: int
    state: AttemptState
    assigned_at: int
    started_at: int | None
    finished_at: int | None
    failure: Failure | None
    result: Result | None


class Grant(_Record, frozen=True):
    """A task given to a node: everything an agent needs to run it."""

    attempt_id: str
    task_id: str
    job_id: str
    sequence_number: int
    kind: TaskKind
    number: int
    spec: Work
    prior_publications: list[OutputFile] = []  #: what earlier attempts were about to publish (see `Store.publish`)


class EventKind(enum.StrEnum):
    JOB_SUBMITTED = "job.submitted"
    JOB_STATE = "job.state"
    JOB_CANCEL_REQUESTED = "job.cancel_requested"
    JOB_PAUSE_REQUESTED = "job.pause_requested"
    JOB_RESUME_REQUESTED = "job.resume_requested"
    TASK_READY = "task.ready"
    TASK_RETRY = "task.retry"
    ATTEMPT_ASSIGNED = "attempt.assigned"
    ATTEMPT_STARTED = "attempt.started"
    ATTEMPT_PUBLISHING = "attempt.publishing"
    ATTEMPT_ENDED = "attempt.ended"
    ATTEMPT_EXCUSED = "attempt.excused"  # it was lost, and its agent lives: it counts no more
    NODE_REGISTERED = "node.registered"
    NODE_LOST = "node.lost"
    NODE_DRAIN = "node.drain"
    NODE_REMOVED = "node.removed"


class Event(_Record, frozen=True):
    """One row of the append-only history."""

    seq: int
    at: int
    kind: EventKind
    job_id: str | None
    task_id: str | None
    attempt_id: str | None
    node_id: str | None
    data: msgspec.Raw
