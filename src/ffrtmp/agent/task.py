"""One attempt, from its grant to what is reported of it: input → commands → verification → publication."""

import asyncio
import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ffrtmp.agent import messages as m
from ffrtmp.agent.inspector import Inspector
from ffrtmp.agent.log import AttemptLog
from ffrtmp.agent.workdir import WorkDir
from ffrtmp.domain import errors
from ffrtmp.domain.command import Command
from ffrtmp.domain.errors import Code, Failure, TaskError
from ffrtmp.domain.job import Grant, OutputFile, Progress, Result, Verdict
from ffrtmp.domain.spec import Engine, InputKind, VerifyLevel
from ffrtmp.media import codecs, failures, ffmpeg, verify
from ffrtmp.media.inspection import Inspection
from ffrtmp.media.progress import ALMOST, FfmpegProgress, SignsOfLife
from ffrtmp.media.tools import Tools
from ffrtmp.process import run
from ffrtmp.process.log import clean
from ffrtmp.runtime.threads import ended, in_thread
from ffrtmp.telemetry import logs
from ffrtmp.transfer import local

_log = logs.get("task")

_LOG_SECONDS = 5.0
_LONGEST_MESSAGE = 2000  #: characters; the log has the rest
#: looking into a file may always take so long, and longer where the file is large or was slow to make
_INSPECT_SECONDS = 600.0
_SLOWEST_DISK_BYTES_PER_SECOND = 10_000_000
_UNREADABLE = frozenset({Code.INPUT_MISSING, Code.INPUT_INVALID, Code.INPUT_TRUNCATED, Code.NO_VIDEO_STREAM})
_SLOWEST_DECODE = 4.0  #: times as long as the encode took, or as the video lasts


class Master(Protocol):
    """What a task needs of the master; the agent's shell gives it the client, bound to this node."""

    async def fetch(self, upload_id: str, dest: Path, on_progress: Callable[[int, int], None]) -> str:
        """Returns the file's name on the user's machine."""

    async def store(self, path: Path, name: str, sha256: str, on_progress: Callable[[int, int], None]) -> str: ...
    async def put_log(self, attempt_id: str, text: str) -> None: ...


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    """What all tasks of an agent share."""

    tools: Tools
    encoders: frozenset[str]  #: that work here
    roots: tuple[Path, ...]
    work: WorkDir
    inspector: Inspector
    master: Master
    threads: int | None = None  #: of one engine; None: its own choice
    inspect_threads: int = 1
    sandbox: run.Sandbox = run.OFF


class _Dropped(Exception):
    """Its lease ended before it could be published."""


