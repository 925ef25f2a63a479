"""Which engine runs an attempt, and why; then what each does of it: what comes first, the ways, command lines, progress."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from ffrtmp.agent import loudness, ways
from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.kit import Kit
from ffrtmp.agent.running import run_all
from ffrtmp.domain import errors
from ffrtmp.domain.command import Command
from ffrtmp.domain.errors import Code, TaskError
from ffrtmp.domain.spec import Engine, Hwaccel, Queue, Spec
from ffrtmp.media import choice, ffmpeg, gst_encoders, gstreamer
from ffrtmp.media.choice import Choice
from ffrtmp.media.gst_progress import GstreamerProgress
from ffrtmp.media.inspection import Inspection
from ffrtmp.media.loudness import Measured
from ffrtmp.media.progress import FfmpegProgress, Reader
from ffrtmp.media.verify import Expectation


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    engine: Engine
    reason: str
    version: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is given. `input` None: it is generated."""

    attempt: Attempt
    source: Inspection | None
    expectation: Expectation
    input: Path | None
    output: Path
    scratch: Path


class Run(Protocol):
    """An engine's part of one attempt: `prepare` once, then the commands of one way after another."""

    @property
    def measured(self) -> Sequence[Measured]:
        """The loudness of each track before the encode."""

    async def prepare(self) -> None: ...
    async def ways(self) -> list[Choice]: ...
    def commands(self, one: Choice) -> list[Command]:
        """Raises TaskError when this input cannot become that output."""

    def progress(self, passes: int) -> Reader: ...


def choose(spec: Spec, source: Inspection | None, kit: Kit) -> Chosen:
    """Raises TaskError: an engine that was named is never replaced."""
    named = spec.requires.engine
    if named is Engine.FFMPEG:
        return _ffmpeg(kit, "named by the job")
    if named is Engine.GSTREAMER:
        return _gstreamer(spec, source, kit, "named by the job")
    if spec.requires.encoder in gst_encoders.BY_NAME:
        return _gstreamer(spec, source, kit, f"auto: {spec.requires.encoder} is an encoder of GStreamer")
    streams = spec.target is not None
    if (spec.queue is not Queue.LIVE and not streams) or spec.requires.encoder is not None:
        return _ffmpeg(kit, "auto: files and generated clips are for ffmpeg")
    prefers = f"auto: {'an RTMP output' if streams else 'the live queue'} prefers GStreamer"
    if streams and (gpu := _gpu_encoder(spec, kit)):
        # what must keep up with the clock is not left to the processor where a GPU can do it
        return _ffmpeg(kit, f"{prefers}, but {gpu} works here, and GStreamer's jobs are encoded in software")
    try:
        return _gstreamer(spec, source, kit, prefers)
    except TaskError as error:
        return _ffmpeg(kit, f"{prefers}, but: {error.failure.message}")


def told(attempt: Attempt, source: Inspection | None) -> Chosen:
    """What `choose` says, noted in the attempt's result and log."""
    chosen = choose(attempt.spec, source, attempt.kit)
    attempt.note_made(engine=chosen.engine, engine_reason=chosen.reason)
    attempt.log.note(f"engine: {chosen.engine} {chosen.version} ({chosen.reason})")
    return chosen


def _gpu_encoder(spec: Spec, kit: Kit) -> str | None:
    """FFmpeg's, that a job with `hwaccel` auto gets here."""
    if spec.hwaccel is not Hwaccel.AUTO:
        return None
    try:
        first = choice.candidates(spec, None, choice.Offer(encoders=kit.encoders))[0]
    except TaskError:
        return None
    return first.encoder.name if first.use is not None else None


def begin(chosen: Chosen, task: Task) -> Run:
    return _Gstreamer(task) if chosen.engine is Engine.GSTREAMER else _Ffmpeg(task)


def _ffmpeg(kit: Kit, why: str) -> Chosen:
    return Chosen(engine=Engine.FFMPEG, reason=why, version=kit.tools.version)


