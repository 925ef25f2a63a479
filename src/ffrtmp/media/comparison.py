"""Two videos → the FFmpeg command that measures how near one is to the other. Pure: tests assert the whole argv.

Pictures are paired by their times, each video's counted from its first picture: each picture of the measured video with the
nearest one of the reference. Both are brought to one size and one pixel format first. Each is decoded once, whatever is measured.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Quality
from ffrtmp.domain.spec import Codec, Container, Input, InputKind, Limits, Metric, Rate, RateMode, Spec
from ffrtmp.media import audio, bounds, picture, timing, whitelist
from ffrtmp.media.arguments import GLOBALS, opt
from ffrtmp.media.inspection import Inspection, VideoStream
from ffrtmp.media.timing import Timing
from ffrtmp.media.tools import Tools

#: where the filters write the values of each frame, in the scratch directory
LOGS: dict[Metric, str] = {Metric.VMAF: "vmaf.csv", Metric.PSNR: "psnr.txt", Metric.SSIM: "ssim.txt"}
#: both are built into libvmaf: one was trained for a screen of 1080 lines, one for 2160 (Netflix's vmaf, resource/doc/models.md)
MODEL, MODEL_4K = "vmaf_v0.6.1", "vmaf_4k_v0.6.1"
_4K = (3840, 2160)
#: VMAF looks at the picture at four scales: of one of 16x16 pixels FFmpeg 9.0.2 dies by SIGSEGV
LEAST_SIDE = 32
_FORMATS = {
    "444": ("yuv444p", "yuv444p10le"),
    "422": ("yuv422p", "yuv422p10le"),
    "420": ("yuv420p", "yuv420p10le"),
}
#: shapes and lengths that differ by more show different pictures
_ASPECT_TOLERANCE = 0.02
_LENGTH_TOLERANCE = 0.02
_LEAST_LENGTH_TOLERANCE_SECONDS = 0.5
#: the nearest picture in time, not the last one before: containers round times to their own clocks
_SYNC = "shortest=1:ts_sync_mode=nearest"


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two videos, and what is taken of it. `filters` stand behind those of `taken`."""

    path: Path
    video: VideoStream
    taken: Timing
    width: int  #: after the filters
    height: int
    filters: tuple[str, ...] = ()
    audio: int | None = None  #: read along: FFmpeg counts times from the first of all streams that it reads


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How the two are compared."""

    measured: Side
    reference: Side
    metrics: tuple[Metric, ...]
    every: int
    pixel_format: str
    bits: int
    model: str  #: of VMAF; "" where it is not measured
    notes: tuple[str, ...]

    def described(self) -> Quality:
        """The part of the result that is known before anything was measured."""
        return Quality(
            scores={},
            frames=0,
            frames_measured=self.measured.taken.frames,
            frames_reference=self.reference.taken.frames,
            every=self.every,
            model=self.model,
            size=f"{self.reference.width}x{self.reference.height}",
            pixel_format=self.pixel_format,
            notes=list(self.notes),
        )


def side(path: Path, found: Inspection, *, start: float = 0.0, duration: float | None = None) -> Side:
    """A part of a video as it is. Raises TaskError: no_video_stream, cut_empty, …"""
    whole = Spec(
        input=Input(kind=InputKind.FILE),
        codec=Codec.H264,
        container=Container.MKV,
        rate=Rate(mode=RateMode.CRF),
        start=start,
        duration=duration,
    )
    taken = timing.plan(whole, found)  # as an encode would take it
    video = _video(found)
    width, height = video.display_size
    return Side(path=path, video=video, taken=taken, width=width, height=height)


def encoded(path: Path, found: Inspection, spec: Spec) -> Side:
    """The pictures of an input as a job's encoder was given them: its part, its rate, its size."""
    video = _video(found)
    shown = picture.plan(spec, video)
    heard = next((track.source for track in audio.plan(spec, found)), None)
    return Side(
        path=path,
        video=video,
        taken=timing.plan(spec, found),
        width=shown.width,
        height=shown.height,
        filters=shown.filters,
        audio=heard.index if heard else None,
    )


def _video(found: Inspection) -> VideoStream:
    if found.main_video is None:
        raise errors.TaskError(Code.NO_VIDEO_STREAM, "there is no video stream to compare")
    return found.main_video


def plan(measured: Side, reference: Side, metrics: Sequence[Metric], every: int = 1) -> Plan:
    """Raises TaskError(not_comparable) when no measure of their pictures would mean anything."""
    if Metric.VMAF in metrics and min(reference.width, reference.height) < LEAST_SIDE:
        raise errors.TaskError(
            Code.NOT_COMPARABLE,
            f"the reference is {reference.width}x{reference.height}; VMAF needs {LEAST_SIDE} pixels each way; "
            "do without VMAF",
        )
    bits = 10 if max(measured.video.bits, reference.video.bits) > 8 else 8
    chroma = next((name for name in ("444", "422") if name in _chroma(measured.video.pixel_format)), "420")
    pixel_format = _FORMATS[chroma][bits > 8]
    large = reference.width >= _4K[0] or reference.height >= _4K[1]
    return Plan(
        measured=measured,
        reference=reference,
        metrics=tuple(metrics),
        every=every,
        pixel_format=pixel_format,
        bits=bits,
        model=(MODEL_4K if large else MODEL) if Metric.VMAF in metrics else "",
        notes=tuple(_notes(measured, reference, pixel_format)),
    )


