"""Packages of sources as they are: several sounds and subtitles, HDR, fields, loudness; and the levels of verification."""

import subprocess
from pathlib import Path

import av
import m3u8
import pytest
from mpegdash.parser import MPEGDASHParser
from tests.unit.agent.bench import Bench
from tests.unit.agent.test_ladder import a_package

from ffrtmp.domain import node
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import (
    Audio,
    AudioCodec,
    Codec,
    Container,
    Deinterlace,
    Engine,
    Hdr,
    Input,
    InputKind,
    Ladder,
    Loudness,
    OutputMode,
    Pick,
    Queue,
    Rate,
    RateMode,
    Rung,
    Segments,
    Thumbnails,
    Tracks,
    VerifyLevel,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media import loudness

TWO = Ladder(rungs=[Rung(resolution=Resolution(None, lines)) for lines in (108, 54)])
H264 = ("-c:v", "libx264", "-preset", "ultrafast")
SRT = """1
00:00:00,500 --> 00:00:01,200
Hello

2
00:00:01,500 --> 00:00:02,500
<i>again</i>
"""
PQ = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv,format=yuv420p10le"


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.kit.encoders.append(node.Encoder(name="libx265", codec=Codec.H265, engine=Engine.FFMPEG, works=True))
    return bench


def made_by(bench: Bench, name: str, *arguments: str) -> Input:
    command = [bench.kit.tools.ffmpeg, "-nostdin", "-v", "error", *arguments, str(bench.media / name)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return Input(kind=InputKind.FILE, path=name)


def picture(size: str = "192x108", rate: str = "25") -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration=3")


def tone(hertz: int, seconds: float = 3) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"sine=frequency={hertz}:sample_rate=48000:duration={seconds}")


@pytest.fixture
def spoken(bench: Bench) -> Input:
    """Two sounds, the second one default, and two subtitle tracks; a title that must not break a playlist."""
    (bench.media / "text.srt").write_text(SRT)
    text = ("-i", str(bench.media / "text.srt"))
    return made_by(
        bench,
        "spoken.mkv",
        *(*picture(), *tone(300), *tone(600), *text, *text, *H264, "-c:a", "aac", "-c:s:0", "srt", "-c:s:1", "ass"),
        *("-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map", "4"),
        *("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng", "-disposition:a:1", "default"),
        *("-metadata:s:a:1", 'title=The "director" <cut>', "-disposition:a:0", "visual_impaired"),
        *("-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=eng", "-disposition:s:1", "hearing_impaired"),
    )


def light(path: Path) -> float:
    """The mean of a picture's brightness, 0 to 255."""
    with av.open(str(path)) as opened:
        plane = bytes(next(opened.decode(video=0)).planes[0])
    return sum(plane) / len(plane)


ALL = Audio(tracks=Tracks(pick=Pick.ALL))


@pytest.mark.parametrize("segments", [Segments.RANGES, Segments.FILES])
async def test_each_sound_and_each_text_is_a_rendition(bench, spoken, segments):
    ended = await bench.run(a_package(spoken, ladder=TWO, audio=ALL, segments=segments))
    assert ended.failure is None, bench.master.logs
    folder = bench.media / "show"
    master = m3u8.load(str(folder / "master.m3u8"))
    told = [(one.type, one.group_id, one.name, one.language, one.default, one.uri) for one in master.media]
    assert told == [
        ("AUDIO", "audio", "de", "de", "NO", "audio.m3u8"),
        ("AUDIO", "audio", "The 'director' <cut>", "en", "YES", "audio2.m3u8"),
        ("SUBTITLES", "subtitles", "en", "en", "NO", "subtitles.m3u8"),
        ("SUBTITLES", "subtitles", "en 2", "en", "NO", "subtitles2.m3u8"),
    ]
    assert master.media[0].characteristics == "public.accessibility.describes-video"
    assert "transcribes-spoken-dialog" in master.media[3].characteristics
    for listed in master.playlists:
        assert (listed.stream_info.audio, listed.stream_info.subtitles) == ("audio", "subtitles")
        assert listed.stream_info.video_range == "SDR"
    targets = {m3u8.load(str(folder / f"{name}.m3u8")).target_duration for name in ("108p", "54p", "audio", "audio2")}
    assert len(targets) == 1
    [text] = m3u8.load(str(folder / "subtitles.m3u8")).segments
    assert (text.uri, text.duration) == ("subtitles.vtt", pytest.approx(3, abs=0.1))
    assert "00:00.500 --> 00:01.200\nHello" in (folder / "subtitles.vtt").read_text()
    with av.open(str(folder / "audio2.m3u8")) as opened:
        assert opened.streams.audio[0].codec_context.channels == 1
    assert ended.result.verdict.checks["audio2"]["audio_language"] == "eng"
    assert ended.result.verdict.checks["subtitles2"] == {"events": 2, "events_expected": 2}
    sets = MPEGDASHParser.parse(str(folder / "manifest.mpd")).periods[0].adaptation_sets
    assert [(one.content_type, one.lang) for one in sets] == [
        ("video", None),
        ("audio", "de"),
        ("audio", "en"),
        ("text", "en"),
        ("text", "en"),
    ]
    assert [one.roles[0].value for one in sets[1:]] == ["description", "main", "subtitle", "caption"]


async def test_the_part_that_was_asked_for_has_its_subtitles(bench, spoken):
    ended = await bench.run(a_package(spoken, start=1.0, duration=1.5, subtitles=Tracks(pick=Pick.NAMED, named=[1])))
    assert ended.failure is None, bench.master.logs
    text = (bench.media / "show" / "subtitles.vtt").read_text()
    assert "00:00.500 --> 00:01.500\n<i>again</i>" in text
    assert not (bench.media / "show" / "subtitles2.vtt").exists()
    assert [one.name for one in m3u8.load(str(bench.media / "show/master.m3u8")).media] == [
        "The 'director' <cut>",
        "en",
    ]


async def test_titles_go_with_the_metadata(bench, spoken):
    ended = await bench.run(a_package(spoken, keep_metadata=False))
    assert ended.failure is None, bench.master.logs
    assert "director" not in (bench.media / "show" / "master.m3u8").read_text()


async def test_what_has_no_place_in_a_package_is_told(bench):
    (bench.media / "chapters.txt").write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=2\ntitle=one\n")
    given = made_by(
        bench,
        "told.mp4",
        *(*picture(), "-i", str(bench.media / "chapters.txt"), "-map", "0", "-map_metadata", "1", *H264),
    )
    ended = await bench.run(a_package(given, ladder=TWO))
    assert ended.failure is None, bench.master.logs
    assert ended.result.decisions == ["chapters: left out, because a package has no place for them"]
    bench.told.clear()
    plain = await bench.run(a_package(given, ladder=TWO, output_mode=OutputMode.FILE, output="plain"))
    assert plain.failure is None
    with av.open(str(bench.media / "plain" / "54p.mp4")) as opened:
        assert len(opened.chapters()) == 1


async def test_hdr_is_told_to_players(bench):
    given = made_by(
        bench,
        "pq.mp4",
        *(*picture(), "-vf", PQ, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
    )
    parts = {"codec": Codec.H265, "ladder": TWO, "thumbnails": Thumbnails(interval_seconds=1.0, width=64)}
    ended = await bench.run(a_package(given, **parts))
    assert ended.failure is None, bench.master.logs
    master = m3u8.load(str(bench.media / "show" / "master.m3u8"))
    assert {one.stream_info.video_range for one in master.playlists} == {"PQ"}
    assert {one.stream_info.codecs.split(".")[1] for one in master.playlists} == {"2"}  # Main 10
    assert 'value="16"' in (bench.media / "show" / "manifest.mpd").read_text()
    assert ended.result.decisions == ["HDR: PQ is kept"]
    bench.told.clear()
    ended = await bench.run(a_package(given, **parts, hdr=Hdr.TONEMAP, output="sdr"))
    assert ended.failure is None, bench.master.logs
    assert {one.stream_info.video_range for one in m3u8.load(str(bench.media / "sdr" / "master.m3u8")).playlists} == {
        "SDR"
    }
    assert " ".join(ended.result.command).count("tonemap=tonemap") == 1
    sheets = [light(bench.media / folder / "thumbs-001.jpg") for folder in ("show", "sdr")]
    assert abs(sheets[0] - sheets[1]) < 5  # JPEG has no HDR


DISPLAY = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=900,400"


@pytest.mark.parametrize(
    ("codec", "encoder", "name"),
    [
        (Codec.H265, "libx265", "hvc1.2.4.L30.90"),
        (Codec.VP9, "libvpx-vp9", "vp09.02.10.10.0"),
        (Codec.AV1, "libsvtav1", "av01.0.00M.10.0.11"),
    ],
)
async def test_the_display_of_hdr_is_told_in_every_size(bench, codec, encoder, name):
    coded = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"{DISPLAY}:log-level=none")
    given = made_by(bench, "pq.mp4", *picture(), "-vf", PQ, *coded)
    bench.kit.encoders[:] = [node.Encoder(name=encoder, codec=codec, engine=Engine.FFMPEG, works=True)]
    ended = await bench.run(a_package(given, codec=codec, ladder=TWO))
    assert ended.failure is None, bench.master.logs  # the verdict compares the display
    assert ended.result.verdict.checks["54p"]["light_level"] == {"max_content": 900, "max_average": 400}
    listed = m3u8.load(str(bench.media / "show" / "master.m3u8")).playlists
    assert all(one.stream_info.codecs.startswith(name) for one in listed)


@pytest.mark.parametrize(("encoder", "codec"), [("ac3", "ac-3"), ("flac", "fLaC"), ("libopus", "opus")])
async def test_a_sound_that_is_copied_is_named(bench, encoder, codec):
    given = made_by(bench, "in.mkv", *picture(), *tone(400), *H264, "-c:a", encoder)
    ended = await bench.run(a_package(given, ladder=TWO, audio=Audio(codec=AudioCodec.COPY)))
    assert ended.failure is None, bench.master.logs
    [first, _] = m3u8.load(str(bench.media / "show" / "master.m3u8")).playlists
    assert first.stream_info.codecs.split(",")[1] == codec


async def test_fields_and_loudness_are_mended_before_the_sizes_part(bench):
    given = made_by(
        bench,
        "fields.ts",
        *("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=50:duration=3,tinterlace=interleave_top,fieldorder=tff"),
        *(
            *tone(440, 3),
            "-af",
            "volume=-10dB",
            "-c:v",
            "mpeg2video",
            "-flags",
            "+ildct+ilme",
            "-b:v",
            "2M",
            "-c:a",
            "mp2",
        ),
    )
    ended = await bench.run(
        a_package(
            given, ladder=TWO, deinterlace=Deinterlace.FIELD, audio=Audio(loudness=Loudness(integrated_lufs=-20.0))
        )
    )
    assert ended.failure is None, bench.master.logs
    line = " ".join(ended.result.command)
    assert line.count("bwdif") == 1
    assert line.index("bwdif") < line.index("split=2")
    with av.open(str(bench.media / "fields.ts")) as opened:
        assert ended.result.frames == 2 * sum(1 for _ in opened.decode(video=0))
    assert ended.result.verdict.checks["audio"]["loudness"][0]["lufs"] == pytest.approx(-20, abs=loudness.TOLERANCE_LU)


async def test_a_generated_clip_has_its_tone(bench):
    generated = Input(kind=InputKind.GENERATE)
    ended = await bench.run(a_package(generated, duration=2.0, ladder=TWO, resolution=None))
    assert ended.failure is None, bench.master.logs
    assert (bench.media / "show" / "audio.m3u8").exists()
    listed = m3u8.load(str(bench.media / "show" / "master.m3u8")).playlists
    assert {one.stream_info.frame_rate for one in listed} == {30.0}
    assert [(one.width, one.height) for one in ended.result.ladder] == [(192, 108), (96, 54)]


async def test_the_largest_size_is_what_quality_is_measured_of(bench):
    given = made_by(bench, "good.mp4", *picture(), *tone(440), *H264, "-c:a", "aac")
    asked = {"ladder": TWO, "verify": VerifyLevel.QUALITY, "vmaf_min": 40.0, "vmaf_every": 5}
    ended = await bench.run(a_package(given, **asked))
    assert ended.failure is None, bench.master.logs
    checks = ended.result.verdict.checks
    assert checks["108p"]["vmaf"] > 40
    assert "vmaf" not in checks["54p"]
    assert checks["108p"]["silent_seconds"] == 0
    assert ended.result.quality.size == "192x108"
    bench.told.clear()
    poor = a_package(given, **asked | {"vmaf_min": 99.9}, rate=Rate(mode=RateMode.CRF, crf=45.0), output="poor")
    ended = await bench.run(poor)
    assert ended.failure.code is Code.QUALITY_TOO_LOW
    assert not (bench.media / "poor").exists()


async def test_silence_that_was_put_before_a_late_sound_is_no_defect(bench):
    given = made_by(bench, "late.mkv", *picture(), "-itsoffset", "1.5", *tone(440, 1.5), *H264, "-c:a", "aac")
    ended = await bench.run(a_package(given, ladder=TWO, verify=VerifyLevel.FULL))
    assert ended.failure is None, bench.master.logs
    assert ended.result.verdict.checks["108p"]["silent_seconds"] == pytest.approx(1.5, abs=0.1)


async def test_the_live_queue_falls_back_to_ffmpeg_for_a_ladder(bench):
    given = made_by(bench, "plain.mp4", *picture(), *H264)
    ended = await bench.run(a_package(given, ladder=TWO, queue=Queue.LIVE))
    assert ended.failure is None, bench.master.logs
    assert ended.result.engine is Engine.FFMPEG
    assert "GStreamer" in ended.result.engine_reason


async def test_a_plain_ladder_carries_what_each_file_can_hold(bench, spoken):
    ended = await bench.run(
        a_package(spoken, ladder=TWO, output_mode=OutputMode.FILE, container=Container.MKV, audio=ALL, start=0.5)
    )
    assert ended.failure is None, bench.master.logs
    for name in ("108p.mkv", "54p.mkv"):
        with av.open(str(bench.media / "show" / name)) as opened:
            kinds = [stream.type for stream in opened.streams]
        assert kinds == ["video", "audio", "audio", "subtitle", "subtitle"]
