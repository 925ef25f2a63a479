"""`ffrtmp jobs list|status|logs|wait|explain`: nothing here changes anything."""

import asyncio
from typing import TYPE_CHECKING, Any

import click

from ffrtmp.cli import connection, exits, parameters, progress, show, spec_options, text, watch
from ffrtmp.domain import errors

if TYPE_CHECKING:
    from ffrtmp.client.client import Client
    from ffrtmp.protocol.views import JobView

_PAGE = 100


def outcome(jobs: list["JobView"]) -> exits.Exit:
    """The exit code for jobs that were waited for."""
    return exits.Exit.OK if all(job.state == "completed" for job in jobs) else exits.Exit.FAILED


_FILTERS = (
    click.Option(["--state"], multiple=True, help="Only jobs in this state (may be repeated)."),
    click.Option(["--queue"], type=click.Choice(["live", "default", "batch"]), help="Only this queue."),
    click.Option(["--priority"], type=click.Choice(["high", "medium", "low"]), help="Only this priority."),
    click.Option(["--engine"], type=click.Choice(["auto", "ffmpeg", "gstreamer"]), help="Only this engine."),
    click.Option(["--scenario"], help="Only this scenario."),
    click.Option(["--node"], help="Only jobs of this node (id or name)."),
    click.Option(["--tag"], type=parameters.LABEL, multiple=True, help="Only jobs with this tag (may be repeated)."),
    click.Option(
        ["--limit"],
        type=click.IntRange(1),
        default=_PAGE,
        show_default=True,
        help="At most this many.",
    ),
    click.Option(["--all"], is_flag=True, help="All of them, page after page."),
    click.Option(["--cursor"], help="Go on where a page ended (its next_cursor)."),
)


async def _list(session: connection.Session, options: dict[str, Any]) -> None:
    limit, everything, cursor = options.pop("limit"), options.pop("all"), options.pop("cursor")
    filters = {
        **{name: value for name, value in options.items() if name not in ("state", "tag")},
        "state": options.get("state", ()),
        "tags": dict(options.get("tag", ())),
    }
    found: list[JobView] = []
    async with session.open() as client:
        while True:
            ask = _PAGE if everything else min(_PAGE, limit - len(found))
            try:
                page = await client.jobs(**filters, limit=ask, cursor=cursor)
            except errors.InvalidInput as error:
                typed = {f"query.{name}": f"--{name}" for name in (*filters, "tag", "limit", "cursor")}
                raise spec_options.as_options(error, typed) from None
            found += page.jobs
            cursor = page.next_cursor
            if cursor is None or (not everything and len(found) >= limit):
                break
    if session.out.json:
        session.out.document(
            {"jobs": found, "count": len(found), **({"next_cursor": cursor} if cursor is not None else {})}
        )
        return
    show.jobs_table(session.out, found)
    if cursor is not None:
        session.out.say(f"There are more: --all shows them, --cursor {cursor} goes on from here.")


@click.command(
    "list",
    cls=connection.Command,
    params=[*_FILTERS],
    examples=[
        "ffrtmp jobs list --state running --state queued",
        "ffrtmp jobs list --tag show=42 --output json | jq '.jobs[].id'",
    ],
)
async def list_(session: connection.Session, **options: Any) -> None:
    """List jobs, newest first."""
    await _list(session, options)


@click.command(
    "status",
    cls=connection.Command,
    examples=["ffrtmp jobs status", "ffrtmp jobs status 17", "ffrtmp jobs status 17 --follow"],
    notes="With --follow, --output json prints one JSON line for each change, and the exit code tells how the job ended.",
)
@click.argument("job", required=False)
@click.option("--follow", "-f", is_flag=True, help="Watch until the job has ended.")
@click.option("--timeout", type=parameters.DURATION, help="Follow no longer than this (exit code 124).")
async def status(session: connection.Session, job: str | None, follow: bool, timeout: float | None) -> int | None:
    """Show one job in full, or all jobs.

    JOB is a number or an id; without it all jobs are listed.
    """
    if job is None:
        if follow:
            raise click.UsageError("--follow needs a job: ffrtmp jobs status 17 --follow")
        await _list(session, {"limit": _PAGE, "all": False, "cursor": None})
        return None
    async with session.open() as client:
        if follow:
            code = await follow_jobs(session, client, [job], timeout_seconds=timeout)
            if session.out.json or code is exits.Exit.INTERRUPTED:
                return code
            await print_job(session, client, await client.job(job))
            return code
        await print_job(session, client, await client.job(job))
    return None


async def print_job(session: connection.Session, client: "Client", job: "JobView") -> None:
    if session.out.json:
        session.out.document(job)
        return
    outputs = await client.outputs(job.id) if job.state == "completed" else None
    show.job_page(session.out, job, outputs, await client.tasks(job.id))