def check(measured: Side, reference: Side) -> None:
    """Raises TaskError(not_comparable) for two videos that do not show the same: what a job made of its input was verified."""
    shapes = [one.width * one.video.shown_aspect / one.height for one in (measured, reference)]
    if abs(shapes[0] / shapes[1] - 1) > _ASPECT_TOLERANCE:
        raise errors.TaskError(
            Code.NOT_COMPARABLE,
            f"the video is shown {float(shapes[0]):.3f} times as wide as high, its reference {float(shapes[1]):.3f} times: "
            "what was cropped, padded or stretched cannot be compared",
        )
    lengths = measured.taken.video_seconds, reference.taken.video_seconds
    if lengths[0] is None or lengths[1] is None:
        return
    tolerance = max(_LEAST_LENGTH_TOLERANCE_SECONDS, _LENGTH_TOLERANCE * max(lengths[0], lengths[1]))
    if abs(lengths[0] - lengths[1]) > tolerance:
        raise errors.TaskError(
            Code.NOT_COMPARABLE,
            f"{lengths[0]:.3f} s of the video stand against {lengths[1]:.3f} s of its reference; "
            "give start, reference_start and duration that take the same part of both",
        )


def _chroma(pixel_format: str) -> str:
    """RGB has its colours at every pixel."""
    return "444" if pixel_format.startswith(("gbr", "rgb", "bgr")) else pixel_format


def _notes(measured: Side, reference: Side, pixel_format: str) -> list[str]:
    made = []
    if (measured.width, measured.height) != (reference.width, reference.height):
        made.append(
            f"the video is scaled from {measured.width}x{measured.height} to the reference's "
            f"{reference.width}x{reference.height} ({_scale(reference)})"
        )
    for name, one in (("video", measured), ("reference", reference)):
        if one.video.pixel_format != pixel_format:
            made.append(f"the {name}'s {one.video.pixel_format} is compared as {pixel_format}")
    frames = measured.taken.frames, reference.taken.frames
    if None not in frames and frames[0] != frames[1]:
        made.append(
            f"the video has {frames[0]} frames, the reference {frames[1]}: each of the video is compared with the one of "
            "the reference that is nearest in time"
        )
    return made


def _scale(reference: Side) -> str:
    return f"scale={reference.width}:{reference.height}:flags=bicubic:out_range=tv"


def build(planned: Plan, *, tools: Tools, scratch: Path, limits: Limits, threads: int) -> Command:
    """The values of each frame come into `LOGS` under `scratch`. Paths must be absolute; `threads` are VMAF's."""
    sides = (planned.measured, planned.reference)
    inputs = [
        argument
        for one in sides
        for argument in (*whitelist.ARGUMENTS, *one.taken.input_arguments, "-i", f"file:{one.path}")
    ]
    beside = [
        argument
        for index, one in enumerate(sides)
        if one.audio is not None
        for argument in ("-map", f"{index}:{one.audio}", "-c:a", "copy", "-f", "null", "-")
    ]
    return Command(
        name="ffmpeg (measure)",
        argv=(
            *(tools.ffmpeg, *GLOBALS, *inputs),
            *opt("-filter_complex", _graph(planned, threads)),
            *("-map", "[out]", "-fps_mode", "passthrough", "-f", "null", "-"),
            *beside,
        ),
        cwd=scratch,
        limits=bounds.limits(limits, (scratch,)),
        reads=tuple(one.path for one in sides),
        writes=(scratch,),
    )


def _graph(planned: Plan, threads: int) -> str:
    """The measured pictures pass through one filter after another; the reference's are split, one copy for each."""
    count = len(planned.metrics)
    copies = "".join(f"[r{index}]" for index in range(count))
    chains = [
        f"[0:{planned.measured.video.index}]{_prepared(planned, planned.measured)}[m0]",
        f"[1:{planned.reference.video.index}]{_prepared(planned, planned.reference)},split={count}{copies}",
    ]
    for index, metric in enumerate(planned.metrics):
        made = "[out]" if index == count - 1 else f"[m{index + 1}]"
        chains.append(f"[m{index}][r{index}]{_filter(planned, metric, threads)}:{_SYNC}{made}")
    return ";".join(chains)


def _prepared(planned: Plan, one: Side) -> str:
    return ",".join(
        (
            *one.taken.video_filters,
            *one.filters,
            _scale(planned.reference),
            f"format={planned.pixel_format}",
            "setpts=PTS-STARTPTS",
            "settb=AVTB",
        )
    )


def _filter(planned: Plan, metric: Metric, threads: int) -> str:
    log = LOGS[metric]
    if metric is Metric.VMAF:
        return (
            f"libvmaf=model=version={planned.model}:n_threads={threads}:n_subsample={planned.every}"
            f":log_fmt=csv:log_path={log}"
        )
    return f"{metric.value}=stats_file={log}"


def probe(tools: Tools, metric: Metric) -> Command:
    """Ends with 0 where this FFmpeg can measure it, with the options that `build` gives."""
    made = "testsrc2=size=128x128:rate=25:duration=0.2"
    vmaf = f"libvmaf=model=version={MODEL}:n_threads=1:n_subsample=1:log_fmt=csv:{_SYNC}"
    name = vmaf if metric is Metric.VMAF else f"{metric.value}={_SYNC}"
    return Command(
        name=f"probe {metric.value}",
        argv=(
            *(tools.ffmpeg, "-nostdin", "-hide_banner", "-v", "error"),
            *("-f", "lavfi", "-i", made, "-f", "lavfi", "-i", made),
            *("-filter_complex", f"[0:v]format=yuv420p[m];[1:v]format=yuv420p[r];[m][r]{name}", "-f", "null", "-"),
        ),
        limits=CommandLimits(wall_seconds=30.0),
    )
