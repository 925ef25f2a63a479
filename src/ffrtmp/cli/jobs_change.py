"""`ffrtmp jobs cancel|pause|resume|retry`: one shape, several jobs at a time."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from ffrtmp.cli import connection, exits, output, text
from ffrtmp.domain import errors

if TYPE_CHECKING:
    from ffrtmp.client.client import Client
    from ffrtmp.protocol.views import ChangeView


async def _change(
    session: connection.Session,
    refs: tuple[str, ...],
    act: "Callable[[Client, str], Awaitable[ChangeView]]",
    told: "Callable[[ChangeView, str], str]",
) -> int:
    """Each job stands alone: one that refuses does not keep the others. The exit code is that of the first refusal."""
    changes: list[ChangeView] = []
    code = exits.Exit.OK
    async with session.open() as client:
        for ref in dict.fromkeys(refs):
            try:
                change = await act(client, ref)
            except (errors.NotFound, errors.Conflict) as error:
                code = code or exits.of(error)
                for line in output.error_lines(error):
                    session.out.say(line)
                continue
            changes.append(change)
            if not session.out.json:
                session.out.text(told(change, ref))
    if session.out.json:
        session.out.document({"changes": changes, "count": len(changes)})
    return code


def _is_now(change: "ChangeView", _ref: str) -> str:
    return f"{text.name(change.job)} is {change.job.state}"


def _cancel_told(change: "ChangeView", ref: str) -> str:
    if change.job.state == "canceled":
        return _is_now(change, ref)
    return f"{text.name(change.job)} is being canceled (now {change.job.state})"


def _retry_told(change: "ChangeView", ref: str) -> str:
    return f"{text.name(change.job)} is {change.job.state}, a retry of job {ref}"


@click.command("cancel", cls=connection.Command, examples=["ffrtmp jobs cancel 17 18"])
@click.argument("jobs", nargs=-1, required=True)
async def cancel(session: connection.Session, jobs: tuple[str, ...]) -> int:
    """Cancel jobs.

    What runs is stopped, and nothing half-written stays. A job that is just publishing its output completes.
    """
    return await _change(session, jobs, lambda client, ref: client.cancel(ref), _cancel_told)


@click.command("pause", cls=connection.Command, examples=["ffrtmp jobs pause 17", "ffrtmp jobs resume 17"])
@click.argument("jobs", nargs=-1, required=True)
async def pause(session: connection.Session, jobs: tuple[str, ...]) -> int:
    """Pause jobs: running ones keep their place and stop using the CPU."""
    return await _change(session, jobs, lambda client, ref: client.pause(ref), _is_now)


@click.command("resume", cls=connection.Command, examples=["ffrtmp jobs resume 17"])
@click.argument("jobs", nargs=-1, required=True)
async def resume(session: connection.Session, jobs: tuple[str, ...]) -> int:
    """Let paused jobs go on."""
    return await _change(session, jobs, lambda client, ref: client.resume(ref), _is_now)


@click.command("retry", cls=connection.Command, examples=["ffrtmp jobs retry 17"])
@click.argument("jobs", nargs=-1, required=True)
async def retry(session: connection.Session, jobs: tuple[str, ...]) -> int:
    """Submit ended jobs again, each as a new job."""
    return await _change(session, jobs, lambda client, ref: client.retry(ref), _retry_told)
