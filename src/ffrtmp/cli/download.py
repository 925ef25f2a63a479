"""`ffrtmp jobs download`"""

from pathlib import Path

import click

from ffrtmp.cli import connection, progress, text
from ffrtmp.domain import errors, units


@click.command(
    "download",
    cls=connection.Command,
    examples=["ffrtmp jobs download 17", "ffrtmp jobs download 17 --to ready/holiday.mp4"],
    notes="A broken download goes on where it was when you repeat the command; every file is checked by its SHA-256.",
)
@click.argument("job")
@click.argument("name", required=False)
@click.option("--to", type=click.Path(path_type=Path), help="A file, or a directory. Default: the current directory.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
async def command(session: connection.Session, job: str, name: str | None, to: Path | None, overwrite: bool) -> None:
    """Fetch what a job made.

    NAME is one of its outputs; without it all are fetched.
    """
    target = to or Path()
    async with session.open() as client:
        view = await client.job(job)
        found = (await client.outputs(job)).outputs
        chosen = [made for made in found if name in (None, made.name)]
        if not chosen:
            names = ", ".join(made.name for made in found)
            pushed = view.result.pushed if view.result else None
            none = f"it was streamed to {pushed.target}" if pushed else f"the job is {view.state}"
            why = f"it has {names}" if names else f"it has none: {none}"
            raise errors.NotFound(f"{text.name(view)} has no output{f' {name!r}' if name else ''}; {why}.")
        into_directory = target.is_dir() or len(chosen) > 1 or str(to or "").endswith("/")
        fetched = []
        with progress.display(session.out) as display:
            for made in chosen:
                dest = target / Path(made.name).name if into_directory else target
                dest.parent.mkdir(parents=True, exist_ok=True)
                await client.download(
                    job,
                    made.name,
                    dest,
                    overwrite=overwrite,
                    on_progress=lambda done, total, label=made.name: display.transfer(  # type: ignore[misc]
                        label, "fetched", done, total
                    ),
                )
                fetched.append(
                    {"name": made.name, "path": str(dest), "size_bytes": made.size_bytes, "sha256": made.sha256}
                )
    if session.out.json:
        session.out.document({"job_id": view.id, "files": fetched})
        return
    for made, row in zip(chosen, fetched, strict=True):
        session.out.text(f"{row['path']}  {units.human_bytes(made.size_bytes)}")
