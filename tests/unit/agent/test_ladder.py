"""Whole attempts at ladders and packages: real ffmpeg, the real inspector; playlists read by parsers that are not ours."""

import io
import os
import re
import subprocess
from pathlib import Path

import av
import m3u8
import pytest
from mpegdash.parser import MPEGDASHParser
from tests.unit.agent.bench import Bench

from ffrtmp.domain import node
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import (
    Codec,
    Container,
    Engine,
    Input,
    InputKind,
    Ladder,
    OutputMode,
    Preset,
    Rate,
    RateMode,
    Rung,
    Segments,
    Spec,
    Thumbnails,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media import boxes

THREE = Ladder(rungs=[Rung(resolution=Resolution(None, lines)) for lines in (108, 72, 54)])
_SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=3")
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-g", "30")
SOURCES = {
    "ntsc.mp4": ("192x108", *_SOUND, *_H264, "-c:a", "aac"),
    "silent.mp4": ("192x108", *_H264),
    "upright.mp4": ("108x192", *_SOUND, *_H264, "-c:a", "aac"),
    "odd.mkv": ("193x109", *_SOUND, "-c:v", "ffv1", "-c:a", "flac"),
    "vfr.mp4": (
        *("192x108", *_SOUND, "-vf", "select='not(eq(mod(n,7),3))',setpts='PTS+if(gt(N,40),0.5,0)/TB'"),
        *("-fps_mode", "vfr", *_H264, "-c:a", "aac"),
    ),
    "late-picture.mp4": ("late", *_SOUND, *_H264, "-c:a", "aac"),
    "late-sound.mkv": ("192x108", "-itsoffset", "0.8", *_SOUND, *_H264, "-c:a", "aac"),
    "surround.mkv": (
        "192x108",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=3,aformat=channel_layouts=5.1",
        *_H264,
        "-c:a",
        "ac3",
    ),
}


def source(bench: Bench, name: str) -> Input:
    size, *rest = SOURCES[name]
    picture = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30000/1001:duration=3")
    if size == "late":
        picture = ("-itsoffset", "0.7", *picture[:3], "testsrc2=size=192x108:rate=30000/1001:duration=3")
    command = [bench.kit.tools.ffmpeg, "-nostdin", "-v", "error", *picture, *rest, str(bench.media / name)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return Input(kind=InputKind.FILE, path=name)


def a_package(given: Input, **parts: object) -> Spec:
    usual = {
        "input": given,
        "codec": Codec.H264,
        "container": Container.MP4,
        "rate": Rate(mode=RateMode.CRF, crf=30.0),
        "preset": Preset.ULTRAFAST,
        "output_mode": OutputMode.HLS,
        "ladder": THREE,
        "segment_seconds": 1.0,
        "output": "show",
    }
    return Spec(**{**usual, **parts})  # type: ignore[arg-type]


def frames(path: Path) -> list[float]:
    """Times of the pictures that a player sees, by FFmpeg's HLS demuxer through PyAV."""
    with av.open(str(path)) as opened:
        return [float(frame.time) for frame in opened.decode(video=0) if frame.time is not None]


@pytest.mark.parametrize("segments", [Segments.RANGES, Segments.FILES])
@pytest.mark.parametrize("name", SOURCES)
async def test_a_package_plays_in_every_size_as_its_source(bench, name, segments):
    given = source(bench, name)
    ended = await bench.run(a_package(given, segments=segments))
    assert ended.failure is None, bench.master.logs
    folder = bench.media / "show"
    original = frames(bench.media / name)
    for rung in ended.result.ladder:
        shown = frames(folder / f"{rung.name}.m3u8")
        assert len(shown) == len(original)
        assert max(abs((a - shown[0]) - (b - original[0])) for a, b in zip(shown, original, strict=True)) < 0.002
    assert sorted(one.name for one in ended.result.outputs) == sorted(os.listdir(folder))
    assert ended.result.outputs[0].name == "master.m3u8"
    lengths = {
        tuple(re.findall(r"#EXTINF:([\d.]+)", (folder / f"{rung.name}.m3u8").read_text()))
        for rung in ended.result.ladder
    }
    [expected] = [("1.001000", "1.001000", "1.001000")] if name != "vfr.mp4" else lengths
    assert lengths == {expected}
    assert (folder / "audio.m3u8").exists() is (name != "silent.mp4")
    assert any(entry.suffix == ".m4s" for entry in folder.iterdir()) is (segments is Segments.FILES)


@pytest.mark.parametrize("name", ["ntsc.mp4", "late-picture.mp4", "late-sound.mkv"])
@pytest.mark.parametrize("cut", [{}, {"start": 1.0, "duration": 1.5}], ids=["whole", "cut"])
async def test_sound_and_picture_stay_together(bench, name, cut):
    given = source(bench, name)
    await bench.run(a_package(given, segments=Segments.RANGES, output="show", **cut))
    bench.told.clear()
    plain = await bench.run(a_package(given, output_mode=OutputMode.FILE, ladder=None, output="plain.mp4", **cut))
    assert plain.failure is None
    with av.open(str(bench.media / "plain.mp4")) as opened:
        both = (opened.streams.video[0], opened.streams.audio[0])
        seen, heard = (float((stream.start_time or 0) * stream.time_base) for stream in both)
    parts = {}
    heard = 0.0 if name == "late-sound.mkv" else heard  # silence is put before it
    for part in ("108p", "audio"):
        with av.open(str(bench.media / "show" / f"{part}.mp4")) as opened:
            parts[part] = float((opened.streams[0].start_time or 0) * opened.streams[0].time_base)
    assert abs((parts["audio"] - parts["108p"]) - (heard - seen)) < 0.025
    tracks = [boxes.read(bench.media / "show" / f"{part}.mp4") for part in ("audio", "108p")]
    begins = [track.fragments[0].start / track.timescale for track in tracks]
    assert abs(begins[0] - begins[1] - (heard - seen)) < 0.05  # players go by this, not by edit lists


async def test_the_playlists_are_as_other_parsers_read_them(bench):
    given = source(bench, "ntsc.mp4")
    ended = await bench.run(a_package(given, segments=Segments.FILES))
    folder = bench.media / "show"
    master = m3u8.load(str(folder / "master.m3u8"))
    assert [one.stream_info.resolution for one in master.playlists] == [(192, 108), (128, 72), (96, 54)]
    assert {one.stream_info.frame_rate for one in master.playlists} == {29.97}
    assert {one.stream_info.codecs for one in master.playlists} == {"avc1.42C00B,mp4a.40.2", "avc1.42C00A,mp4a.40.2"}
    assert [one.iframe_stream_info.resolution for one in master.iframe_playlists] == [(192, 108), (128, 72), (96, 54)]
    [sound] = master.media
    assert (sound.group_id, sound.default, sound.channels) == ("audio", "YES", "1")
    audio = m3u8.load(str(folder / sound.uri))
    for listed, rung in zip(master.playlists, ended.result.ladder, strict=True):
        played = m3u8.load(str(folder / listed.uri))
        assert played.is_endlist
        rates = [8 * (folder / one.uri).stat().st_size / one.duration for one in played.segments]
        heard = [8 * (folder / one.uri).stat().st_size / one.duration for one in audio.segments]
        assert abs(rung.peak_bps - max(rates)) < 2
        assert abs(listed.stream_info.bandwidth - (max(rates) + max(heard))) < 0.05 * max(heard)
        assert all(one.duration <= played.target_duration + 0.5 for one in played.segments)
    dash = MPEGDASHParser.parse(str(folder / "manifest.mpd"))
    [pictures, heard] = dash.periods[0].adaptation_sets
    top = pictures.representations[0]
    assert (top.width, top.height, top.frame_rate) == (192, 108, "30000/1001")
    for one in (*pictures.representations, *heard.representations):
        [template] = one.segment_templates
        count = sum(1 + (line.r or 0) for line in template.segment_timelines[0].Ss)
        assert count == len(list(folder.glob(f"{one.id}-*.m4s")))


@pytest.mark.parametrize("codec", [Codec.H265, Codec.VP9, Codec.AV1])
async def test_key_frames_agree_in_every_codec(bench, codec):
    names = {Codec.H265: "libx265", Codec.VP9: "libvpx-vp9", Codec.AV1: "libsvtav1"}
    bench.kit.encoders[:] = [node.Encoder(name=names[codec], codec=codec, engine=Engine.FFMPEG, works=True)]
    ended = await bench.run(a_package(source(bench, "vfr.mp4"), codec=codec, output_mode=OutputMode.DASH))
    assert ended.failure is None, bench.master.logs
    for rung in ended.result.ladder:
        assert len(frames(bench.media / "show" / f"{rung.name}.m3u8")) == len(frames(bench.media / "vfr.mp4"))
    told = {one.stream_info.codecs.split(".")[0] for one in m3u8.load(str(bench.media / "show/master.m3u8")).playlists}
    assert told == {{Codec.H265: "hvc1", Codec.VP9: "vp09", Codec.AV1: "av01"}[codec]}


async def test_key_frames_alone_are_pictures(bench):
    await bench.run(a_package(source(bench, "ntsc.mp4"), segments=Segments.RANGES))
    folder = bench.media / "show"
    listed = m3u8.load(str(folder / "108p-iframes.m3u8"))
    assert listed.is_i_frames_only
    media = (folder / "108p.mp4").read_bytes()
    header, _ = map(int, listed.segment_map[0].byterange.split("@"))
    for one in listed.segments:
        size, at = map(int, one.byterange.split("@"))
        with av.open(io.BytesIO(media[:header] + media[at : at + size])) as opened:
            assert next(opened.decode(video=0)).key_frame


async def test_a_plain_ladder(bench):
    ended = await bench.run(a_package(source(bench, "ntsc.mp4"), output_mode=OutputMode.FILE))
    assert ended.failure is None, bench.master.logs
    assert sorted(os.listdir(bench.media / "show")) == ["108p.mp4", "54p.mp4", "72p.mp4"]
    for rung in ended.result.ladder:
        with av.open(str(bench.media / "show" / f"{rung.name}.mp4")) as opened:
            assert [stream.type for stream in opened.streams] == ["video", "audio"]
            assert opened.streams.video[0].height == rung.height


async def test_a_package_in_the_artifact_store(bench):
    ended = await bench.run(a_package(source(bench, "ntsc.mp4"), output=None))
    assert sorted(bench.master.stored) == sorted(one.name for one in ended.result.outputs)
    assert "108p.mp4" in bench.master.stored
    assert not any(name.endswith(".m4s") for name in bench.master.stored)


async def test_a_ladder_is_never_scaled_up(bench):
    ended = await bench.run(
        a_package(source(bench, "ntsc.mp4"), ladder=Ladder(rungs=[Rung(resolution=Resolution(None, 720))]))
    )
    assert [(one.width, one.height) for one in ended.result.ladder] == [(192, 108)]
    assert ended.result.decisions == ["ladder: 720p is left out: the source has 192x108, and is never scaled up"]


async def test_a_directory_is_replaced_as_a_whole(bench):
    given = source(bench, "silent.mp4")
    await bench.run(a_package(given))
    bench.told.clear()
    ended = await bench.run(a_package(given))
    assert ended.failure.code is Code.OUTPUT_EXISTS
    bench.told.clear()
    ended = await bench.run(a_package(given, ladder=None, resolution=Resolution(None, 54), overwrite=True))
    assert ended.failure is None
    assert sorted(one.name for one in (bench.media / "show").iterdir() if one.suffix == ".m3u8") == [
        "54p-iframes.m3u8",
        "54p.m3u8",
        "master.m3u8",
    ]


async def test_a_directory_of_something_else_is_not_replaced(bench):
    given = source(bench, "silent.mp4")
    (bench.media / "show").mkdir()
    (bench.media / "show" / "holiday.mp4").write_text("mine")
    ended = await bench.run(a_package(given, overwrite=True))
    assert ended.failure.code is Code.OUTPUT_EXISTS
    assert "holiday.mp4" in ended.failure.message
    assert (bench.media / "show" / "holiday.mp4").read_text() == "mine"


async def test_the_directory_of_the_input_is_not_replaced(bench):
    (bench.media / "show").mkdir()
    source(bench, "silent.mp4")
    (bench.media / "silent.mp4").rename(bench.media / "show" / "720p.mp4")
    ended = await bench.run(a_package(Input(kind=InputKind.FILE, path="show/720p.mp4"), overwrite=True))
    assert ended.failure.code is Code.OUTPUT_FORBIDDEN
    assert (bench.media / "show" / "720p.mp4").exists()


async def test_what_an_earlier_attempt_published_is_adopted(bench):
    given = source(bench, "silent.mp4")
    first = await bench.run(a_package(given))
    bench.told.clear()
    ended = await bench.run(a_package(given), prior_publications=first.result.outputs)
    assert ended.failure is None
    assert ended.result.outputs == first.result.outputs
    assert ended.result.command == []
    bench.told.clear()
    (bench.media / "show" / "master.m3u8").write_text("another")
    ended = await bench.run(a_package(given), prior_publications=first.result.outputs)
    assert ended.failure.code is Code.OUTPUT_EXISTS


async def test_a_rename_that_may_not_be_leaves_nothing(bench):
    given = source(bench, "silent.mp4")
    bench.may = False
    await bench.run(a_package(given))
    assert not (bench.media / "show").exists()


async def test_thumbnails(bench):
    given = source(bench, "ntsc.mp4")
    ended = await bench.run(a_package(given, thumbnails=Thumbnails(interval_seconds=0.5, width=64)))
    assert ended.failure is None, bench.master.logs
    cues = (bench.media / "show" / "thumbs.vtt").read_text()
    assert cues.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.500\nthumbs-001.jpg#xywh=0,0,64,36\n")
    assert cues.count("-->") == 6
    with av.open(str(bench.media / "show" / "thumbs-001.jpg")) as sheet:
        assert (sheet.streams.video[0].width, sheet.streams.video[0].height) == (6 * 64, 36)


async def test_a_ladder_is_chosen_by_what_the_content_takes(bench):
    SOURCES["long.mp4"] = ("640x360", "-vf", "loop=loop=7:size=90", *_H264)
    ended = await bench.run(
        a_package(source(bench, "long.mp4"), ladder=Ladder(), rate=Rate(mode=RateMode.CRF, crf=23.0))
    )
    assert ended.failure is None, bench.master.logs
    assert ended.result.decisions[0].startswith("ladder: caps x ")
    assert [rung.name for rung in ended.result.ladder] == ["360p", "234p"]
    assert "sample" in bench.master.logs["a" * 32]
