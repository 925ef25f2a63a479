"""One command of an attempt, watched: what it reports is told, and its failure is raised."""

import time

from ffrtmp.agent.attempt import Attempt
from ffrtmp.domain.command import Command
from ffrtmp.domain.errors import TaskError
from ffrtmp.media import failures
from ffrtmp.media.progress import FfmpegProgress, SignsOfLife
from ffrtmp.process import run


async def run_one(attempt: Attempt, command: Command, progress: FfmpegProgress, *, tell: bool = True) -> run.Outcome:
    """`tell` off: its progress counts as life, but is no part of the encode's. Raises TaskError."""
    signs = SignsOfLife(command.limits.stall_seconds)

    def on_line(line: str, child: run.Child) -> None:
        if (found := progress.feed(line)) is not None:
            if signs.shows(found, time.monotonic()):
                child.alive()
            if tell:
                attempt.progress(found)

    return await attempt.run(command, on_line)


def check(outcome: run.Outcome, command: Command) -> None:
    """Raises TaskError when it did not end well."""
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