class Task:
    """`tell` hands events to the session, `may_publish` is asked from another thread just before the rename."""

    def __init__(
        self, grant: Grant, kit: Kit, *, tell: Callable[[m.Event], None], may_publish: Callable[[str], bool]
    ) -> None:
        self._grant = grant
        self._spec = grant.spec
        self._kit = kit
        self._tell = tell
        self._may_publish = may_publish
        self._granted_at = time.monotonic()
        self._child: run.Child | None = None
        self._running = asyncio.Event()  # cleared while paused
        self._running.set()
        self._allowed = asyncio.Event()
        self._stopped = threading.Event()  # for threads that read for long
        self._instead_of: local.Identity | None = None  # what the output replaces, if it is to replace only that
        self._silent = False  # lost: not even its log is sent
        self._log = AttemptLog()
        named = grant.spec.requires.engine is Engine.FFMPEG
        why = "named by the job" if named else "auto: files and generated clips are for ffmpeg"
        self._made = Result(engine=Engine.FFMPEG, engine_reason=why)
        self._metrics: dict[str, Any] = {}
        self._percent: float | None = None
        self._task = asyncio.create_task(self._run(), name=f"attempt {grant.attempt_id}")
        # not from within: a task that is cancelled before its first step never runs
        self._task.add_done_callback(self._tell_end)

    @property
    def id(self) -> str:
        return self._grant.attempt_id

    async def wait(self) -> None:
        await asyncio.wait({self._task})

    def kill(self, *, now: bool) -> None:
        """End it; `TaskEnded` follows when no process is left. `now`: without grace, and say nothing of it any more."""
        if now:
            self._silent = True
            if self._child is not None:
                self._child.kill()
        self._stopped.set()
        self._task.cancel()

    def pause(self) -> None:
        self._running.clear()
        if self._child is not None:
            self._child.pause()

    def resume(self) -> None:
        self._running.set()
        if self._child is not None:
            self._child.resume()

    def allow_publish(self) -> None:
        self._allowed.set()

    def _tell_end(self, done: "asyncio.Task[tuple[Result | None, Failure | None]]") -> None:
        result, failure = (None, None) if done.cancelled() else done.result()
        self._tell(m.TaskEnded(self.id, result=result, failure=failure))

    async def _run(self) -> tuple[Result | None, Failure | None]:
        """Never raises: whatever happens becomes a result, a failure, or neither (it was stopped)."""
        result: Result | None = None
        failure: Failure | None = None
        try:
            result = await self._work()
        except (asyncio.CancelledError, _Dropped):
            self._log.note("Stopped on request.")
        except TaskError as error:
            failure = error.failure
        except errors.FfrtmpError as error:
            failure = Failure(code=Code.TRANSFER_FAILED, message=error.message)
        except OSError as error:
            failure = os_failure(error)
        except Exception as error:  # noqa: BLE001 - one broken task must not take the agent and the other tasks down
            _log.exception("a task broke", attempt_id=self.id)
            failure = Failure(code=Code.INTERNAL, message=f"{type(error).__name__}: {error}")
        if failure is not None:
            failure = msgspec.structs.replace(failure, message=clean(failure.message)[:_LONGEST_MESSAGE])
            self._log.note(f"Failed ({failure.code.value}): {failure.message}")
            result = self._result()
        await self._settle(send_log=result is None or failure is not None)
        return result, failure

    async def _settle(self, *, send_log: bool) -> None:
        """Runs to its end even when the kill comes here."""
        settling = asyncio.create_task(self._clean_up(send_log=send_log and not self._silent))
        while not settling.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({settling})

    async def _clean_up(self, *, send_log: bool) -> None:
        if send_log:
            await self._send_log()
        try:
            await asyncio.to_thread(self._kit.work.settle, self.id)
        except OSError as error:
            _log.warning("scratch could not be removed", attempt_id=self.id, why=str(error))

    # the steps

    async def _work(self) -> Result:
        spec, kit = self._spec, self._kit
        scratch = await asyncio.to_thread(kit.work.scratch, self.id)
        output = await in_thread(self._output_path)
        source_path = await self._fetched(scratch)
        if source_path is not None and output is not None:
            await in_thread(local.refuse_same_file, source_path, output)
        before = None if source_path is None else await in_thread(_state, source_path)
        source = await self._inspect_source(source_path)
        expectation = verify.expect(spec, source)
        if (
            output is not None
            and (adopted := await in_thread(self._published_before, output, self._stopped)) is not None
        ):
            return await self._adopt(output, *adopted, expectation)
        encoder, why = codecs.choose(spec, kit.encoders)
        self._log.note(f"engine: ffmpeg {kit.tools.version} ({self._made.engine_reason})")
        self._log.note(f"encoder: {encoder} ({why})")
        self._made = msgspec.structs.replace(self._made, encoder=encoder)
        made = scratch / f"output.{spec.container}"
        if output is not None:
            made = await asyncio.to_thread(kit.work.stage, output, self.id)
        commands = ffmpeg.build(
            spec,
            source,
            tools=kit.tools,
            input_path=source_path,
            output_path=made,
            scratch=scratch,
            encoder=encoder,
            threads=kit.threads,
        )
        progress = FfmpegProgress(expectation.frames, expectation.video_seconds, passes=len(commands))
        await self._encode(commands, progress)
        await self._check_files(made, source_path, before)
        sha256 = await self._verify(made, expectation)
        return await self._publish(made, output, sha256)

    def _output_path(self) -> Path | None:
        spec = self._spec
        if spec.output is None:
            return None
        # what an earlier attempt of this task put there is ours; `_published_before` makes sure that it is that
        ours = any(prior.path is not None for prior in self._grant.prior_publications)
        return local.resolve_output(spec.output, self._kit.roots, overwrite=spec.overwrite or ours)

    async def _fetched(self, scratch: Path) -> Path | None:
        limit = self._spec.limits.timeout_seconds
        try:
            async with asyncio.timeout(limit):
                return await self._input_path(scratch)
        except TimeoutError:
            raise TaskError(Code.TIMED_OUT, f"Fetching the input took longer than the job's {limit:g} s.") from None

    async def _input_path(self, scratch: Path) -> Path | None:
        given = self._spec.input
        if given.kind is InputKind.GENERATE:
            self._log.note("input: generated")
            return None
        if given.kind is InputKind.UPLOAD:
            dest = scratch / "input"
            try:
                name = await self._kit.master.fetch(given.upload_id or "", dest, self._moved("fetch"))
            except errors.NotFound as error:
                raise TaskError(Code.INPUT_MISSING, f"The upload {given.upload_id} is not there any more.") from error
            self._spec = msgspec.structs.replace(self._spec, input=msgspec.structs.replace(given, name=name))
            self._log.note(f"input: {name}, fetched from the artifact store")
            return dest
        return await in_thread(local.resolve_input, given.path or "", self._kit.roots)

    async def _inspect_source(self, path: Path | None) -> Inspection | None:
        if path is None:
            return None
        began = time.monotonic()
        size = (await asyncio.to_thread(path.stat)).st_size
        found = await self._kit.inspector.inspect(
            path,
            start=self._spec.start,
            duration=self._spec.duration,
            timeout_seconds=max(_INSPECT_SECONDS, size / _SLOWEST_DISK_BYTES_PER_SECOND),
        )
        self._metrics["inspect_seconds"] = round(time.monotonic() - began, 4)
        self._metrics["bytes_read"] = found.size_bytes
        self._log.note(f"input: {path} ({describe(found)})")
        return found

    async def _encode(self, commands: list[Command], progress: FfmpegProgress) -> None:
        wall = cpu = 0.0
        before = time.monotonic() - self._granted_at  # the limit is the attempt's, its input's fetching included
        for command in commands:
            limit = command.limits.wall_seconds
            if limit is not None:
                limits = msgspec.structs.replace(command.limits, wall_seconds=max(limit - before - wall, 0.1))
                command = msgspec.structs.replace(command, limits=limits)
            outcome = await self._run_command(command, progress)
            wall, cpu = wall + outcome.wall_seconds, cpu + outcome.cpu_seconds
            self._made = msgspec.structs.replace(
                self._made, command=list(command.argv), wall_seconds=round(wall, 3), cpu_seconds=round(cpu, 3)
            )
            failure = failures.from_outcome(
                outcome.ended.value,
                exit_code=outcome.exit_code,
                signal=outcome.signal,
                log=outcome.log,
                wall_seconds=outcome.wall_seconds,
                name=command.name,
            )
            if failure is not None:
                raise TaskError(failure.code, failure.message, retriable=failure.retriable)

    async def _run_command(self, command: Command, progress: FfmpegProgress) -> run.Outcome:
        await self._running.wait()
        self._log.command(command.argv)
        signs = SignsOfLife(command.limits.stall_seconds)

        def on_line(line: str) -> None:
            found = progress.feed(line)
            if found is None:
                return
            if signs.shows(found, time.monotonic()):
                child.alive()
            self._percent = found.percent
            self._tell(m.TaskProgress(self.id, found))

        child = self._child = await run.start(command, on_line=on_line, sandbox=self._kit.sandbox)
        if "dispatch_seconds" not in self._metrics:
            self._metrics["dispatch_seconds"] = round(time.monotonic() - self._granted_at, 4)
            self._tell(m.TaskStarted(self.id))
        if not self._running.is_set():
            child.pause()
        try:
            outcome = await child.wait()
        except BaseException:
            if self._silent:
                child.kill()
            stopping = asyncio.ensure_future(child.stop())
            await ended(stopping)
            self._log.outcome(command.name, stopping.result())
            raise
        finally:
            self._child = None
        self._log.outcome(command.name, outcome)
        return outcome

    async def _verify(self, made: Path, expectation: verify.Expectation) -> str:
        """The file's SHA-256. Raises TaskError(output_invalid)."""
        await self._running.wait()
        self._phase("verify")
        hashing = asyncio.create_task(in_thread(local.sha256_file, made, self._stopped))
        try:
            await self._judge(made, expectation)
        except BaseException:
            self._stopped.set()
            raise
        finally:
            await ended(hashing)
        return hashing.result()

    async def _judge(self, made: Path, expectation: verify.Expectation) -> None:
        if self._spec.verify is VerifyLevel.NONE:
            return
        began = time.monotonic()
        longest = max(expectation.video_seconds or 0.0, self._made.wall_seconds or 0.0)
        try:
            found = await self._kit.inspector.inspect(
                made,
                decode=True,
                rate=expectation.steady,
                threads=self._kit.inspect_threads,
                timeout_seconds=max(_INSPECT_SECONDS, _SLOWEST_DECODE * longest),
            )
        except TaskError as error:
            if error.failure.code in _UNREADABLE:
                # the inspector does not know whose file it looks into: it calls every file an input
                raise TaskError(Code.OUTPUT_INVALID, f"The output cannot be read: {error.failure.message}") from error
            raise
        verdict: Verdict = verify.judge(expectation, self._spec, found)
        verdict = msgspec.structs.replace(verdict, seconds=round(time.monotonic() - began, 4))
        self._metrics["verify_cpu_seconds"] = round(found.cpu_seconds, 4)
        video = found.main_video
        frames = video.frames if video else None
        wall, length = self._made.wall_seconds, video.duration_seconds if video else None
        self._made = msgspec.structs.replace(
            self._made, verdict=verdict, frames=frames, speed=round(length / wall, 3) if length and wall else None
        )
        self._log.note(f"output: {describe(found)}")
        if not verdict.passed:
            raise TaskError(Code.OUTPUT_INVALID, "The output is not what was asked: " + "; ".join(verdict.problems))
        self._log.note(f"verified ({verdict.level}) in {verdict.seconds:.2f} s")

    async def _publish(self, made: Path, output: Path | None, sha256: str) -> Result:
        await self._running.wait()
        self._phase("publish")
        logging = asyncio.create_task(self._send_log())
        try:
            size = (await asyncio.to_thread(made.stat)).st_size
            self._metrics["bytes_written"] = size
            file = OutputFile(name=self._spec.output_name, size_bytes=size, sha256=sha256)
            if output is None:
                upload_id = await self._kit.master.store(made, file.name, sha256, self._moved("publish"))
                file = msgspec.structs.replace(file, upload_id=upload_id)
            else:
                file = msgspec.structs.replace(file, name=output.name, path=str(output))
                await self._rename(made, output, file)
        finally:
            await ended(logging)
        return self._result(file)

    async def _rename(self, made: Path, output: Path, file: OutputFile) -> None:
        # before the question: what takes long must not lie between a yes and the rename, which looks at nothing but its own clock
        await in_thread(local.make_durable, made, output)
        self._tell(m.PublishAsked(self.id, [file]))
        await self._allowed.wait()
        may, overwrite, instead_of = self._may_publish, self._spec.overwrite, self._instead_of
        published = await in_thread(
            lambda: local.publish(made, output, overwrite=overwrite, may=lambda: may(self.id), instead_of=instead_of)
        )
        if not published:
            raise _Dropped

    async def _check_files(self, made: Path, source: Path | None, before: "_State | None") -> None:
        """What the watch over the encode can miss: it looks at the disk once a second, and at the input not at all."""
        most = self._spec.limits.max_disk_bytes
        size = (await in_thread(made.stat)).st_size
        if most is not None and size > most:
            raise TaskError(Code.DISK_LIMIT, f"The output has {size} bytes, more than the job's {most}")
        if source is None or before is None:
            return
        after = await in_thread(_state, source)
        if after is not None and after.inode == before.inode and after != before:
            raise TaskError(Code.INPUT_INVALID, f"The input {source} was written to while it was read", retriable=True)

    def _published_before(self, output: Path, stop: threading.Event) -> tuple[OutputFile, Path | None] | None:
        """What an earlier attempt renamed into place before it could say so, if that is still there, byte for byte; and a copy of
        it where it is another user's."""
        found: tuple[OutputFile, Path | None] | None = None
        for prior in self._grant.prior_publications:
            try:
                if prior.path == str(output) and local.adopt(output, prior.size_bytes, prior.sha256, stop):
                    found = prior, None
            except PermissionError:
                copy = self._kit.work.stage(output, self.id)
                copy.unlink(missing_ok=True)
                self._instead_of = local.copy_of(output, copy, prior.sha256, stop)
                found = (prior, copy) if self._instead_of is not None else found
        if found is None and not self._spec.overwrite and output.exists():
            raise TaskError(Code.OUTPUT_EXISTS, f"The output {output} exists already.")
        return found

    async def _adopt(
        self, output: Path, prior: OutputFile, copy: Path | None, expectation: verify.Expectation
    ) -> Result:
        """It was published by an attempt that was lost before it could report: look once more, and report it."""
        self._log.note(f"{output} was published by an earlier attempt of this task; it is not encoded again")
        self._tell(m.TaskStarted(self.id))
        await self._judge(copy or output, expectation)
        if copy is not None:
            return await self._publish(copy, output, prior.sha256)
        self._tell(m.PublishAsked(self.id, [prior]))
        await self._allowed.wait()
        await self._send_log()
        return self._result(prior)

    # what is told

    def _result(self, *outputs: OutputFile) -> Result:
        return msgspec.structs.replace(self._made, outputs=list(outputs), metrics=self._metrics)

    def _phase(self, phase: str) -> None:
        self._tell(m.TaskProgress(self.id, Progress(percent=None if self._percent is None else ALMOST, phase=phase)))

    def _moved(self, phase: str) -> Callable[[int, int], None]:
        """Progress of a transfer: as percent while nothing is encoded, else as its phase only."""

        def moved(done: int, size: int) -> None:
            percent = ALMOST if phase == "publish" else 0.0
            self._tell(
                m.TaskProgress(self.id, Progress(percent=percent, phase=f"{phase} {100 * done // max(size, 1)}%"))
            )

        return moved

    async def _send_log(self) -> None:
        try:
            async with asyncio.timeout(_LOG_SECONDS):
                await self._kit.master.put_log(self.id, self._log.text())
        except (errors.FfrtmpError, TimeoutError) as error:
            _log.warning("the attempt's log could not be sent", attempt_id=self.id, why=str(error))


class _State(msgspec.Struct, frozen=True):
    """What changes when a file is written to. A file that was replaced by another (a new inode) was read to its end as it was."""

    inode: int
    size_bytes: int
    written_ns: int


def _state(path: Path) -> _State | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return _State(found.st_ino, found.st_size, found.st_mtime_ns)


def os_failure(error: OSError) -> Failure:
    """A file operation of our own that failed."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    where = f" ({error.filename})" if error.filename else ""
    return Failure(code=Code.DISK_FULL if full else Code.INTERNAL, message=f"{error.strerror or error}{where}")


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
