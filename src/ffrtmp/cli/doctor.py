"""`ffrtmp doctor`: what works here, and how to mend what does not."""

import asyncio
import functools

import click

from ffrtmp.cli import base, checks, connection, exits, output


@click.command(
    "doctor",
    cls=connection.Command,
    params=[
        base.Option(["--ffmpeg"], envvar="FFRTMP_AGENT_FFMPEG", help="Another ffmpeg than the one that came along."),
        base.Option(
            ["--gst-launch"], envvar="FFRTMP_AGENT_GST_LAUNCH", help="Another gst-launch-1.0 than the one in PATH."
        ),
        base.Option(["--no-encoders"], is_flag=True, help="Do not try the encoders (it takes some seconds)."),
    ],
    examples=["ffrtmp doctor", "ffrtmp doctor --master farm.local:8080 --output json"],
    notes="Exit code 1 when something that is needed fails. A master is needed only where one was named; of several, each.",
)
@click.pass_context
async def command(
    ctx: click.Context, session: connection.Session, ffmpeg: str | None, gst_launch: str | None, no_encoders: bool
) -> int:
    """Check what works here, and say how to mend what does not."""
    named = ctx.get_parameter_source("master") is not click.core.ParameterSource.DEFAULT or _named_before(ctx)
    steps = [
        checks.programs(ffmpeg),
        *([] if no_encoders else [checks.encoders(ffmpeg)]),
        checks.gstreamer(gst_launch, encoders=not no_encoders),
        checks.limits(),
        checks.places(),
        checks.masters(session.connection, needed=named),
    ]
    found: list[checks.Check] = []
    for step in asyncio.as_completed(steps):
        found += await step
    found.sort(key=lambda check: (checks.ORDER.index(check.group), check.name))
    if session.out.json:
        session.out.document({"checks": found, "ok": not any(check.failed for check in found)})
    else:
        _table(session.out, found)
    return exits.Exit.FAILED if any(check.failed for check in found) else exits.Exit.OK


def _named_before(ctx: click.Context) -> bool:
    return ctx.parent is not None and bool(ctx.parent.params.get("master"))


@functools.cache
def _styles() -> dict[checks.Level, str]:
    return {checks.Level.OK: "green", checks.Level.WARN: "yellow", checks.Level.FAIL: "red", checks.Level.INFO: "dim"}


def _table(out: output.Output, found: list[checks.Check]) -> None:
    from rich.text import Text

    out.table(
        ["", "CHECK", "FOUND"],
        [
            [
                Text(check.level.value, style=_styles()[check.level]),
                check.name,
                check.found + (f"\n→ {check.fix}" if check.fix else ""),
            ]
            for check in found
        ],
    )
    failed = sum(check.failed for check in found)
    out.text(f"\n{failed} of {len(found)} checks failed." if failed else "\nEverything that is needed works.")
