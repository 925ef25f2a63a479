"""`ffrtmp queue`"""

import click

from ffrtmp.cli import connection, output, show


@click.command("queue", cls=connection.Command, examples=["ffrtmp queue"])
async def command(session: connection.Session) -> None:
    """Show what waits, by queue and requirements, and why."""
    async with session.open() as client:
        view = await client.queue()
    if session.out.json:
        session.out.document(view)
        return
    if not view.rows:
        session.out.say("The queue is empty.")
        return
    session.out.table(
        ["QUEUE", "STATE", "TASKS", "REQUIRES", "WHY"],
        [
            [
                row.queue,
                output.state(row.state),
                row.count,
                _requires(row.requires),
                f"{row.waiting_reason} ({row.waiting_code})" if row.waiting_code else "",
            ]
            for row in view.rows
        ],
        right=("TASKS",),
        wrapped=("REQUIRES",),
    )
    session.out.text(f"{view.total} in all")


def _requires(requires: dict[str, object]) -> str:
    """`h264 mp4 local_path`: what is asked, in few words; a yes is its name."""
    words = []
    for name, value in show.flat(requires):
        words.append(
            name if value == "yes" else value if name in ("codec", "container", "engine") else f"{name}={value}"
        )
    return " ".join(words) or "nothing"
