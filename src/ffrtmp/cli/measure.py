"""`ffrtmp measure REFERENCE VIDEO`: how near a video is to the one it was made from."""

import os
from pathlib import Path
from typing import Any

import click

from ffrtmp.cli import base, connection, dry_run, parameters, show, spec_options, transcode, transcoding
from ffrtmp.domain import errors

#: the options of a submission that a measurement has
_SHARED = frozenset(
    {
        *("--start", "--duration", "--require-label", "--min-threads", "--min-memory", "--time-limit", "--max-disk"),
        *("--max-cpu", "--max-memory"),
        *("--tag", "--queue", "--priority", "--retries"),
    }
)
_FIELDS = tuple(field for field in (*spec_options.SUBMISSION, *spec_options.FIELDS) if field.flag in _SHARED)
_NAMES = {
    "parameters.input": "VIDEO",
    "parameters.output": "--report",
    "parameters.measure.reference": "REFERENCE",
    "parameters.measure.reference_start": "--reference-start",
    "parameters.measure.metrics": "--metrics",
    **{f"parameters.measure.metrics.{index}": "--metrics" for index in range(3)},
    "parameters.measure.subsample": "--subsample",
}
_OPTIONS: list[click.Parameter] = [
    base.Option(
        ["--metrics"], type=parameters.COMMA_LIST, default="vmaf,psnr,ssim", show_default=True, help="What to measure."
    ),
    base.Option(
        ["--reference-start"],
        metavar="VALUE",
        section=spec_options.INPUT,
        help="Begin here in the reference. Default: as --start, which is of the video.",
    ),
    base.Option(
        ["--subsample"],
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        help="VMAF looks at one of so many frames: faster. PSNR and SSIM look at all.",
    ),
    base.Option(
        ["--report"],
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the report here, as JSON (name.json).",
    ),
    base.Option(["--frames"], is_flag=True, help="The report has the values of each frame."),
    base.Option(["--overwrite"], is_flag=True, help="Replace a report that exists."),
    base.Option(
        ["--upload/--no-upload"],
        default=None,
        help="Send the files to the master, or use them where they are. Default: in place if this machine surely runs the job.",
    ),
    base.Option(["--detach", "-d"], is_flag=True, help="Submit and return; the job goes on."),
    *spec_options.options(_FIELDS),
]


@click.command(
    "measure",
    cls=connection.Command,
    params=_OPTIONS,
    examples=[
        "ffrtmp measure holiday.mov holiday.mp4",
        "ffrtmp measure master.mkv small.mp4 --metrics vmaf --subsample 5",
        "ffrtmp measure film.mkv clip.mp4 --reference-start 1:30 --duration 20",
        "ffrtmp measure master.mkv small.mp4 --frames --report small.json --output json",
    ],
    notes="VMAF goes from 0 to 100 (equal videos have 97 to 100), PSNR is in dB, SSIM goes to 1. A video of "
    "another size is scaled to the reference's; frames are paired by their times, counted from the first one of each file.",
)
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("video", type=click.Path(path_type=Path))
async def command(
    session: connection.Session,
    reference: Path,
    video: Path,
    metrics: tuple[str, ...],
    reference_start: str | None,
    subsample: int,
    report: Path | None,
    frames: bool,
    overwrite: bool,
    upload: bool | None,
    detach: bool,
    **values: Any,
) -> int | None:
    """Measure how near a video is to another: REFERENCE VIDEO.

    REFERENCE is the original, VIDEO what was made of it.
    """
    _check_files(reference, video, report, overwrite=overwrite)
    if frames and report is None:
        raise click.UsageError("--frames goes into the report: say where, with --report NAME.json.")
    asked: dict[str, Any] = {"metrics": list(metrics), "subsample": subsample, "frames": frames}
    if reference_start is not None:
        asked["reference_start"] = reference_start
    body = spec_options.merge(
        spec_options.take(values), {"parameters": {"measure": asked, **({"overwrite": True} if overwrite else {})}}
    )
    item = transcoding.Item(video, report, body, others={"measure.reference": reference})
    named: dict[str, Any] = {"input": f"./{video.name}", "measure": {"reference": f"./{reference.name}"}}
    if report is not None:
        named["output"] = f"./{report.name}"
    from ffrtmp.planning import presets

    try:
        dry_run.resolve(
            spec_options.merge(body, {"parameters": named}), presets.NONE
        )  # every fault shows before a byte is sent
    except errors.InvalidInput as error:
        raise spec_options.as_options(error, _NAMES) from None
    async with session.open() as client:
        if report is not None:
            report.parent.mkdir(parents=True, exist_ok=True)
        paths = [reference, video, *([report.parent] if report else [])]
        sends = await transcode.sends_files(session, client, paths, upload=upload, detach=detach)
        run = transcoding.Run(session, client, [item], upload=sends, detach=detach)
        code = await run.go()
        _tell(session, run, item, reference)
    return code


def _check_files(reference: Path, video: Path, report: Path | None, *, overwrite: bool) -> None:
    for path in (reference, video):
        transcode.check_input(path)
    if report is not None and os.path.lexists(report) and not overwrite:
        raise errors.Conflict(f"{report} exists; choose another name, or give --overwrite.", code="output_exists")


def _tell(session: connection.Session, run: transcoding.Run, item: transcoding.Item, reference: Path) -> None:
    out, job = session.out, item.job
    found = job.result.quality if job and job.result else None
    if out.json:
        told: dict[str, Any] = {"reference": str(reference), "video": str(item.source), "quality": found}
        told |= {"state": job.state if job else "not_submitted", "job": job}
        out.document({**told, "error": str(item.error)} if item.error else told)
        return
    run.tell_faults()
    if found is not None and item.done:
        show.quality(out, found)
