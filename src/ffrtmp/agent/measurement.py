"""A task of kind `measure`: two videos → scores, and a report with them."""

import asyncio

from ffrtmp.agent import messages as m
from ffrtmp.agent import source
from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.comparing import compare
from ffrtmp.agent.publication import Publication
from ffrtmp.domain.job import Quality, Result
from ffrtmp.domain.spec import Engine, Measurement
from ffrtmp.media import comparison, scores
from ffrtmp.runtime.threads import in_thread
from ffrtmp.transfer import local


async def measure(attempt: Attempt, asked: Measurement) -> Result:
    """Raises TaskError, Dropped, OSError."""
    kit = attempt.kit
    attempt.note_made(engine=Engine.FFMPEG, engine_reason="only ffmpeg measures")
    scratch = await asyncio.to_thread(kit.work.scratch, attempt.id)
    publication = await Publication.resolve(attempt)
    place = publication.output
    if place is not None and (adoptable := await publication.made_before()) is not None:
        attempt.log.note(f"{place} was published by an earlier attempt of this task")
        attempt.tell(m.TaskStarted(attempt.id))
        attempt.note_made(quality=await in_thread(scores.read, adoptable.copy or place))
        return await publication.adopt(adoptable)
    path = await source.fetch(attempt, asked.input, scratch / "input")
    reference_path = await source.fetch(attempt, asked.reference, scratch / "reference")
    for one in (path, reference_path) if publication.output is not None else ():
        await in_thread(local.refuse_same_file, one, publication.output)
    found = await source.inspect(attempt, path, start=asked.start, duration=asked.duration)
    reference = await source.inspect(
        attempt, reference_path, start=asked.reference_start, duration=asked.duration, role="reference"
    )
    measured = comparison.side(path, found.inspection, start=asked.start, duration=asked.duration)
    against = comparison.side(
        reference_path, reference.inspection, start=asked.reference_start, duration=asked.duration
    )
    comparison.check(measured, against)
    plan = comparison.plan(measured, against, asked.metrics, asked.every)
    attempt.log.note(f"engine: ffmpeg {kit.tools.version}")
    for note in plan.notes:
        attempt.log.note(note)
    await compare(attempt, plan, scratch, threads=kit.threads)
    for looked_into in (found, reference):
        await looked_into.check_unchanged()
    report = scratch / "report.json"
    if publication.output is not None:
        report = await asyncio.to_thread(kit.work.stage, publication.output, attempt.id)
    quality = await in_thread(lambda: scores.quality(plan, scratch, report, each=asked.frames))
    wall, seconds = attempt.made.wall_seconds, measured.taken.video_seconds
    attempt.note_made(
        quality=quality, frames=quality.frames, speed=round(seconds / wall, 3) if seconds and wall else None
    )
    attempt.log.note(f"measured {quality.frames} frames: {described(quality)}")
    return await publication.publish(report, await in_thread(local.sha256_file, report, attempt.stopped))


def described(quality: Quality) -> str:
    """`vmaf 93.41 (worst 81.20), psnr 38.52, ssim 0.97612`: means."""
    parts = []
    for name in ("vmaf", "psnr", "ssim"):
        if (found := quality.scores.get(name)) is None:
            continue
        mean = found.overall if name == "psnr" else found.mean
        if mean is None:
            parts.append(f"{name} without bound (no difference)")
            continue
        worst = f" (worst {found.min:.2f})" if name == "vmaf" and found.min is not None else ""
        parts.append(f"{name} {mean:.{5 if name == 'ssim' else 2}f}{worst}")
    return ", ".join(parts)
