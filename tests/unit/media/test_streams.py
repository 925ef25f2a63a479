"""The command lines of jobs that stream: into a pipe, at a rate that a line can hold, and without the stream key."""

from pathlib import Path

import pytest
from tests.unit.media.command_lines import SOUND, SOURCE, changed, spec

from ffrtmp.domain import streaming
from ffrtmp.domain.spec import Audio, AudioCodec, Container, Input, InputKind, Preset, Rate, RateMode
from ffrtmp.domain.units import Resolution
from ffrtmp.media import audio, ffmpeg, gstreamer
from ffrtmp.media.arguments import GLOBALS
from ffrtmp.media.tools import Tools

TOOLS = Tools(ffmpeg="/ff", version="9.0.2", gst_launch="/gst", gst_version="1.22.0")
CBR = Rate(mode=RateMode.BITRATE, bitrate_bps=2_000_000, max_bitrate_bps=2_000_000)
STREAM = {
    "container": Container.FLV,
    "target": streaming.parse("rtmp://live.example/app/open-sesame", None),
    "rate": CBR,
    "gop_seconds": 2.0,
    "preset": Preset.VERYFAST,
}
GENERATED = {"input": Input(kind=InputKind.GENERATE), "duration": 4.0, "fps": "25", "resolution": Resolution(320, 180)}
PATHS = {"output_path": Path("/work/output.flv"), "scratch": Path("/work")}


def test_ffmpeg_writes_flv_into_a_pipe():
    (command,) = ffmpeg.build(
        spec(**STREAM, **GENERATED), None, tools=TOOLS, input_path=None, encoder="libx264", **PATHS
    )
    assert command.argv == (
        "/ff",
        *GLOBALS,
        *("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4"),
        *("-f", "lavfi", "-i", "sine=frequency=440:beep_factor=4:sample_rate=48000:duration=4"),
        *("-map", "0:v:0", "-c:v", "libx264", "-preset", "veryfast"),
        *("-b:v", "2000000", "-maxrate", "2000000", "-bufsize", "4000000", "-pix_fmt", "yuv420p", "-g", "50"),
        *("-map", "1:a:0", "-c:a", "aac", "-b:a", "64000"),
        *("-flvflags", "no_duration_filesize", "-flush_packets", "1"),
        *("-max_muxing_queue_size", "4096", "-f", "flv", "file:/work/output.flv"),
    )


def test_gstreamer_writes_flv_into_a_pipe():
    (command,) = gstreamer.build(
        spec(**STREAM), SOURCE, tools=TOOLS, input_path=Path("/in.mp4"), encoder="x264enc", **PATHS
    )
    pipeline = " ".join(command.argv)
    assert (
        "! x264enc speed-preset=veryfast pass=cbr bitrate=2000 vbv-buf-capacity=2000 key-int-max=50 ! h264parse"
        in pipeline
    )
    assert pipeline.endswith(
        "! aacparse ! queue ! out. flvmux streamable=true name=out ! filesink location=made buffer-mode=unbuffered"
    )
    assert "open-sesame" not in pipeline


@pytest.mark.parametrize(
    ("source", "copied", "rate", "channels"),
    [
        (SOUND, True, None, 2),
        (changed(SOUND, sample_rate=44_100), True, None, 2),
        (changed(SOUND, sample_rate=22_050), False, 48_000, 2),
        (changed(SOUND, channels=6), False, None, 2),
        (changed(SOUND, codec="mp3"), False, None, 2),
    ],
)
def test_sound_that_servers_take(source, copied, rate, channels):
    (track,) = audio.plan(spec(**STREAM), changed(SOURCE, audio=[source]))
    assert (track.codec, track.copied, track.rate_hz, track.channels) == ("aac", copied, rate, channels)
    assert (("ar", 48_000) in track.options) is (rate is not None)
    asked = spec(**STREAM, audio=Audio(codec=AudioCodec.AAC))
    (command,) = gstreamer.build(
        asked, changed(SOURCE, audio=[source]), tools=TOOLS, input_path=Path("/in.mp4"), encoder="x264enc", **PATHS
    )
    assert ("audio/x-raw,channels=2,rate=48000" in command.argv) is (rate is not None)
