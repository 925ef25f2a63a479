"""The input of an attempt: fetched, found, looked into, and seen to have stayed as it was."""

import asyncio
import os
import time
from pathlib import Path

import msgspec

from ffrtmp.agent.attempt import Attempt
from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code, TaskError
from ffrtmp.domain.spec import Input, InputKind
from ffrtmp.media.inspection import Inspection
from ffrtmp.runtime.threads import in_thread
from ffrtmp.transfer import local

#: looking into a file may always take so long, and longer where the file is large or was slow to make
INSPECT_SECONDS = 600.0
_SLOWEST_DISK_BYTES_PER_SECOND = 10_000_000


class Source(msgspec.Struct, frozen=True):
    path: Path
    inspection: Inspection
    state: "State | None"

    async def check_unchanged(self) -> None:
        """Raises TaskError(input_invalid), to be tried again, when somebody wrote to it meanwhile."""
        after = await in_thread(state, self.path)
        if self.state is not None and after is not None and after.inode == self.state.inode and after != self.state:
            raise TaskError(
                Code.INPUT_INVALID, f"The input {self.path} was written to while it was read", retriable=True
            )


class State(msgspec.Struct, frozen=True):
    """What changes when a file is written to. A file that was replaced by another (a new inode) was read to its end as it was."""

    inode: int
    size_bytes: int
    written_ns: int


def state(path: Path) -> State | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return State(found.st_ino, found.st_size, found.st_mtime_ns)


async def fetched(attempt: Attempt, scratch: Path) -> Path | None:
    """Where the input is; None: it is generated. Raises TaskError: input_missing, timed_out, …"""
    if attempt.work.input.kind is InputKind.GENERATE:
        attempt.log.note("input: generated")
        return None
    return await fetch(attempt, attempt.work.input, scratch / "input")


async def looked_into(attempt: Attempt, path: Path | None) -> Source | None:
    """The input of an encode as it is. `path` None: it is generated. Raises TaskError."""
    if path is None:
        return None
    return await inspect(attempt, path, start=attempt.spec.start, duration=attempt.spec.duration)


async def fetch(attempt: Attempt, given: Input, dest: Path) -> Path:
    """Where a file is that the work names; an upload comes to `dest`. Raises TaskError: input_missing, timed_out, …"""
    limit = attempt.work.limits.timeout_seconds
    try:
        async with asyncio.timeout(None if limit is None else max(limit - attempt.ran_seconds(), 0.1)):
            return await _path(attempt, given, dest)
    except TimeoutError:
        raise TaskError(Code.TIMED_OUT, f"Fetching the input took longer than the job's {limit:g} s.") from None


async def _path(attempt: Attempt, given: Input, dest: Path) -> Path:
    if given.kind is InputKind.UPLOAD:
        try:
            name = await attempt.kit.master.fetch(given.upload_id or "", dest, attempt.moved("fetch"))
        except errors.NotFound as error:
            raise TaskError(Code.INPUT_MISSING, f"The upload {given.upload_id} is not there any more.") from error
        if given == attempt.work.input:
            attempt.work = msgspec.structs.replace(attempt.work, input=msgspec.structs.replace(given, name=name))
        attempt.log.note(f"{dest.name}: {name}, fetched from the artifact store")
        return dest
    return await in_thread(local.resolve_input, given.path or "", attempt.kit.roots)


async def inspect(attempt: Attempt, path: Path, *, start: float, duration: float | None, role: str = "input") -> Source:
    """`role`: what the log calls it. Raises TaskError with the code that says what is wrong with the file."""
    before = await in_thread(state, path)
    began = time.monotonic()
    size = (await asyncio.to_thread(path.stat)).st_size
    found = await attempt.kit.inspector.inspect(
        path,
        start=start,
        duration=duration,
        timeout_seconds=max(INSPECT_SECONDS, size / _SLOWEST_DISK_BYTES_PER_SECOND),
    )
    took, metrics = time.monotonic() - began, attempt.metrics
    metrics["inspect_seconds"] = round(metrics.get("inspect_seconds", 0.0) + took, 4)
    metrics["bytes_read"] = metrics.get("bytes_read", 0) + found.size_bytes
    attempt.log.note(f"{role}: {path} ({describe(found)})")
    return Source(path, found, before)


def describe(found: Inspection) -> str:
    """`mov,mp4…: h264 1280x720 25 fps, 132 frames, 5.28 s; aac 48000 Hz 6 ch`"""
    parts = []
    if video := found.main_video:
        width, height = video.display_size
        rate = f", {float(video.frame_rate):.5g} fps" if video.frame_rate else ""
        length = f", {video.duration_seconds:.3f} s" if video.duration_seconds else ""
        parts.append(f"{video.codec} {width}x{height} {video.pixel_format}{rate}, {video.frames} frames{length}")
    if audio := found.main_audio:
        parts.append(f"{audio.codec} {audio.sample_rate} Hz {audio.channels} ch")
    return f"{found.container.partition(',')[0]}: " + "; ".join(parts or ["no streams"])
