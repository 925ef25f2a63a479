"""The verdict over an attempt's output: it is looked into while it is hashed."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ffrtmp.agent import loudness, thorough
from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.source import INSPECT_SECONDS, Source, describe
from ffrtmp.domain.errors import Code, TaskError
from ffrtmp.domain.spec import Spec, VerifyLevel
from ffrtmp.media import ffmpeg, verify
from ffrtmp.media.loudness import Measured, told
from ffrtmp.runtime.threads import ended, in_thread
from ffrtmp.transfer import local

_UNREADABLE = frozenset({Code.INPUT_MISSING, Code.INPUT_INVALID, Code.INPUT_TRUNCATED, Code.NO_VIDEO_STREAM})
_MOST_TOLD = 3  #: complaints of decoders about a damaged input
_SLOWEST_DECODE = 4.0  #: times as long as the encode took, or as the video lasts


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One of several files that a job makes."""

    spec: Spec  #: what of the job made it
    examined: bool  #: whether the job's level adds something to `standard` for it
    apart: thorough.Apart | None = None


async def verified(
    attempt: Attempt,
    made: Path,
    expectation: verify.Expectation,
    source: Source | None,
    scratch: Path,
    loudness_before: Sequence[Measured] = (),
) -> str:
    """The file's SHA-256. Raises TaskError: output_invalid, quality_too_low."""
    await attempt.running.wait()
    attempt.phase("verify")
    hashing = asyncio.create_task(in_thread(local.sha256_file, made, attempt.stopped))
    try:
        await judge(attempt, made, expectation, source, scratch, loudness_before)
    finally:
        await ended(hashing)
    return hashing.result()


async def judge(
    attempt: Attempt,
    made: Path,
    expectation: verify.Expectation,
    source: Source | None,
    scratch: Path,
    loudness_before: Sequence[Measured] = (),
    *,
    part: Part | None = None,
) -> None:
    """`source`: what it was made from; None: it was generated. `part` None: it is all that the job makes.
    Raises TaskError: output_invalid, quality_too_low."""
    part = part or Part(spec=attempt.spec, examined=True)
    if attempt.spec.verify is VerifyLevel.NONE:
        return
    began = time.monotonic()
    wall = attempt.made.wall_seconds
    longest = max(expectation.video_seconds or 0.0, wall or 0.0)
    try:
        found = await attempt.kit.inspector.inspect(
            made,
            decode=True,
            rate=expectation.steady,
            threads=attempt.kit.inspect_threads,
            timeout_seconds=max(INSPECT_SECONDS, _SLOWEST_DECODE * longest),
        )
    except TaskError as error:
        if error.failure.code in _UNREADABLE:
            # the inspector does not know whose file it looks into: it calls every file an input
            raise TaskError(Code.OUTPUT_INVALID, f"The output cannot be read: {error.failure.message}") from error
        raise
    pairs = await _loudness(attempt, made, loudness_before)
    verdict, code = verify.judge(expectation, part.spec, found, pairs), Code.OUTPUT_INVALID
    if part.examined:
        verdict, code = await thorough.examined(
            attempt, made, found, source, expectation, verdict, scratch, part.spec, part.apart
        )
    verdict = msgspec.structs.replace(verdict, seconds=round(time.monotonic() - began, 4))
    attempt.metrics["verify_cpu_seconds"] = round(found.cpu_seconds, 4)
    video = found.main_video
    length = video.duration_seconds if video else None
    attempt.note_made(
        verdict=verdict,
        frames=video.frames if video else None,
        speed=round(length / wall, 3) if length and wall else None,
    )
    attempt.log.note(f"output: {describe(found)}")
    if not verdict.passed:
        wrong = "The output is not what was asked: " + "; ".join(verdict.problems)
        if code is Code.OUTPUT_INVALID and (damage := await _damage(attempt, source)):
            raise TaskError(Code.INPUT_INVALID, f"The input is damaged ({damage}). {wrong}")
        raise TaskError(code, wrong)
    attempt.log.note(f"verified ({verdict.level}) in {verdict.seconds:.2f} s")


async def _damage(attempt: Attempt, source: Source | None) -> str:
    """What is wrong with the input's own pictures and sound, when all of it is decoded; "": nothing. An index that was only read
    does not know."""
    if source is None:
        return ""
    attempt.phase("look for damage")
    indexed = source.inspection
    try:
        found = await attempt.kit.inspector.inspect(
            source.path,
            decode=True,
            threads=attempt.kit.inspect_threads,
            timeout_seconds=max(INSPECT_SECONDS, _SLOWEST_DECODE * (indexed.duration_seconds or 0.0)),
        )
    except TaskError as error:
        return error.failure.message
    before, after, told = indexed.main_video, found.main_video, []
    if before is not None and after is not None:
        if after.frames < before.frames:
            told.append(f"{before.frames - after.frames} of {before.frames} frames cannot be decoded")
        if after.disordered:
            told.append(f"{after.disordered} frames do not come after the one before")
    told += [f"nothing of its audio stream {track.index} can be decoded" for track in found.audio if not track.packets]
    told += found.problems[:_MOST_TOLD]
    return "; ".join(told)


async def _loudness(attempt: Attempt, made: Path, before: Sequence[Measured]) -> list[tuple[Measured, Measured]]:
    """Each track's loudness before and after."""
    if not before:
        return []
    commands = ffmpeg.measuring_output(attempt.spec, made, len(before), tools=attempt.kit.tools)
    after = await loudness.measure(attempt, commands, "after")
    attempt.metrics["loudness"] = [
        {"before": told(was), "after": told(now)} for was, now in zip(before, after, strict=True)
    ]
    return list(zip(before, after, strict=True))
