"""The commands of an attempt, run within its time and watched for progress."""

import time

import msgspec

from ffrtmp.agent.attempt import Attempt
from ffrtmp.domain.command import Command
from ffrtmp.domain.errors import Code, TaskError
from ffrtmp.media import failures
from ffrtmp.media.progress import FfmpegProgress, Reader, SignsOfLife
from ffrtmp.process import run


async def run_all(attempt: Attempt, commands: list[Command], progress: Reader, *, beside: str = "") -> None:
    """One command after another. Raises TaskError.

    `beside`: the phase of commands that do not make what the job is about: their lines and times are not the result's.
    """
    wall = 0.0
    wall_before = attempt.made.wall_seconds or 0.0  # of ways that failed
    for command in commands:
        outcome = await _run(attempt, command, progress, beside)
        wall += outcome.wall_seconds
        if not beside:
            attempt.note_made(command=list(command.argv), wall_seconds=round(wall_before + wall, 3))
        _check(outcome, command)


async def run_one(attempt: Attempt, command: Command, *, beside: str) -> run.Outcome:
    """For what it prints. Raises TaskError when it does not end well."""
    outcome = await _run(attempt, command, FfmpegProgress(None, None), beside)
    _check(outcome, command)
    return outcome


async def _run(attempt: Attempt, command: Command, progress: Reader, beside: str) -> run.Outcome:
    signs = SignsOfLife(command.limits.stall_seconds)
    tell = attempt.moved(beside) if beside else None

    def on_line(line: str, child: run.Child) -> None:
        if (found := progress.feed(line)) is not None:
            if signs.shows(found, time.monotonic()):
                child.alive()
            if tell is None:
                attempt.progress(found)
            elif found.percent is not None:
                tell(int(found.percent), 100)

    return await attempt.run(_in_time(attempt, command), on_line)


def _in_time(attempt: Attempt, command: Command) -> Command:
    """The limit is the whole attempt's: its input's fetching and the commands before this one are in it."""
    limit = command.limits.wall_seconds
    if limit is None:
        return command
    left = max(limit - attempt.ran_seconds(), 0.1)
    return msgspec.structs.replace(command, limits=msgspec.structs.replace(command.limits, wall_seconds=left))


def _check(outcome: run.Outcome, command: Command) -> None:
    failure = failures.from_outcome(
        outcome.ended.value,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        log=outcome.log,
        wall_seconds=outcome.wall_seconds,
        name=command.name,
        memory_limit_bytes=command.limits.memory_bytes,
        peak_memory_bytes=outcome.max_rss_bytes,
    )
    if failure is not None:
        raise TaskError(failure.code, failure.message, retriable=failure.retriable)


def check_size(attempt: Attempt, size: int) -> None:
    """What the watch over the encode can miss: it looks at the disk once a second. Raises TaskError(disk_limit)."""
    most = attempt.spec.limits.max_disk_bytes
    if most is not None and size > most:
        raise TaskError(Code.DISK_LIMIT, f"The output has {size} bytes, more than the job's {most}")
