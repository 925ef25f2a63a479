"""`ffrtmp presets list|show`"""

import click

from ffrtmp.cli import connection, names

command = connection.Group("presets", help="See the presets that jobs may name.", no_args_is_help=True)


@command.command("list", examples=["ffrtmp presets list", "ffrtmp presets list --output json"])
async def list_(session: connection.Session) -> None:
    """List the presets: those that come along and the operator's."""
    async with session.open() as client:
        view = await client.presets()
    if session.out.json:
        session.out.document(view)
        return
    session.out.table(
        ["PRESET", "FROM", "WHAT IT MAKES"],
        [[preset.name, preset.source, preset.description] for preset in view.presets],
        wrapped=("WHAT IT MAKES",),
    )
    session.out.say("Use one: ffrtmp transcode IN OUT --scenario NAME. Names like 720p30-h264 need no preset.")


@command.command(
    "show",
    examples=[
        "ffrtmp presets show web-1080p-h264",
        "ffrtmp presets show live-720p30-h264",
        "ffrtmp presets show web-1080p-h264 > presets/ours-1080p.toml",
    ],
    notes="It prints the file itself: a copy in a directory of --presets is a preset of your own.",
)
@click.argument("name", shell_complete=names.complete_preset)
async def show_(session: connection.Session, name: str) -> None:
    """Show one preset, or what a scenario's name says, in full, as TOML."""
    async with session.open() as client:
        preset = await client.preset(name)
    if session.out.json:
        session.out.document(preset)
        return
    session.out.text(preset.text.rstrip())
