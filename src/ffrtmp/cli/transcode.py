"""`ffrtmp transcode IN [IN...] OUT`: the whole way of a file, from this machine and back to it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffrtmp.cli import base, connection, dry_run, placing, spec_options, stream_options, transcoding
from ffrtmp.domain import errors, streaming
from ffrtmp.media import contents

if TYPE_CHECKING:
    from ffrtmp.client.client import Client
    from ffrtmp.planning import presets

_OPTIONS: list[click.Parameter] = [
    *spec_options.options(),
    *stream_options.common(),
    base.Option(["--overwrite"], is_flag=True, help="Replace outputs that exist."),
    base.Option(
        ["--upload/--no-upload"],
        default=None,
        help="Send the files to the master, or use them where they are. Default: in place if this machine surely runs the job.",
    ),
    base.Option(["--detach", "-d"], is_flag=True, help="Submit and return; the jobs go on."),
    base.Option(["--dry-run", "dry"], is_flag=True, help="Only show what each file would become."),
]


@click.command(
    "transcode",
    cls=connection.Command,
    params=_OPTIONS,
    examples=[
        "ffrtmp transcode holiday.mov holiday.mp4",
        "ffrtmp transcode talk.mkv talk.webm --codec av1 --crf 30 --resolution 720p",
        "ffrtmp transcode *.mov small/ --codec h265 --preset fast --audio aac",
        "ffrtmp transcode *.mov web/ --scenario web-720p-h264",
        "ffrtmp transcode talk.mp4 talk/ --output-mode hls --ladder auto --thumbnails 10",
        "ffrtmp transcode in.mp4 out.mp4 --target-vmaf 93",
        "ffrtmp transcode in.mp4 mail.mp4 --target-size 25MB --resolution 720p",
        "ffrtmp transcode in.mp4 out.mp4 --bitrate 3M --two-pass --master farm.local:8080",
        "FFRTMP_STREAM_KEY=... ffrtmp transcode film.mp4 rtmp://live.local/app --bitrate 4M",
    ],
    notes="OUT is a file, or a directory for several inputs; with --ladder or --output-mode hls it is the directory that the files "
    "come into, which appears when all of them are there. Or it is an RTMP server, rtmp://host/application/key, or without the key "
    "and with one of the options for it; then the input is streamed there in real time. "
    "Without --codec and --scenario it is h264, or vp9 for .webm. "
    "Each output is verified before it appears under its name; the input is never written. Ctrl-C asks whether to "
    "detach, cancel or keep watching (Enter); a second Ctrl-C cancels, with or without a terminal to ask at.",
)
@click.argument("inputs", metavar="IN...", nargs=-1, type=click.Path())  # the type gives completion
@click.argument("out", metavar="OUT", type=click.Path())
async def command(
    session: connection.Session,
    inputs: tuple[str, ...],
    out: str,
    overwrite: bool,
    upload: bool | None,
    detach: bool,
    dry: bool,
    **values: Any,
) -> int | None:
    """Transcode files and watch: IN [IN...] OUT."""
    if not inputs:
        raise click.UsageError(f"Give an input and an output: ffrtmp transcode {out} OUT", click.get_current_context())
    url = out if streaming.is_target(out) else None
    streamed = stream_options.take(values, url)
    asked = spec_options.take(values)
    known = await dry_run.book(session, [asked])
    if url is not None:
        items = [_streamed(inputs, spec_options.merge(asked, {"parameters": streamed}), overwrite=overwrite)]
    else:
        preset = known.get(str(asked.get("scenario") or ""))
        asked = spec_options.merge(asked, {"parameters": streamed})
        items = _items(inputs, out, asked, preset, overwrite=overwrite)
    try:
        # every fault of the request shows before a byte is sent
        specs = [dry_run.resolve(spec_options.merge(item.body, _nominal(item)), known) for item in items]
    except errors.InvalidInput as error:
        raise spec_options.as_options(error, transcoding.PATHS) from None
    if dry:
        dry_run.files(session, items, specs, upload=upload)
        return None
    async with session.open() as client:
        return await _run(session, client, items, upload=upload, detach=detach)


def _nominal(item: transcoding.Item) -> dict[str, Any]:
    output = {} if item.target is None else {"output": f"./{item.target.name}"}
    return {"parameters": {"input": f"./{item.source.name}", **output}}


def _streamed(inputs: tuple[str, ...], body: dict[str, Any], *, overwrite: bool) -> transcoding.Item:
    """One input, whose output is a stream."""
    if len(inputs) > 1:
        raise click.UsageError(f"A stream has one input, not {len(inputs)}; start one command for each.")
    check_input(Path(inputs[0]))
    if overwrite:
        body["parameters"]["overwrite"] = True
    return transcoding.Item(Path(inputs[0]), None, body)


def _items(
    inputs: tuple[str, ...], out: str, asked: dict[str, Any], preset: "presets.Preset | None", *, overwrite: bool
) -> list[transcoding.Item]:
    given = asked.get("parameters", {})
    scenario = str(asked.get("scenario") or "")
    codec = given.get("codec") or next((name for name in ("vp8", "vp9") if scenario.lower().endswith(f"-{name}")), None)
    container = given.get("container")
    if preset is not None and codec is None:
        codec, container = preset.parameters.codec, container or preset.parameters.container
    many = spec_options.many(given)
    try:
        pairs = placing.destinations([Path(name) for name in inputs], out, container=container, codec=codec, many=many)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    items = []
    for source, target in pairs:
        check_input(source)
        if os.path.lexists(target) and not overwrite:
            what = f"{target} exists; choose another name, or give --overwrite."
            if len(inputs) == 1 and str(target) == out and not target.is_dir():
                what += f" If it is an input too, give the output after it: ffrtmp transcode {source} {out} DIRECTORY/"
            raise errors.Conflict(what, code="output_exists")
        if many and overwrite and target.is_dir() and (other := contents.foreign(target)):
            raise errors.Conflict(
                f"{target} holds {other}, which is of no ladder or package, so it is not replaced; name another directory.",
                code="output_exists",
            )
        body = spec_options.merge(asked, {"parameters": {"overwrite": True} if overwrite else {}})
        if not codec and not scenario:
            body["parameters"]["codec"] = placing.usual_codec(target, container)
        items.append(transcoding.Item(source, target, body))
    return items


def check_input(source: Path) -> None:
    if source.is_dir():
        raise click.UsageError(f"{source} is a directory; give its files, e.g. {source}/*.mp4.")
    if not source.exists():
        raise errors.NotFound(f"There is no file {source}.", code="input_missing")
    if not os.access(source, os.R_OK):
        raise click.UsageError(f"{source} cannot be read; check its permissions.")
    if source.stat().st_size == 0:
        raise click.UsageError(f"{source} is empty.")


async def sends_files(
    session: connection.Session, client: "Client", paths: list[Path], *, upload: bool | None, detach: bool
) -> bool:
    """Whether the files go to the master, or are used where they are; as asked, else as is right everywhere."""
    if upload is not None:
        return upload
    why = placing.why_upload(client.base_url, (await client.nodes()).nodes, paths)
    if why and detach:
        session.out.say(f"The files are uploaded, because {why}.")
    return why is not None


async def _run(
    session: connection.Session,
    client: "Client",
    items: list[transcoding.Item],
    *,
    upload: bool | None,
    detach: bool,
) -> int:
    targets = [item.target.parent for item in items if item.target is not None]
    for folder in targets:
        folder.mkdir(parents=True, exist_ok=True)
    paths = [*(item.source for item in items), *targets]
    sends = await sends_files(session, client, paths, upload=upload, detach=detach)
    run = transcoding.Run(session, client, items, upload=sends, detach=detach)
    code = await run.go()
    run.report()
    return code
