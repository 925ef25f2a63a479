"""Whole command lines, and what is not compared."""

from pathlib import Path

import msgspec
import pytest

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import Codec, Container, Input, InputKind, Limits, Metric, Rate, RateMode, Spec
from ffrtmp.domain.units import Resolution
from ffrtmp.media import comparison, whitelist
from ffrtmp.media.inspection import AudioStream, Inspection, VideoStream, Window
from ffrtmp.media.tools import Tools

TOOLS = Tools(ffmpeg="/opt/ffmpeg")
SCRATCH = Path("/scratch")


def found(window: Window | None = None, **more: object) -> Inspection:
    usual: dict[str, object] = {
        "index": 0, "codec": "h264", "width": 1280, "height": 720, "pixel_format": "yuv420p", "time_base": "1/25",
        "frames": 250, "first_pts": 0.0, "last_pts": 9.96, "last_duration": 0.04, "rate": "25", "constant_rate": True,
    }  # fmt: skip
    video = VideoStream(**{**usual, **more})  # type: ignore[arg-type]
    return Inspection(container="mov,mp4", size_bytes=1, video=[video], window=window)


def side(path: str = "/made.mp4", **more: object) -> comparison.Side:
    return comparison.side(Path(path), found(**more))


REFERENCE = side("/source.mkv")


def test_the_whole_command() -> None:
    plan = comparison.plan(side(width=640, height=360, index=1), REFERENCE, [*Metric], every=3)
    limits = Limits(timeout_seconds=60.0, stall_seconds=30.0, max_disk_bytes=1000)
    command = comparison.build(plan, tools=TOOLS, scratch=SCRATCH, limits=limits, threads=2)
    prepared = "scale=1280:720:flags=bicubic:out_range=tv,format=yuv420p,setpts=PTS-STARTPTS,settb=AVTB"
    sync = "shortest=1:ts_sync_mode=nearest"
    assert command.argv == (
        "/opt/ffmpeg",
        *("-nostdin", "-hide_banner", "-nostats", "-v", "warning", "-y"),
        *("-progress", "pipe:1", "-stats_period", "0.5"),
        *(*whitelist.ARGUMENTS, "-i", "file:/made.mp4"),
        *(*whitelist.ARGUMENTS, "-i", "file:/source.mkv"),
        "-filter_complex",
        f"[0:1]{prepared}[m0];[1:0]{prepared},split=3[r0][r1][r2];"
        f"[m0][r0]libvmaf=model=version=vmaf_v0.6.1:n_threads=2:n_subsample=3:log_fmt=csv:log_path=vmaf.csv:{sync}[m1];"
        f"[m1][r1]psnr=stats_file=psnr.txt:{sync}[m2];"
        f"[m2][r2]ssim=stats_file=ssim.txt:{sync}[out]",
        *("-map", "[out]", "-fps_mode", "passthrough", "-f", "null", "-"),
    )
    assert (command.cwd, command.reads, command.writes) == (
        SCRATCH,
        (Path("/made.mp4"), Path("/source.mkv")),
        (SCRATCH,),
    )
    assert (command.limits.wall_seconds, command.limits.stall_seconds, command.limits.disk_bytes) == (60.0, 30.0, 1000)
    assert plan.notes == (
        "the video is scaled from 640x360 to the reference's 1280x720 (scale=1280:720:flags=bicubic:out_range=tv)",
    )


def test_a_part_is_cut_as_an_encode_cuts_it() -> None:
    window = Window(
        start=2.0, duration=1.0, frames=25, first_pts=2.0, last_pts=2.96, last_duration=0.04, keyframe_pts=1
    )
    part = comparison.side(Path("/source.mkv"), found(window), start=2.0, duration=1.0)
    plan = comparison.plan(side(), part, [Metric.SSIM])
    argv = comparison.build(plan, tools=TOOLS, scratch=SCRATCH, limits=Limits(), threads=1).argv
    at = argv.index("file:/source.mkv")
    assert argv[at - 5 : at] == ("-copyts", "-noaccurate_seek", "-ss", "0.500000", "-i")
    graph = argv[argv.index("-filter_complex") + 1]
    assert "[1:0]trim=start=1.999600:end=2.984000,setpts=round(PTS-2.000000/TB),scale=" in graph


