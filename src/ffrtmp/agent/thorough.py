"""What the levels `full` and `quality` look at beyond `standard`: the pictures and the sound themselves."""

from pathlib import Path

import msgspec

from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.comparing import compare
from ffrtmp.agent.running import run_all
from ffrtmp.agent.source import Source
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Quality, Verdict
from ffrtmp.domain.spec import Metric, Spec, VerifyLevel
from ffrtmp.media import audio, comparison, defects, scores, timing, verify
from ffrtmp.media.inspection import Inspection
from ffrtmp.media.progress import FfmpegProgress
from ffrtmp.runtime.threads import in_thread

_PHASE = "verify"
#: copied sound ends with a whole packet, encoded sound with the encoder's padding
_END_TOLERANCE_SECONDS = 0.25


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """The sound of a picture, where it has a file of its own."""

    path: Path
    silence: float  #: seconds of it that were put before it


async def examined(
    attempt: Attempt,
    made: Path,
    found: Inspection,
    source: Source | None,
    expectation: verify.Expectation,
    verdict: Verdict,
    scratch: Path,
    spec: Spec,
    apart: Apart | None = None,
) -> tuple[Verdict, Code]:
    """The verdict with what the job's level adds, and the code of its failure. `found`: the inspection of the output; `spec`:
    what of the job made it."""
    level = attempt.spec.verify
    if level not in (VerifyLevel.FULL, VerifyLevel.QUALITY) or not verdict.passed:
        return verdict, Code.OUTPUT_INVALID
    checks, problems = dict(verdict.checks), list(verdict.problems)
    more, wrong = defects.ends(found, _end_offset(expectation), _END_TOLERANCE_SECONDS)
    checks |= more
    problems += wrong
    looked = await _defects(attempt, _of_output(made, found), scratch, source=False)
    of_input = None if source is None else await _defects(attempt, _of_input(attempt, source), scratch, source=True)
    if apart is not None:
        heard = await _defects(attempt, _of_sound(apart, expectation), scratch, source=False)
        looked = defects.joined(looked, heard)
        of_input = None if of_input is None else defects.after_silence(of_input, apart.silence)
    checks |= defects.checks(looked, of_input)
    problems += defects.problems(looked, of_input)
    code = Code.OUTPUT_INVALID
    if level is VerifyLevel.QUALITY and source is not None and not problems:
        # the input's times count from the first of all its streams that the job reads
        encoded = msgspec.structs.replace(spec, audio=attempt.spec.audio)
        quality = await _quality(attempt, made, found, source, scratch, encoded)
        floor, mean = attempt.spec.vmaf_min or 0.0, quality.scores[Metric.VMAF.value].mean or 0.0
        attempt.note_made(quality=quality)
        checks |= {"vmaf": round(mean, 2), "vmaf_min": floor, "vmaf_frames": quality.frames}
        if mean < floor:
            code = Code.QUALITY_TOO_LOW
            problems.append(f"its VMAF is {mean:.2f}, below the floor of {floor:g}")
    return msgspec.structs.replace(verdict, passed=not problems, checks=checks, problems=problems), code


def _end_offset(expected: verify.Expectation) -> float | None:
    """Of the first audio track."""
    sound = expected.sounds[0] if expected.sounds else None
    if sound is None or sound.offset is None or sound.seconds is None or expected.video_seconds is None:
        return None
    return sound.offset + sound.seconds - expected.video_seconds


def _of_output(made: Path, found: Inspection) -> defects.Part:
    video, heard = found.main_video, found.audio[0] if found.audio else None
    assert video is not None
    return defects.Part(
        path=made, video=video.index, audio=heard.index if heard else None, seconds=video.duration_seconds
    )


def _of_sound(apart: Apart, expected: verify.Expectation) -> defects.Part:
    return defects.Part(path=apart.path, video=None, audio=0, seconds=expected.video_seconds)


def _of_input(attempt: Attempt, source: Source) -> defects.Part:
    """The part that the job took, with the first of its audio tracks."""
    taken = timing.plan(attempt.spec, source.inspection)
    tracks = audio.plan(attempt.spec, source.inspection)
    heard = tracks[0].source if tracks else None
    video = source.inspection.main_video
    assert video is not None
    return defects.Part(
        path=source.path,
        video=video.index,
        audio=heard.index if heard else None,
        seconds=taken.video_seconds,
        input_arguments=taken.input_arguments,
        video_filters=taken.video_filters,
        audio_filters=taken.audio_filters,
    )


async def _defects(attempt: Attempt, part: defects.Part, scratch: Path, *, source: bool) -> defects.Defects:
    kit = attempt.kit
    command = defects.command(
        part, tools=kit.tools, scratch=scratch, limits=attempt.spec.limits, threads=kit.threads, source=source
    )
    await run_all(attempt, [command], FfmpegProgress(None, part.seconds), beside=_PHASE)
    return await in_thread(defects.read, scratch, part.seconds)


async def _quality(
    attempt: Attempt, made: Path, found: Inspection, source: Source, scratch: Path, spec: Spec
) -> Quality:
    """Against the pictures that the encoder was given."""
    plan = comparison.plan(
        comparison.side(made, found),
        comparison.encoded(source.path, source.inspection, spec),
        [Metric.VMAF],
        attempt.spec.vmaf_every,
    )
    await compare(attempt, plan, scratch, threads=attempt.kit.threads, beside=_PHASE)
    quality = await in_thread(scores.quality, plan, scratch)
    for note in quality.notes:
        attempt.log.note(note)
    return quality