def _gstreamer(spec: Spec, source: Inspection | None, kit: Kit, why: str) -> Chosen:
    """Raises TaskError when this node's GStreamer cannot do it, for whatever reason: its commands are made to see."""
    if not kit.tools.gst_version:
        raise errors.TaskError(
            Code.ENCODER_UNAVAILABLE, "this node has no GStreamer that works; run `ffrtmp doctor` there"
        )
    encoder = _of_gstreamer(spec, source, kit)[0].encoder.name
    muxer = next((one for one in kit.muxers if one.container is spec.container), None)
    if muxer is None or spec.codec not in muxer.video:
        raise errors.TaskError(
            Code.ENCODER_UNAVAILABLE, f"this node's GStreamer cannot put {spec.codec} into {spec.container}"
        )
    somewhere = kit.work.path
    gstreamer.build(
        spec,
        source,
        tools=kit.tools,
        input_path=somewhere,
        output_path=somewhere / "out",
        scratch=somewhere,
        encoder=encoder,
    )
    return Chosen(engine=Engine.GSTREAMER, reason=why, version=kit.tools.gst_version)


def _of_gstreamer(spec: Spec, source: Inspection | None, kit: Kit) -> list[Choice]:
    offer = choice.Offer(encoders=kit.encoders)
    return choice.candidates(spec, source.main_video if source else None, offer, gst_encoders.ENCODERS)


class _Ffmpeg:
    def __init__(self, task: Task) -> None:
        self._task = task
        self.measured: Sequence[Measured] = ()

    async def prepare(self) -> None:
        task = self._task
        attempt, spec, tools = task.attempt, task.attempt.spec, task.attempt.kit.tools
        first = ffmpeg.preparing(spec, task.source, tools=tools, input_path=task.input, scratch=task.scratch)
        await run_all(attempt, first, FfmpegProgress(None, None), beside="prepare")
        listening = ffmpeg.measuring(
            spec,
            task.source,
            tools=tools,
            input_path=task.input,
            output_path=task.output,
            scratch=task.scratch,
            threads=task.attempt.threads,
        )
        self.measured = await loudness.measure(attempt, listening, "before")

    async def ways(self) -> list[Choice]:
        return await ways.of_ffmpeg(self._task.attempt, self._task.source)

    def commands(self, one: Choice) -> list[Command]:
        return _built(ffmpeg.build, self._task, one, use=one.use, measured=self.measured)

    def progress(self, passes: int) -> FfmpegProgress:
        expected = self._task.expectation
        return FfmpegProgress(expected.frames, expected.video_seconds, passes=passes)


class _Gstreamer:
    """One way, in software; nothing is measured before."""

    measured: Sequence[Measured] = ()

    def __init__(self, task: Task) -> None:
        self._task = task

    async def prepare(self) -> None:
        task = self._task
        for link, target in gstreamer.links(task.scratch, task.input, task.output).items():
            await asyncio.to_thread(link.symlink_to, target)
            task.attempt.log.note(f"{link.name}: {target}")

    async def ways(self) -> list[Choice]:
        return _of_gstreamer(self._task.attempt.spec, self._task.source, self._task.attempt.kit)

    def commands(self, one: Choice) -> list[Command]:
        return _built(gstreamer.build, self._task, one)

    def progress(self, passes: int) -> GstreamerProgress:
        expected = self._task.expectation
        return GstreamerProgress(expected.frames, expected.video_seconds, passes=passes)


def _built(build: Callable[..., list[Command]], task: Task, one: Choice, **more: object) -> list[Command]:
    return build(
        task.attempt.spec,
        task.source,
        tools=task.attempt.kit.tools,
        input_path=task.input,
        output_path=task.output,
        scratch=task.scratch,
        encoder=one.encoder.name,
        threads=task.attempt.threads,
        **more,
    )