def test_the_sound_of_an_encode_is_read_along() -> None:
    """FFmpeg counts times from the first stream that it reads: where `fps` puts its frames depends on it."""
    heard = AudioStream(index=2, codec="aac", sample_rate=48000, channels=2, first_pts=0.0, end_pts=10.0)
    source = msgspec.structs.replace(found(), audio=[heard])
    made = Spec(
        input=Input(kind=InputKind.FILE), codec=Codec.H264, container=Container.MP4, rate=Rate(mode=RateMode.CRF),
        fps="20", resolution=Resolution(None, 360),
    )  # fmt: skip
    plan = comparison.plan(side(), comparison.encoded(Path("/source.ts"), source, made), [Metric.PSNR])
    argv = comparison.build(plan, tools=TOOLS, scratch=SCRATCH, limits=Limits(), threads=1).argv
    assert argv[-7:] == ("-map", "1:2", "-c:a", "copy", "-f", "null", "-")
    assert "[1:0]fps=20,scale=640:360:flags=bicubic,setsar=1/1,setparams=" in argv[argv.index("-filter_complex") + 1]


@pytest.mark.parametrize(
    ("measured", "reference", "pixel_format", "bits", "model"),
    [
        ({}, {}, "yuv420p", 8, "vmaf_v0.6.1"),
        ({}, {"pixel_format": "yuv420p10le", "bits": 10}, "yuv420p10le", 10, "vmaf_v0.6.1"),
        ({"pixel_format": "yuv422p"}, {"pixel_format": "yuv444p"}, "yuv422p", 8, "vmaf_v0.6.1"),
        ({"pixel_format": "gbrp"}, {}, "yuv444p", 8, "vmaf_v0.6.1"),
        ({}, {"width": 3840, "height": 2160}, "yuv420p", 8, "vmaf_4k_v0.6.1"),
        ({}, {"width": 2160, "height": 3840}, "yuv420p", 8, "vmaf_4k_v0.6.1"),
        ({}, {"width": 2560, "height": 1440}, "yuv420p", 8, "vmaf_v0.6.1"),
    ],
)
def test_the_format_and_the_model(measured, reference, pixel_format, bits, model) -> None:
    plan = comparison.plan(side(**measured), side(**reference), [Metric.VMAF])
    assert (plan.pixel_format, plan.bits, plan.model) == (pixel_format, bits, model)


def test_what_is_done_is_told() -> None:
    plan = comparison.plan(side(frames=125), side(pixel_format="yuv444p"), [Metric.PSNR])
    assert plan.notes == (
        "the reference's yuv444p is compared as yuv420p",
        "the video has 125 frames, the reference 250: each of the video is compared with the one of the reference that is "
        "nearest in time",
    )
    assert plan.model == ""


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ({"height": 544}, "2.353 times as wide as high"),
        ({"last_pts": 4.96}, "5.000 s of the video stand against 10.000 s"),
    ],
)
def test_what_shows_something_else_is_refused(measured, said) -> None:
    with pytest.raises(errors.TaskError, match=said) as raised:
        comparison.check(side(**measured), REFERENCE)
    assert raised.value.failure.code is Code.NOT_COMPARABLE


@pytest.mark.parametrize(
    "measured",
    [
        {"width": 720, "height": 576, "sample_aspect": "64/45"},  # anamorphic, shown as 16:9
        {"width": 720, "height": 1280, "rotation": 90},
        {"last_pts": 9.8},
        {"first_pts": None, "last_pts": None},  # a raw stream: its length is not known
    ],
)
def test_what_shows_the_same_is_not(measured) -> None:
    comparison.check(side(**measured), REFERENCE)


def test_pictures_that_vmaf_cannot_judge() -> None:
    with pytest.raises(errors.TaskError, match="VMAF needs 32 pixels each way"):
        comparison.plan(side(), side(width=48, height=27), [*Metric])
    comparison.plan(side(), side(width=48, height=27), [Metric.PSNR, Metric.SSIM])


def test_a_file_without_video() -> None:
    with pytest.raises(errors.TaskError) as raised:
        comparison.side(Path("/a.m4a"), Inspection(container="mov,mp4", size_bytes=1))
    assert raised.value.failure.code is Code.NO_VIDEO_STREAM
