"""Whole command lines of ladders, and how thumbnails lie."""

from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from tests.unit.media.command_lines import BITRATE, CAPPED, GUARD, QUIET, SOURCE, spec

from ffrtmp.domain.spec import Codec, Ladder, Limits, OutputMode, Rung, Thumbnails
from ffrtmp.domain.units import Resolution
from ffrtmp.media import boxes, hardware, ladder, rungs
from ffrtmp.media.tools import Tools

TWO = Ladder(
    rungs=[Rung(resolution=Resolution(None, 720), rate=CAPPED), Rung(resolution=Resolution(None, 360), rate=BITRATE)]
)
CMAF = "-movflags +frag_keyframe+frag_discont+delay_moov+default_base_moof+cmaf+skip_trailer -max_muxing_queue_size 4096 -f mp4"
HEARD = "-movflags +empty_moov+delay_moov+default_base_moof+cmaf+skip_trailer -max_muxing_queue_size 4096 -f mp4"
KEYS = "-force_key_frames:v expr:isnan(prev_forced_t)+gt(floor((t+0.001)/4),floor((prev_forced_t+0.001)/4)) -g 99999"
NAMED = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709"  # smaller, it would be taken for SD
BARE = "-map_metadata -1 -map_chapters -1"
KEEP = "-fps_mode:v passthrough -enc_time_base:v 1/25"
START = f"{QUIET} {GUARD} -i file:/in/in.mp4 -filter_complex"


def built(made, encoder, **more):
    command = ladder.build(
        made,
        SOURCE,
        rungs.plan(made, SOURCE)[0],
        tools=Tools(ffmpeg="/ff"),
        input_path=Path("/in/in.mp4"),
        folder=Path("/out"),
        scratch=Path("/scratch"),
        encoder=encoder,
        **more,
    )
    return " ".join(command.argv)


def test_a_package_of_h264():
    x264 = "-c:v libx264 -preset medium"
    keys = f"{KEYS} -sc_threshold 0 -forced-idr 1 {KEEP}"
    assert built(spec(output_mode=OutputMode.HLS, ladder=TWO), "libx264") == (
        f"{START} [0:0]split=2[out0][next0];[next0]scale=640:360:flags=bicubic,setsar=1/1,{NAMED}[out1]"
        f" -map [out0] {x264} -crf 21.5 -maxrate 3000000 -bufsize 6000000 -pix_fmt yuv420p {keys} {BARE} {CMAF} file:/out/720p.mp4"
        f" -map [out1] {x264} -b:v 2000000 -pix_fmt yuv420p {keys} {BARE} {CMAF} file:/out/360p.mp4"
        f" -map 0:1 -filter:a aresample=async=1:first_pts=0 -c:a aac -b:a 128000 {BARE} {HEARD} -frag_duration 4000000"
        " file:/out/audio.mp4"
    )


def test_x265_is_told_in_its_own_words():
    line = built(spec(output_mode=OutputMode.HLS, ladder=TWO, codec=Codec.H265), "libx265", threads=3)
    assert (
        f"{KEYS} -forced-idr 1 -x265-params log-level=error:pools=3:scenecut=0:open-gop=0:keyint=99999 {KEEP}"
        f" {BARE} -tag:v hvc1 {CMAF} file:/out/360p.mp4" in line
    )


def test_a_gpu_gets_each_size_by_a_way_of_its_own():
    line = built(
        spec(output_mode=OutputMode.HLS, ladder=TWO), "h264_vaapi", use=hardware.Use(device="/dev/dri/renderD128")
    )
    assert (
        "[0:0]split=2[made0][next0];[made0]format=nv12,hwupload[out0];"
        f"[next0]scale=640:360:flags=bicubic,setsar=1/1,{NAMED},format=nv12,hwupload[out1]" in line
    )


def test_a_plain_ladder_has_the_sound_in_each_file():
    line = built(spec(ladder=TWO), "libx264")
    assert line.count("-map 0:1 -c:a copy -movflags +faststart -max_muxing_queue_size 4096 -f mp4 file:/out/") == 2


def test_libaom_counts_frames_since_it_doubles_forced_key_frames():
    line = built(spec(output_mode=OutputMode.HLS, ladder=TWO, codec=Codec.AV1), "libaom-av1")
    assert "-g 100 -keyint_min 100" in line
    assert "force_key_frames" not in line


@pytest.mark.parametrize(
    ("count", "last"),
    [
        (3, "00:00:20.000 --> 00:00:25.000\nthumbs-001.jpg#xywh=320,0,160,90\n"),
        (101, "thumbs-002.jpg#xywh=0,0,160,90\n"),
    ],
)
def test_thumbnails_are_found_on_their_sheets(count, last):
    sheets = ladder.Sheets(
        count=count,
        columns=min(count, 10),
        rows=1 if count < 10 else 10,
        width=160,
        height=90,
        interval_seconds=10.0,
        seconds=float(Fraction(count * 10 - 5)),
    )
    assert sheets.webvtt().endswith(last)


def test_every_command_keeps_to_the_jobs_limits():
    limits = Limits(timeout_seconds=60.0, max_disk_bytes=10**6, max_cpu_percent=150, max_memory_bytes=10**9)
    made = spec(output_mode=OutputMode.HLS, ladder=TWO, limits=limits)
    planned = rungs.plan(made, SOURCE)[0]
    long = msgspec.structs.replace(SOURCE, video=[msgspec.structs.replace(SOURCE.video[0], last_pts=60.0)])
    how = {"tools": Tools(ffmpeg="/ff"), "input_path": Path("/in/in.mp4"), "scratch": Path("/scratch")}
    whole = boxes.Fragment(offset=0, size=1, start=0, duration=60, first_sample_end=1)
    track = boxes.Track(codec="avc1", timescale=1, header_bytes=0, fragments=[whole], width=640, height=360)
    sheets, _ = ladder.thumbnails(
        made, Thumbnails(), track, SOURCE.main_video, tools=Tools(ffmpeg="/ff"), made=Path("/out/360p.mp4")
    )
    samples = [one for one, _ in ladder.samples(made, long, planned[0], encoder="libx264", **how)]
    assert len(samples) == 3
    for command in (
        ladder.build(made, SOURCE, planned, folder=Path("/out"), encoder="libx264", **how),
        sheets,
        *samples,
    ):
        told = command.limits
        assert (told.wall_seconds, told.disk_bytes, told.cpu_percent, told.memory_bytes) == (60.0, 10**6, 150, 10**9)