async def follow_jobs(
    session: connection.Session,
    client: "Client",
    refs: list[str],
    *,
    timeout_seconds: float | None = None,
    outcomes: bool = False,
) -> exits.Exit:
    """Progress until all have ended; with JSON a line for each change. `outcomes`: then say what became of each; without, the
    caller prints the job."""
    watcher = watch.Watcher(client, refs, notice=session.out.say)
    try:
        ended = await _watch(session, watcher, timeout_seconds, lines=session.out.json, passing=not outcomes)
    except _Left:
        return exits.Exit.INTERRUPTED
    if outcomes:
        _outcomes(session, watcher)
    return _code(session, watcher, ended)


def _code(session: connection.Session, watcher: watch.Watcher, ended: bool) -> exits.Exit:
    """The exit code for jobs that were waited for."""
    if not ended:
        session.out.say("The time is up; the jobs go on.")
        return exits.Exit.TIMED_OUT
    return outcome(list(watcher.jobs.values()))


class _Left(Exception):
    """Ctrl-C, and it was told."""


async def _watch(
    session: connection.Session,
    watcher: watch.Watcher,
    timeout_seconds: float | None,
    *,
    lines: bool = False,
    passing: bool = False,
) -> bool:
    """Whether all ended in time. Raises _Left."""
    out = session.out
    try:
        with progress.display(out, passing=passing) as display:

            def see(job: "JobView") -> None:
                display.job(job, f"{text.name(job)} {text.what(job)}")
                if lines:
                    out.line(job)

            return await watch.wait(watcher, see, timeout_seconds)
    except asyncio.CancelledError:
        # who stops watching should know that nothing else stops; bars have ended the line that ^C stands on
        echoed = out.messages.is_terminal and not isinstance(display, progress.Bars)
        out.say("\nThe jobs go on." if echoed else "The jobs go on.")
        raise _Left from None


def _outcomes(session: connection.Session, watcher: watch.Watcher) -> None:
    if not session.out.json:
        for job in watcher.jobs.values():
            show.outcome(session.out, job)


@click.command(
    "wait",
    cls=connection.Command,
    examples=["ffrtmp jobs wait 17 18", "ffrtmp jobs wait 17 --timeout 10m || ffrtmp jobs logs 17"],
    notes="Exit code 0 when all completed, 1 when one did not, 124 when the time was up.",
)
@click.argument("jobs", nargs=-1, required=True)
@click.option("--timeout", type=parameters.DURATION, help="Wait no longer than this, e.g. 90, 10m, 2h.")
async def wait(session: connection.Session, jobs: tuple[str, ...], timeout: float | None) -> int:
    """Wait until jobs have ended; the exit code tells how."""
    async with session.open() as client:
        return await wait_for(session, client, list(dict.fromkeys(jobs)), timeout, many=True)


async def wait_for(
    session: connection.Session, client: "Client", refs: list[str], timeout_seconds: float | None, *, many: bool
) -> exits.Exit:
    """Wait, then print one JSON document where JSON was asked: of one job, or of `many`."""
    watcher = watch.Watcher(client, refs, notice=session.out.say)
    try:
        ended = await _watch(session, watcher, timeout_seconds)
    except _Left:
        return exits.Exit.INTERRUPTED
    found = list(watcher.jobs.values())
    if session.out.json:
        session.out.document({"jobs": found, "count": len(found)} if many else found[0])
    _outcomes(session, watcher)
    return _code(session, watcher, ended)


@click.command(
    "logs",
    cls=connection.Command,
    examples=["ffrtmp jobs logs 17", "ffrtmp jobs logs 17 --attempt 2"],
)
@click.argument("job")
@click.option("--attempt", type=click.IntRange(1), help="Only this attempt.")
async def logs(session: connection.Session, job: str, attempt: int | None) -> None:
    """Print what the engine said, attempt by attempt."""
    async with session.open() as client:
        view = await client.logs(job)
        why_none = "" if view.attempts or view.logs else _why_no_log(await client.job(job))
    attempts = [log for log in view.attempts if attempt in (None, log.number)]
    if attempt is not None and not attempts:
        known = ", ".join(str(log.number) for log in view.attempts) or "none yet"
        raise errors.NotFound(f"Job {job} has no log of attempt {attempt}; it has: {known}.")
    if session.out.json:
        session.out.document(view)
        return
    if why_none:
        session.out.say(f"There is no log: {why_none}.")
    for log in attempts:
        session.out.say(f"--- attempt {log.number} on {log.node_name}")
        click.echo(log.text.rstrip("\n"))
    if not attempts and view.logs:
        click.echo(view.logs.rstrip("\n"))


def _why_no_log(job: "JobView") -> str:
    if job.state in watch.TERMINAL:
        return f"the attempt of {text.name(job)} left none" if job.node_id else f"{text.name(job)} never started"
    if job.state == "running":
        return f"{text.name(job)} is running, and the log comes when the attempt ends"
    return f"{text.name(job)} is {job.state}, and a log comes when an attempt ends"


@click.command("explain", cls=connection.Command, examples=["ffrtmp jobs explain 17"])
@click.argument("job")
async def explain(session: connection.Session, job: str) -> None:
    """Say why a job waits, where it can run, and what was decided."""
    async with session.open() as client:
        view, current = await asyncio.gather(client.explain(job), client.job(job))
    if session.out.json:
        session.out.document(view)
    else:
        show.explain_page(session.out, current, view)
