"""Is what was streamed what was asked? Pure. Nothing can be read back of a server in general: what went to it is judged."""

from collections.abc import Sequence
from typing import Any

from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Pushed, Verdict
from ffrtmp.domain.spec import VerifyLevel
from ffrtmp.media.verify import Expectation
from ffrtmp.transfer import flv

#: times of FLV are milliseconds, and the last frame's own length is not in them
_TOLERANCE_SECONDS = 0.25
#: of real time: a stream that is slower stands still at its viewers again and again
_LEAST_SPEED = 0.95


def judge(expected: Expectation, setup: Sequence[flv.Tag], made: int, pushed: Pushed) -> tuple[Verdict, Code]:
    """And the code of what is wrong, if something is. `setup`: what decoders were told, `made`: frames of the engine.

    Frames that were dropped while the server was away are told; they are the server's fault, and no reason to stream it all again.
    """
    wall = pushed.seconds + pushed.behind_seconds
    speed = pushed.seconds / wall if wall else 1.0  # a single frame has no length here
    checks: dict[str, Any] = {
        "read_back": "no: what was sent is judged, not what the server made of it",
        "frames": made,
        "frames_expected": expected.frames,
        "seconds": pushed.seconds,
        "speed": round(speed, 3),
        "sent_frames": pushed.frames,
        "dropped_frames": pushed.dropped_frames,
        "reconnects": pushed.reconnects,
        "away_seconds": pushed.away_seconds,
    }
    problems: list[str] = []
    if expected.frames is not None and abs(made - expected.frames) > expected.frames_tolerance:
        problems.append(f"{made} frames came out, not {expected.frames}")
    if expected.video_seconds is not None:
        checks["seconds_expected"] = round(expected.video_seconds, 3)
        if pushed.seconds < expected.video_seconds - _TOLERANCE_SECONDS - _frame(expected):
            problems.append(f"it ended after {pushed.seconds:.3f} s, not {expected.video_seconds:.3f} s")
    problems += _decoders(expected, setup, checks)
    if not pushed.frames:
        problems.append("no frame was sent")
    code = Code.OUTPUT_INVALID
    if speed < _LEAST_SPEED and not problems:
        code = Code.TOO_SLOW
        problems.append(f"it ran at {speed:.2f} times real time: the engine was {pushed.behind_seconds:.1f} s late")
    return Verdict(level=VerifyLevel.STANDARD.value, passed=not problems, checks=checks, problems=problems), code


def _frame(expected: Expectation) -> float:
    return 1 / expected.rate if expected.rate else 0.0


def _decoders(expected: Expectation, setup: Sequence[flv.Tag], checks: dict[str, Any]) -> list[str]:
    """What the stream says of itself."""
    told = {tag.kind: tag for tag in setup}
    problems: list[str] = []
    size = flv.size(told[flv.DATA]) if flv.DATA in told else None
    wanted = (expected.width, expected.height)
    if size is not None:
        checks["size"], checks["size_expected"] = (f"{width}x{height}" for width, height in (size, wanted))
        if size != wanted:
            problems.append(f"the picture size is {checks['size']}, not {checks['size_expected']}")
    if flv.VIDEO not in told:
        problems.append("it has no H.264 video")
    checks["audio_streams"], checks["audio_streams_expected"] = int(flv.AUDIO in told), len(expected.sounds)
    if (flv.AUDIO in told) != bool(expected.sounds):
        problems.append("it has sound that was not asked for" if flv.AUDIO in told else "it has no sound")
    elif flv.AUDIO in told and (heard := flv.sound(told[flv.AUDIO])):
        checks["audio_sample_rate"], checks["audio_channels"] = heard
    return problems
