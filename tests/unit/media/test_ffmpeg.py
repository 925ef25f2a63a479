"""Whole command lines. $QUIET and $GUARD stand for what every command begins with; `command_lines` spells both out."""

from pathlib import Path

import pytest
from tests.unit.media.command_lines import (
    END,
    GUARD,
    KEEP,
    ONE_PASS,
    QUIET,
    SOUND,
    SOURCE,
    TAKEN,
    changed,
    spec,
)

from ffrtmp.domain import errors
from ffrtmp.domain.spec import (
    Audio,
    AudioCodec,
    Codec,
    Container,
    InputKind,
    Limits,
    Preset,
    Rate,
    RateMode,
    Spec,
)
from ffrtmp.media import ffmpeg
from ffrtmp.media.inspection import (
    AudioStream,
    Inspection,
    Window,
)
from ffrtmp.media.tools import Tools


def build(made: Spec, encoder: str, threads: int | None, source: Inspection | None):
    generated = made.input.kind is InputKind.GENERATE
    return ffmpeg.build(
        made,
        source,
        tools=Tools(ffmpeg="/ff"),
        input_path=None if generated else Path("/in/in.mp4"),
        output_path=Path("/out/.stage"),
        scratch=Path("/scratch"),
        encoder=encoder,
        threads=threads,
    )


def spelt(line: str) -> list[str]:
    return line.replace("$QUIET", QUIET).replace("$GUARD", GUARD).split(" ")


@pytest.mark.parametrize(("made", "encoder", "threads", "source", "line"), ONE_PASS.values(), ids=ONE_PASS)
def test_the_whole_command_line(made, encoder, threads, source, line):
    [command] = build(made, encoder, threads, source)
    assert list(command.argv) == spelt(line)


@pytest.mark.parametrize(
    ("codec", "encoder", "goal"),
    [
        (Codec.H264, "libx264", "-preset slow -b:v 2000000"),
        (Codec.H265, "libx265", "-preset slow -b:v 2000000"),
        (Codec.AV1, "libsvtav1", "-preset 6 -b:v 2000000"),
        (Codec.VP8, "libvpx", "-deadline good -cpu-used 2 -b:v 2000000"),
        (Codec.VP9, "libvpx-vp9", "-deadline good -cpu-used 2 -row-mt 1 -b:v 2000000"),
    ],
)
def test_two_passes(codec, encoder, goal):
    made = spec(
        codec=codec,
        container=Container.MKV,
        rate=Rate(mode=RateMode.TWO_PASS, bitrate_bps=2_000_000),
        preset=Preset.SLOW,
    )
    first, second = build(made, encoder, None, SOURCE)
    params = " -x265-params log-level=error" if codec is Codec.H265 else ""
    head = f"$QUIET $GUARD -i file:/in/in.mp4 -map 0:0 -c:v {encoder} {goal} -pix_fmt yuv420p{params} {KEEP}"
    log = "-passlogfile /scratch/ffmpeg2pass"
    assert list(first.argv) == spelt(f"{head} -pass 1 {log} -an -f null -")
    assert list(second.argv) == spelt(f"{head} -pass 2 {log} -map 0:1 -c:a copy {END} matroska file:/out/.stage")
    assert (first.name, second.name) == ("ffmpeg pass 1", "ffmpeg pass 2")


def test_the_fast_presets_of_libvpx_have_no_real_time_mode_in_two_passes():
    rate = Rate(mode=RateMode.TWO_PASS, bitrate_bps=2_000_000)
    made = spec(codec=Codec.VP9, container=Container.WEBM, rate=rate, preset=Preset.ULTRAFAST)
    for command in build(made, "libvpx-vp9", None, SOURCE):
        assert "realtime" not in command.argv


