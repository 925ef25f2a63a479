"""Every error that ffrtmp raises on purpose, and the stable codes that users and programs see.

    FfrtmpError
    ├── InvalidInput        400  a field is wrong; carries one Fault per field
    ├── Unauthenticated     401
    ├── Forbidden           403
    ├── NotFound            404
    ├── Conflict            409  the state machine forbids it; carries the true state
    ├── PayloadTooLarge     413
    ├── IdempotencyMismatch 422
    ├── Unavailable         503  a part of the system is away; try again
    ├── Misconfigured       –    a program cannot start with what its settings name
    └── TaskError           –    an attempt failed; carries a Failure

The docstring of a class is its default message.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class FailureClass(enum.StrEnum):
    """What a failure says about another try (`docs/guarantees.md`)."""

    PERMANENT = "permanent"  # bad input or parameters: never tried again
    TRANSIENT = "transient"  # network, storage: tried again
    INFRASTRUCTURE = "infrastructure"  # node lost, disk full: tried again, elsewhere if possible
    CRASH = "crash"  # the attempt took its agent or child down: counted apart, stops as poison


class Code(enum.StrEnum):
    """Why an attempt or a job failed. These strings are stable: dashboards and scripts match them."""

    INPUT_MISSING = "input_missing"
    INPUT_FORBIDDEN = "input_forbidden"
    INPUT_INVALID = "input_invalid"
    INPUT_TRUNCATED = "input_truncated"
    CUT_EMPTY = "cut_empty"
    NO_VIDEO_STREAM = "no_video_stream"
    NO_AUDIO_STREAM = "no_audio_stream"
    STREAM_UNSUITABLE = "stream_unsuitable"
    OUTPUT_EXISTS = "output_exists"
    OUTPUT_FORBIDDEN = "output_forbidden"
    OUTPUT_INVALID = "output_invalid"
    QUALITY_TOO_LOW = "quality_too_low"
    NOT_COMPARABLE = "not_comparable"
    RATE_UNREACHABLE = "rate_unreachable"
    ENGINE_FAILED = "engine_failed"
    ENGINE_CRASHED = "engine_crashed"
    ENCODER_UNAVAILABLE = "encoder_unavailable"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    DISK_FULL = "disk_full"
    DISK_LIMIT = "disk_limit"
    MEMORY_LIMIT = "memory_limit"
    TRANSFER_FAILED = "transfer_failed"
    TARGET_FORBIDDEN = "target_forbidden"
    TARGET_UNREACHABLE = "target_unreachable"
    TARGET_REFUSED = "target_refused"
    TARGET_LOST = "target_lost"
    TOO_SLOW = "too_slow"
    LEASE_EXPIRED = "lease_expired"
    NODE_LOST = "node_lost"
    POISON = "poison"
    UNSATISFIABLE = "unsatisfiable"
    CANCELED = "canceled"
    INTERNAL = "internal"


#: code → (class, what to do)
ADVICE: dict[Code, tuple[FailureClass, str]] = {
    Code.INPUT_MISSING: (
        FailureClass.PERMANENT,
        "Check the path: it must exist on the node that runs the job, or be uploaded with `ffrtmp transcode`.",
    ),
    Code.INPUT_FORBIDDEN: (
        FailureClass.PERMANENT,
        "Put the file under one of the agent's --media-root directories, or start the agent with another one.",
    ),
    Code.INPUT_INVALID: (
        FailureClass.PERMANENT,
        "Check that the file is a video or audio file that is whole (play it once to see).",
    ),
    Code.INPUT_TRUNCATED: (
        FailureClass.PERMANENT,
        "The file ends before its own index says: fetch it again.",
    ),
    Code.CUT_EMPTY: (
        FailureClass.PERMANENT,
        "Choose another start, duration or fps: what they take of the input must have a frame.",
    ),
    Code.NO_VIDEO_STREAM: (
        FailureClass.PERMANENT,
        "Give an input with a video stream.",
    ),
    Code.NO_AUDIO_STREAM: (FailureClass.PERMANENT, "Give an input with audio, or set audio.codec to none."),
    Code.STREAM_UNSUITABLE: (
        FailureClass.PERMANENT,
        "A stream of the input cannot become what was asked; the message names it, and what would work.",
    ),
    Code.OUTPUT_EXISTS: (FailureClass.PERMANENT, "Choose another output, or set overwrite to true (--overwrite)."),
    Code.OUTPUT_FORBIDDEN: (
        FailureClass.PERMANENT,
        "Write under one of the agent's --media-root directories.",
    ),
    Code.OUTPUT_INVALID: (
        FailureClass.TRANSIENT,
        "The output did not pass verification and was not published; see the verdict on the attempt.",
    ),
    Code.QUALITY_TOO_LOW: (
        FailureClass.PERMANENT,
        "The output was not published. Choose a lower crf or a higher bitrate, or lower verify.vmaf_min.",
    ),
    Code.NOT_COMPARABLE: (
        FailureClass.PERMANENT,
        "Give a reference that shows the same pictures, and start, reference_start and duration that take the same part.",
    ),
    Code.RATE_UNREACHABLE: (
        FailureClass.PERMANENT,
        "Choose a target_vmaf or target_size that can be met, as the message says; or another codec, resolution or preset.",
    ),
    Code.ENGINE_FAILED: (
        FailureClass.PERMANENT,
        "See the last lines of `ffrtmp jobs logs`; the engine refused these parameters or this input.",
    ),
    Code.ENGINE_CRASHED: (FailureClass.CRASH, "The engine was killed by a signal; see `ffrtmp jobs logs`."),
    Code.ENCODER_UNAVAILABLE: (
        FailureClass.INFRASTRUCTURE,
        "The node lost an encoder that it had; run `ffrtmp doctor` there.",
    ),
    Code.TIMED_OUT: (FailureClass.PERMANENT, "Raise resource_limits.timeout_sec, or use a faster preset."),
    Code.STALLED: (
        FailureClass.TRANSIENT,
        "The engine made no progress; see `ffrtmp jobs logs`.",
    ),
    Code.DISK_FULL: (FailureClass.INFRASTRUCTURE, "Free space on the node, or move its --work-dir."),
    Code.DISK_LIMIT: (FailureClass.PERMANENT, "Raise resource_limits.max_disk_mb, or lower the bitrate."),
    Code.MEMORY_LIMIT: (
        FailureClass.PERMANENT,
        "Raise resource_limits.max_memory_mb, or choose a smaller resolution or a faster preset.",
    ),
    Code.TRANSFER_FAILED: (FailureClass.TRANSIENT, "Check the network between the agent and the master."),
    Code.TARGET_FORBIDDEN: (
        FailureClass.PERMANENT,
        "The node does not stream to such addresses; start its agent with --private-targets to let it.",
    ),
    Code.TARGET_UNREACHABLE: (
        FailureClass.TRANSIENT,
        "Check the host and the port of rtmp_url, and that the server runs and can be reached from the node.",
    ),
    Code.TARGET_REFUSED: (
        FailureClass.PERMANENT,
        "The server is there and refuses the stream: check the application in rtmp_url and the stream key.",
    ),
    Code.TARGET_LOST: (
        FailureClass.TRANSIENT,
        "The server went away and did not come back in time; raise reconnect_seconds to wait longer. A retry starts over.",
    ),
    Code.TOO_SLOW: (
        FailureClass.PERMANENT,
        "The node cannot encode this in real time: choose a faster preset, a smaller resolution or a lower fps.",
    ),
    Code.LEASE_EXPIRED: (
        FailureClass.INFRASTRUCTURE,
        "The node stopped answering while it had the task; see `ffrtmp nodes list`.",
    ),
    Code.NODE_LOST: (FailureClass.INFRASTRUCTURE, "The agent restarted while it had the task."),
    Code.POISON: (
        FailureClass.PERMANENT,
        "Each attempt took its agent down. Look at the input and at the agents' logs before trying again.",
    ),
    Code.UNSATISFIABLE: (
        FailureClass.PERMANENT,
        "No registered node offers what the job requires; see `ffrtmp jobs explain` and `ffrtmp nodes list`.",
    ),
    Code.CANCELED: (FailureClass.PERMANENT, "It was canceled."),
    Code.INTERNAL: (
        FailureClass.TRANSIENT,
        "A fault in ffrtmp itself: please report it with the agent's log.",
    ),
}


class Failure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Why an attempt failed, as it is stored and shown."""

    code: Code
    message: str
    retriable: bool | None = None  #: overrides the class of the code, where the reporter knows better

    @property
    def failure_class(self) -> FailureClass:
        return ADVICE[self.code][0]

    @property
    def advice(self) -> str:
        return ADVICE[self.code][1]


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request: where, which value, and what to do."""

    path: str
    message: str
    code: str = "invalid_value"


def nearest(changes: Mapping[str, object]) -> str:
    """` (nearest that works: container mp4, no tune)`: how a refusal names its way out. Field below `parameters` → its value
    there, None to leave it out."""
    told = (f"no {field}" if value is None else f"{field} {_plain(value)}" for field, value in changes.items())
    return f" (nearest that works: {', '.join(told)})"


def _plain(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value


class FfrtmpError(Exception):
    """Something went wrong in ffrtmp."""

    code = "error"

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        if code is not None:
            self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        # by its parts: what `__init__` of a subclass wants is not what `args` has
        return _restored, (type(self), self.args, self.__dict__)

    @property
    def message(self) -> str:
        return str(self)


def _restored(kind: type[FfrtmpError], args: tuple[Any, ...], attributes: dict[str, Any]) -> FfrtmpError:
    """An error that came from another process."""
    made = kind.__new__(kind, *args)
    made.__dict__.update(attributes)
    return made


class InvalidInput(FfrtmpError):
    """The request is not valid."""

    code = "invalid_request"

    def __init__(self, message: str | None = None, *, faults: Sequence[Fault] = (), code: str | None = None) -> None:
        if message is None and len(faults) == 1:
            fault = faults[0]
            message = f"{fault.path}: {fault.message}" if fault.path else f"The body {fault.message}."
        if code is None and faults and len({fault.code for fault in faults}) == 1:
            code = faults[0].code
        super().__init__(message, code=code)
        self.faults = tuple(faults)


class Unauthenticated(FfrtmpError):
    """The key is not known to this master."""

    code = "unauthenticated"


class Forbidden(FfrtmpError):
    """The key may not do this."""

    code = "forbidden"


class NotFound(FfrtmpError):
    """There is no such thing here."""

    code = "not_found"


class Conflict(FfrtmpError):
    """The present state does not allow this."""

    code = "conflict"

    def __init__(self, message: str | None = None, *, state: str | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.state = state


class PayloadTooLarge(FfrtmpError):
    """The body is larger than this master accepts."""

    code = "body_too_large"


class IdempotencyMismatch(FfrtmpError):
    """This Idempotency-Key was used with another body. Send a new key for a new job."""

    code = "idempotency_mismatch"


class Unavailable(FfrtmpError):
    """A part of the system is away at the moment. Try again."""

    code = "unavailable"

    def __init__(
        self, message: str | None = None, *, code: str | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds  #: how long the other side asked to be left alone


class Misconfigured(FfrtmpError):
    """The settings name something that this program cannot use."""

    code = "misconfigured"


class TaskError(FfrtmpError):
    """An attempt failed."""

    def __init__(self, code: Code, message: str, *, retriable: bool | None = None) -> None:
        super().__init__(message, code=code)
        self.failure = Failure(code=code, message=message, retriable=retriable)
