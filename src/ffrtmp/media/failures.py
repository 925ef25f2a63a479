"""Why an engine failed, from how it ended and what it said. Patterns are lines that FFmpeg 5.1 to 9.0
and GStreamer 1.22 were seen to print."""

import re

from ffrtmp.domain.errors import Code, Failure

_LINES = 4
#: once gst-launch says this it has failed; setting its pipeline to rest now and then never ends (GStreamer 1.22)
GSTREAMER_FAILED = "ERROR: from element "
#: first match counts: from what is surely the cause to what may be
_SIGNS: tuple[tuple[re.Pattern[str], Code], ...] = tuple(
    (re.compile(pattern), code)
    for pattern, code in (
        (r"No space left on (device|the resource)|Disk quota exceeded", Code.DISK_FULL),
        (
            r"Unknown encoder|Encoder not found|Cannot load lib(cuda|nvidia-encode)|No VA display found"
            r"|Error creating a MFX session|No capable devices found|OpenEncodeSessionEx failed|: no element \"",
            Code.ENCODER_UNAVAILABLE,
        ),
        (r"moov atom not found", Code.INPUT_TRUNCATED),
        (r"GstFileSrc.*: Resource not found", Code.INPUT_MISSING),
        (
            r"Error opening input: (Invalid data|No such file)|Invalid data found when processing input"
            r"|Format .* not on whitelist|Codec .* not on whitelist|Picture size \S+ (is invalid|exceeds)"
            r"|This file is invalid and cannot be played|This file contains no playable streams"
            r"|Demux:in: Could not demultiplex stream|No program activated before EOS|Got EOS before any data",
            Code.INPUT_INVALID,
        ),
    )
)
#: what an engine says that is refused memory
_NO_MEMORY = re.compile(r"Cannot allocate memory|malloc of size \d+ failed|[Oo]ut of memory|std::bad_alloc")
#: lines that are not the cause
_NOISE = re.compile(
    r"Task finished with error|Terminating thread with return code|Error sending frames to consumers|Conversion failed"
    r"|Nothing was written into output file|Could not open encoder before EOF|lookahead-slices|mmco: unref short failure"
    r"|Last message repeated"
    # GStreamer: where in its source, and what follows from the error that it told before
    r"|^Additional debug info:|^\.\./\S+\.c\(\d+\)|pipeline doesn't want to preroll|Failed to set pipeline to"
    r"|some element failed to post a proper error message|^Failed to start$|: Internal data stream error|^frames-(in|out)-"
)


def from_exit(exit_code: int | None, signal: int | None, log: str, name: str = "ffmpeg") -> Failure:
    """For an engine that ended by itself and did not succeed."""
    if signal is not None:
        return Failure(code=Code.ENGINE_CRASHED, message=f"{name} was killed by signal {signal}{_tail(log)}")
    return Failure(code=_code(log), message=f"{name} ended with exit code {exit_code}{_tail(log)}")


def _code(log: str) -> Code:
    return next((code for pattern, code in _SIGNS if pattern.search(log)), Code.ENGINE_FAILED)


def from_outcome(
    ended: str,
    *,
    exit_code: int | None,
    signal: int | None,
    log: str,
    wall_seconds: float,
    name: str = "ffmpeg",
    memory_limit_bytes: int | None = None,
    peak_memory_bytes: int = 0,
) -> Failure | None:
    """The fields of a `process.run.Outcome` → why it failed; None when it did not.

    `ended` is `Outcome.ended`, `memory_limit_bytes` what the command may use. (`media` and
    `process` do not know each other; the agent brings them together.)
    """
    after = f" after {wall_seconds:.1f} s"
    match ended:
        case "exited":
            if exit_code == 0:
                return None
            if memory_limit_bytes is not None and _NO_MEMORY.search(log):
                return _memory_limit(name, after, memory_limit_bytes, peak_memory_bytes)
            return from_exit(exit_code, signal, log, name)
        case "failed":
            return Failure(code=_code(log), message=f"{name} failed and was ended{after}{_tail(log)}")
        case "timed_out":
            return Failure(code=Code.TIMED_OUT, message=f"{name} was ended{after}: its time limit")
        case "stalled":
            return Failure(code=Code.STALLED, message=f"{name} made no progress and was ended{after}{_tail(log)}")
        case "disk_limit":
            return Failure(code=Code.DISK_LIMIT, message=f"{name} was ended{after}: it wrote more than the job may")
        case "memory_limit":
            return _memory_limit(name, after, memory_limit_bytes or 0, peak_memory_bytes)
        case "disk_full":
            return Failure(code=Code.DISK_FULL, message=f"{name} was ended{after}: the disk is almost full")
        case _:
            return Failure(code=Code.CANCELED, message=f"{name} was stopped{after}")


def _memory_limit(name: str, after: str, limit_bytes: int, peak_bytes: int) -> Failure:
    mebibyte = 1 << 20
    used = f" (resident at last, its program included: {peak_bytes / mebibyte:.0f} MiB)" if peak_bytes else ""
    return Failure(
        code=Code.MEMORY_LIMIT,
        message=f"{name} was ended{after}: it needs more memory than the job's {limit_bytes / mebibyte:.0f} MiB{used}",
    )


def _tail(log: str) -> str:
    """The last lines that say something, for the message."""
    lines = list(dict.fromkeys(line.strip() for line in log.splitlines() if line.strip() and not _NOISE.search(line)))
    return ": " + " / ".join(lines[-_LINES:]) if lines else ""