def test_limits_and_paths_are_data():
    limits = Limits(
        timeout_seconds=60.0,
        stall_seconds=30.0,
        max_disk_bytes=1_000_000,
        max_cpu_percent=150,
        max_memory_bytes=1 << 30,
    )
    [command] = build(spec(codec=Codec.AV1, limits=limits), "libsvtav1", None, SOURCE)
    assert command.limits.wall_seconds == 60.0
    assert command.limits.stop_grace_seconds <= 1, "a canceled job would go on for as long"
    assert command.limits.stall_seconds == 30.0
    assert command.limits.disk_bytes == 1_000_000
    assert (command.limits.cpu_percent, command.limits.memory_bytes) == (150, 1 << 30)
    assert command.limits.watch == (Path("/scratch"), Path("/out/.stage"))
    assert command.reads == (Path("/in/in.mp4"),)
    assert command.writes == (Path("/scratch"), Path("/out"))
    assert command.cwd == Path("/scratch")
    assert not command.network
    assert command.env == {"SVT_LOG": "1"}


def test_a_name_that_begins_with_a_dash_stays_a_path():
    [command] = ffmpeg.build(
        spec(),
        SOURCE,
        tools=Tools(ffmpeg="/ff"),
        input_path=Path("-i.mp4"),
        output_path=Path("-y"),
        scratch=Path("/scratch"),
        encoder="libx264",
    )
    assert "file:-i.mp4" in command.argv
    assert command.argv[-1] == "file:-y"


@pytest.mark.parametrize(
    ("parts", "source", "code", "words"),
    [
        ({}, changed(SOURCE, video=[]), errors.Code.NO_VIDEO_STREAM, "no video stream"),
        (
            {"audio": Audio(codec=AudioCodec.AAC)},
            changed(SOURCE, audio=[]),
            errors.Code.NO_AUDIO_STREAM,
            "audio.codec is aac",
        ),
        (
            {"audio": Audio(codec=AudioCodec.COPY), "container": Container.WEBM, "codec": Codec.VP9},
            SOURCE,
            errors.Code.STREAM_UNSUITABLE,
            "webm cannot hold aac; set it to opus or auto",
        ),
        (
            {"audio": Audio(codec=AudioCodec.COPY), "start": 1.0},
            TAKEN,
            errors.Code.STREAM_UNSUITABLE,
            "cannot be cut exactly at start and duration",
        ),
        (
            {"start": 100.0},
            changed(SOURCE, window=Window(start=100.0, duration=None, frames=0)),
            errors.Code.CUT_EMPTY,
            "start 100 s .* the input is 5.280 s long",
        ),
    ],
)
def test_what_cannot_be_made_is_told_before_anything_runs(parts, source, code, words):
    with pytest.raises(errors.TaskError, match=words) as caught:
        build(spec(**parts), "libx264", None, source)
    assert caught.value.failure.code is code


def test_audio_is_copied_only_where_a_copy_is_right():
    def sound(source_audio: AudioStream, **parts) -> str:
        [command] = build(spec(**parts), "libx264", None, changed(SOURCE, audio=[source_audio]))
        return command.argv[command.argv.index("-c:a") + 1]

    assert sound(SOUND) == "copy"
    assert sound(changed(SOUND, codec="pcm_s16le")) == "aac"
    assert sound(changed(SOUND, codec="vorbis"), container=Container.MKV) == "copy"
    assert sound(SOUND, audio=Audio(bitrate_bps=64_000)) == "aac"
    assert sound(SOUND, audio=Audio(channels=1)) == "aac"
    # a copy into a container without edit lists would bring back what the source's hides
    hidden = changed(SOUND, hidden_seconds=0.35)
    assert sound(hidden) == "copy"
    assert sound(hidden, container=Container.TS) == "aac"


def test_the_default_audio_track_is_taken():
    tracks = [changed(SOUND, index=1), changed(SOUND, index=2, default=True)]
    [command] = build(spec(), "libx264", None, changed(SOURCE, audio=tracks))
    assert "0:2" in command.argv
