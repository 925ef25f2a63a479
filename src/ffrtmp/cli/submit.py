"""`ffrtmp jobs submit`"""

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffrtmp.cli import base, connection, dry_run, jobs_read, parameters, spec_options, stream_options, text
from ffrtmp.domain import errors

if TYPE_CHECKING:
    from ffrtmp.planning import presets

_PATHS = {"parameters.input": "--input", "parameters.output": "--output-file", "parameters.overwrite": "--overwrite"}
_PATHS |= stream_options.PATHS
_OPTIONS: list[click.Parameter] = [
    base.Option(
        ["--input", "-i"],
        section=spec_options.INPUT,
        help="A path on the node, under one of its media roots; upload:ID; or generate (a synthetic clip, the default).",
    ),
    base.Option(
        ["--output-file", "-o"],
        section=spec_options.INPUT,
        help="A path on the node. Default: the master keeps it for `jobs download`.",
    ),
    base.Option(["--overwrite"], is_flag=True, section=spec_options.INPUT, help="Replace the output if it exists."),
    *spec_options.options(),
    *stream_options.target(),
    *stream_options.common(),
]


class _Command(connection.Command):
    """`--output table|json` is the format, as everywhere; any other value of it is the file to make."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = list(args)
        for index, arg in enumerate(rest):
            name, equals, value = arg.partition("=")
            if name != "--output":
                continue
            if not equals:
                value = rest[index + 1] if index + 1 < len(rest) else ""
            if value.lower() not in ("table", "json", ""):
                rest[index] = f"--output-file{equals}{value if equals else ''}"
        return super().parse_args(ctx, rest)


@click.command(
    "submit",
    cls=_Command,
    params=_OPTIONS,
    examples=[
        "ffrtmp jobs submit --scenario 720p30-h264 --duration 120 --bitrate 2M",
        "ffrtmp jobs submit --input in.mov --output-file out.mp4 --codec h264 --crf 21 --follow",
        "ffrtmp jobs submit --input in.mov --output-file out.mp4 --scenario web-1080p-h264 --crf 20",
        "ffrtmp jobs submit --input in.mov --output-file out.mp4 --codec h265 --target-vmaf 93 --follow",
        "ffrtmp jobs submit --file job.json --priority high --wait",
        "ffrtmp jobs submit --codec av1 --dry-run",
        "ffrtmp jobs submit --duration 60 --rtmp-url rtmp://live.local/app --stream-key-file key",
    ],
    notes='--file takes the JSON body of POST /jobs, or {"jobs": [...]} for many; options beside it count more than the '
    "file. --output table or json is the format of what is printed; any other value is the file to make, as --output-file.",
)
@click.option(
    "--file",
    "-f",
    "source",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Read the job from JSON; - is stdin.",
)
@click.option("--idempotency-key", help="Submitting again with the same key makes no second job.")
@click.option("--dry-run", "dry", is_flag=True, help="Only show what it would become.")
@click.option("--wait", is_flag=True, help="Wait for the end; the exit code tells.")
@click.option("--follow", is_flag=True, help="Like --wait, with progress.")
@click.option("--timeout", type=parameters.DURATION, help="Wait no longer than this.")
async def command(
    session: connection.Session,
    source: str | None,
    idempotency_key: str | None,
    dry: bool,
    wait: bool,
    follow: bool,
    timeout: float | None,
    input: str | None,
    output_file: str | None,
    overwrite: bool,
    **values: Any,
) -> int | None:
    """Submit a job."""
    streamed = stream_options.take(values)
    asked = spec_options.take(values)
    files = {"input": input, "output": output_file, "overwrite": overwrite or None}
    asked = spec_options.merge(
        asked, {"parameters": {name: value for name, value in files.items() if value is not None} | streamed}
    )
    many, bodies = _bodies(source)
    bodies = [spec_options.merge(body, asked) for body in bodies]
    says = {"codec", "measure", "rtmp_url"}
    if not many and not bodies[0].get("scenario") and not says & bodies[0]["parameters"].keys():
        raise click.UsageError("Say what to make: --scenario 720p30-h264, or --codec h264, or --file job.json.")
    try:
        if dry:
            _dry(session, bodies, many, await dry_run.book(session, bodies))
            return None
        return await _submit(session, bodies, many, idempotency_key, wait=wait, follow=follow, timeout=timeout)
    except errors.InvalidInput as error:
        raise error if source else spec_options.as_options(error, _PATHS) from None


def _bodies(source: str | None) -> tuple[bool, list[dict[str, Any]]]:
    """(there are many, the bodies as the file has them)"""
    import msgspec

    if source is None:
        return False, [{}]
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        found = msgspec.json.decode(raw)
    except OSError as error:
        raise click.UsageError(f"{source} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise click.UsageError(f"{'stdin' if source == '-' else source} is not JSON: {error}") from None
    many = isinstance(found, list) or (isinstance(found, dict) and set(found) == {"jobs"})
    items = found if isinstance(found, list) else found["jobs"] if many else [found]
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise click.UsageError(f'{source} must hold a job (a JSON object) or several ({{"jobs": [...]}}).')
    return many, items


def _dry(session: connection.Session, bodies: list[dict[str, Any]], many: bool, known: "presets.Book") -> None:
    specs = [dry_run.resolve(body, known) for body in bodies]
    if session.out.json:
        session.out.document({"specs": specs, "count": len(specs)} if many else specs[0])
        return
    for number, spec in enumerate(specs, 1):
        dry_run.page(session.out, f"Job {number} of {len(specs)} would be" if many else "It would be", spec)


async def _submit(
    session: connection.Session,
    bodies: list[dict[str, Any]],
    many: bool,
    key: str | None,
    *,
    wait: bool,
    follow: bool,
    timeout: float | None,
) -> int | None:
    key = key or secrets.token_urlsafe(18)
    async with session.open() as client:
        if many:
            made = (await client.submit_batch(bodies, idempotency_key=key)).jobs
        else:
            made = [await client.submit(bodies[0], idempotency_key=key)]
        waits = wait or follow
        if not waits or not session.out.json:
            _told(session, made, many, waits=waits)
        if not waits:
            return None
        ids = [job.id for job in made]
        if follow:
            return await jobs_read.follow_jobs(session, client, ids, timeout_seconds=timeout, outcomes=True)
        return await jobs_read.wait_for(session, client, ids, timeout, many=many)


def _told(session: connection.Session, made: list[Any], many: bool, *, waits: bool) -> None:
    if session.out.json:
        session.out.document({"jobs": made, "count": len(made)} if many else made[0])
        return
    for job in made:
        session.out.text(f"{text.name(job)} is {job.state}: {text.what(job)}  ({job.id})")
    if len(made) == 1 and not waits:
        session.out.say(f"Watch it: ffrtmp jobs status {made[0].sequence_number} --follow{session.out.options}")
