"""A task that streams: input → engine → pipe → RTMP server, in real time. No file is made."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

from ffrtmp.agent import encode, source, ways
from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.running import run_all
from ffrtmp.agent.stream_verdict import judge
from ffrtmp.domain.errors import TaskError
from ffrtmp.domain.job import Progress, Result
from ffrtmp.domain.streaming import Target
from ffrtmp.media.choice import Choice
from ffrtmp.media.progress import ALMOST, Reader
from ffrtmp.media.verify import Expectation
from ffrtmp.runtime.threads import ended
from ffrtmp.transfer.push import Push

#: a server that is told the end of a stream that was stopped gets so long to hear it
_FAREWELL_SECONDS = 1.0
_TELL_SECONDS = 1.0


async def stream(attempt: Attempt, target: Target) -> Result:
    """Raises TaskError, OSError. When it is stopped the server is told; when its lease is lost the connection just ends."""
    kit = attempt.kit
    scratch = await asyncio.to_thread(kit.work.scratch, attempt.id)
    path = await source.fetched(attempt, scratch)
    found = await source.looked_into(attempt, path)
    expectation = encode.expected(attempt, found)
    pipe = scratch / "output.flv"
    await asyncio.to_thread(os.mkfifo, pipe, 0o600)
    run = await encode.begun(attempt, found, expectation, input=path, output=pipe, scratch=scratch)
    await attempt.running.wait()
    push = Push(
        target,
        private=kit.private_targets,
        note=attempt.log.note,
        may_send=lambda: attempt.holds(attempt.id),
        rng=random.SystemRandom(),
    )

    async def one_way(choice: Choice) -> None:
        commands = run.commands(choice)
        async with ways.session(attempt, choice), _reading(pipe) as engine:
            reports = _Reports(run.progress(len(commands)), push, expectation)
            encoding = asyncio.create_task(run_all(attempt, commands, reports), name="encode")
            try:
                await _together(encoding, asyncio.create_task(push.run(engine), name="push"), attempt, reports)
            except TaskError as error:
                if push.sent.made and choice.use is not None:
                    # another way would begin the stream anew: that is for another attempt
                    raise TaskError(error.failure.code, error.failure.message, retriable=True) from error
                raise

    try:
        await push.begin()
        await ways.first_that_works(attempt, await run.ways(), one_way)
        await push.close()
    except asyncio.CancelledError:
        if not attempt.silent:
            await ended(asyncio.ensure_future(_farewell(push)))
        raise
    finally:
        pushed = push.result()
        attempt.note_made(pushed=pushed)
        attempt.log.note(
            f"streamed {pushed.seconds:.1f} s to {pushed.target}: {pushed.frames} frames sent, {pushed.dropped_frames}"
            f" dropped, {pushed.reconnects} reconnects, {pushed.away_seconds:.1f} s without the server"
        )
        push.abort()
    if found is not None:
        await found.check_unchanged()
    await _verdict(attempt, push, expectation)
    return attempt.result()


async def _together(
    encoding: "asyncio.Task[None]", pushing: "asyncio.Task[None]", attempt: Attempt, reports: "_Reports"
) -> None:
    """The engine and what it feeds, to the end of both; what fails first ends the other, and is raised."""
    telling = asyncio.create_task(_tell(attempt, reports), name="tell")
    both = {encoding, pushing}
    try:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        for task in (pushing, encoding):
            if task in done:
                task.result()
    finally:
        for task in (*both, telling):
            task.cancel()
        for task in both:
            await ended(task)


async def _tell(attempt: Attempt, reports: "_Reports") -> None:
    """The engine ends before what it made was sent."""
    while True:
        await asyncio.sleep(_TELL_SECONDS)
        attempt.progress(reports.now())


async def _farewell(push: Push) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FAREWELL_SECONDS):
            await push.close()


async def _verdict(attempt: Attempt, push: Push, expectation: Expectation) -> None:
    """Raises TaskError: output_invalid, too_slow. What was streamed cannot be taken back: neither is tried again."""
    pushed = push.result()
    verdict, code = judge(expectation, push.sent.setup, push.sent.made, pushed)
    attempt.note_made(verdict=verdict, frames=push.sent.made, speed=verdict.checks["speed"])
    if not verdict.passed:
        raise TaskError(code, "The stream is not what was asked: " + "; ".join(verdict.problems), retriable=False)
    await attempt.send_log()


@contextlib.asynccontextmanager
async def _reading(pipe: Path) -> AsyncIterator[asyncio.StreamReader]:
    """The reading end of a named pipe. It has no end of file before a writer has come and gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    try:
        yield reader
    finally:
        transport.close()


class _Reports:
    """The engine's reports as signs of its life; how far the stream is tells what was sent."""

    def __init__(self, engine: Reader, push: Push, expectation: Expectation) -> None:
        self._engine = engine
        self._push = push
        self._seconds = expectation.video_seconds

    def feed(self, line: str) -> Progress | None:
        return None if self._engine.feed(line) is None else self.now()

    def now(self) -> Progress:
        sent, total = self._push.sent, self._seconds
        if sent.began is None:
            return Progress(phase="stream")
        wall = max(time.monotonic() - sent.began + sent.behind, 0.001)
        return Progress(
            percent=min(round(100 * sent.seconds / total, 2), ALMOST) if total else None,
            frame=sent.made,
            fps=round(sent.made / wall, 2),
            speed=round(sent.seconds / wall, 3),
            bitrate_bps=round(8 * sent.bytes / sent.seconds) if sent.seconds else None,
            out_seconds=round(sent.seconds, 3),
            eta_seconds=round(max(total - sent.seconds, 0.0), 2) if total else None,
            dropped_frames=sent.dropped,
            phase="reconnect" if sent.away_since is not None else "stream",
        )
