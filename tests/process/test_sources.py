"""Sources as they are: interlaced, HDR, with labels of colour, several tracks, subtitles, chapters, covers."""

import re

import pytest

from ffrtmp.domain import errors
from ffrtmp.domain.command import Command
from ffrtmp.domain.spec import (
    Audio,
    AudioCodec,
    Codec,
    Container,
    Deinterlace,
    Hdr,
    Loudness,
    Pick,
    PixelFormat,
    Rate,
    RateMode,
    Tracks,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media import inspection, verify
from ffrtmp.process import run

ALL = Tracks(pick=Pick.ALL)
BT709 = inspection.Colour(primaries="bt709", transfer="bt709", matrix="bt709", range="tv")
PQ = inspection.Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc", range="tv")
DISPLAY = inspection.Mastering(
    red=(34000, 16000),
    green=(13250, 34500),
    blue=(7500, 3000),
    white=(15635, 16450),
    max_luminance=10_000_000,
    min_luminance=50,
)


def changed(base, **changes):
    return type(base)(**{**{name: getattr(base, name) for name in base.__struct_fields__}, **changes})


def named(*names) -> Tracks:
    return Tracks(pick=Pick.NAMED, named=list(names))


# what the inspector finds


async def test_interlaced_pictures_are_seen_in_the_frames(look, sources):
    for name in ("fields.mp4", "fields.ts"):
        [picture] = (await look(sources(name))).video
        assert picture.interlaced
        assert picture.interlaced_frames == picture.looked_at == 16
    [picture] = (await look(sources("bframes.mp4"))).video
    assert not picture.interlaced
    assert (picture.field_order, picture.looked_at) == ("progressive", 16)


async def test_interlaced_pictures_behind_progressive_ones_are_seen(look, sources):
    [picture] = (await look(sources("part-fields.ts"))).video
    assert 0 < picture.interlaced_frames < picture.looked_at


async def test_hdr_and_its_metadata(look, sources):
    [picture] = (await look(sources("hdr10.mkv"))).video
    assert picture.colour == PQ
    assert picture.colour.hdr == "PQ"
    assert picture.mastering == DISPLAY
    assert picture.light_level == inspection.LightLevel(max_content=900, max_average=400)
    [picture] = (await look(sources("hlg.mkv"))).video
    assert (picture.colour.hdr, picture.mastering) == ("HLG", None)


async def test_tracks_and_what_is_beside_them(look, sources):
    found = await look(sources("tracks.mkv"))
    first, second = found.audio
    assert (first.language, first.title, first.default, first.layout) == ("eng", "Main", True, "mono")
    assert (second.language, second.default, second.layout) == ("ger", False, "5.1(side)")
    assert second.marks == ["visual_impaired"]
    plain, styled = found.subtitles
    assert (plain.codec, plain.language, plain.events, plain.marks) == ("subrip", "eng", 3, [])
    assert (styled.codec, styled.language, styled.events, styled.marks) == ("ass", "fr", 3, ["forced"])
    assert found.chapters == 2
    assert [font.name for font in found.attachments] == ["font.ttf"]
    found = await look(sources("cover.mp4"))
    assert [cover.codec for cover in found.covers] == ["png"]
    assert len(found.video) == 1
    assert found.subtitles[0].events == 3


async def test_a_window_counts_the_tracks_in_it(look, sources):
    found = await look(sources("tracks.mkv"), start=1.0, duration=1.5)
    assert [track.window_events for track in found.subtitles] == [2, 2]
    assert [track.window[0] for track in found.audio] == pytest.approx([1.0, 1.0], abs=0.05)


# interlaced


INTERLACED = {
    "auto": ({}, 50),
    "smaller": ({"resolution": Resolution(None, 72)}, 50),
    "cut": ({"start": 0.5, "duration": 1.0}, 25),
    "at 50 fps": ({"fps": "50"}, 100),
    "a frame for each field": ({"deinterlace": Deinterlace.FIELD}, 100),
    "… cut": ({"deinterlace": Deinterlace.FIELD, "start": 0.5, "duration": 1.0}, 50),
    "on": ({"deinterlace": Deinterlace.ON}, 50),
}


@pytest.mark.parametrize(("parts", "frames"), INTERLACED.values(), ids=INTERLACED)
@pytest.mark.parametrize("name", ["fields.mp4", "fields.ts"])
async def test_interlaced_pictures_are_made_progressive(transcode, sources, name, parts, frames):
    made = await transcode(sources(name), **parts)
    assert made.verdict.problems == []
    assert made.verdict.checks["frames"] == pytest.approx(frames, abs=1)
    assert made.verdict.checks["interlaced_frames"] == 0


async def test_no_comb_is_left(transcode, sources, found_tools):
    """By FFmpeg's own detector: it finds fields in what was left as it was, and none in what was deinterlaced."""
    left = await transcode(sources("fields.mp4"), codec=Codec.H265, deinterlace=Deinterlace.OFF)
    assert await combed(found_tools, left.path) > 40
    made = await transcode(sources("fields.mp4"), codec=Codec.H265)
    assert await combed(found_tools, made.path) < 15


async def combed(found_tools, path) -> int:
    argv = (found_tools.ffmpeg, "-nostdin", "-i", str(path), "-vf", "idet", "-an", "-f", "null", "-")
    log = (await run.to_end(Command(name="idet", argv=argv))).log
    return sum(int(count) for count in re.findall(r"Multi frame detection: TFF: *(\d+) BFF: *(\d+)", log)[-1])


async def test_fields_are_kept_where_that_is_asked_and_h264_can(transcode, sources):
    made = await transcode(sources("fields.mp4"), deinterlace=Deinterlace.OFF)
    assert made.verdict.problems == []
    assert made.found.video[0].interlaced_frames == 50
    made = await transcode(sources("fields.mp4"), deinterlace=Deinterlace.OFF, resolution=Resolution(None, 72))
    assert made.found.video[0].interlaced_frames == 0


async def test_fields_that_come_out_unasked_do_not_pass(transcode, sources):
    made = await transcode(sources("fields.mp4"), deinterlace=Deinterlace.OFF)
    wanted = changed(made.spec, deinterlace=Deinterlace.AUTO)
    told = verify.judge(verify.expect(wanted, made.source), wanted, made.found)
    assert "50 frames are marked as interlaced" in told.problems


# HDR and colour


KEEPERS = [
    (Codec.H265, Container.MP4, None),
    (Codec.H265, Container.MKV, None),
    (Codec.H265, Container.TS, None),
    (Codec.AV1, Container.MP4, "libsvtav1"),
    (Codec.AV1, Container.WEBM, "libsvtav1"),
    (Codec.AV1, Container.MKV, "libaom-av1"),
    (Codec.VP9, Container.WEBM, None),
    (Codec.VP9, Container.MP4, None),
]


@pytest.mark.parametrize(("codec", "container", "encoder"), KEEPERS)
async def test_hdr_is_kept_with_its_metadata(transcode, sources, codec, container, encoder):
    made = await transcode(sources("hdr10.mkv"), codec=codec, container=container, encoder=encoder)
    assert made.verdict.problems == []
    [picture] = made.found.video
    assert (picture.colour, picture.mastering) == (PQ, DISPLAY)
    assert picture.light_level == inspection.LightLevel(max_content=900, max_average=400)
    assert picture.pixel_format == "yuv420p10le"


@pytest.mark.parametrize("codec", [Codec.H265, Codec.AV1])
async def test_hlg_is_kept(transcode, sources, codec):
    made = await transcode(sources("hlg.mkv"), codec=codec, hdr=Hdr.KEEP)
    assert made.verdict.problems == []
    assert made.found.video[0].colour.hdr == "HLG"


@pytest.mark.parametrize("name", ["hdr10.mkv", "hlg.mkv"])
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"codec": Codec.VP8, "container": Container.WEBM},
        {"codec": Codec.H265, "hdr": Hdr.TONEMAP},
        {"codec": Codec.H265, "pixel_format": PixelFormat.YUV420P},
        {"codec": Codec.AV1, "hdr": Hdr.TONEMAP, "resolution": Resolution(None, 72)},
    ],
    ids=str,
)
async def test_hdr_is_tone_mapped(transcode, sources, name, parts):
    made = await transcode(sources(name), **parts)
    assert made.verdict.problems == []
    assert made.found.video[0].mastering is None
    assert made.found.video[0].light_level is None
    assert made.verdict.checks["hdr"] == "SDR"


async def test_tone_mapped_white_is_about_as_bright_as_it_was(transcode, sources, found_tools):
    """100 cd/m² is code 509 of 1023 in PQ (SMPTE ST 2084): much too dark where it is only called SDR, white where it is clipped."""
    made = await transcode(sources("grey.mkv"))
    argv = (found_tools.ffmpeg, "-nostdin", "-v", "error", "-i", str(made.path))
    shown = "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-"
    lines: list[str] = []
    await run.to_end(Command(name="luma", argv=(*argv, "-vf", shown, "-f", "null", "-")), on_line=lines.append)
    assert 140 < float(lines[-1].partition("=")[2]) < 165


async def test_hdr_without_its_labels_does_not_pass(transcode, sources):
    made = await transcode(sources("hdr10.mkv"), codec=Codec.H265)
    [picture] = made.found.video
    for spoilt, problem in (
        ({"colour": BT709}, "the colour's transfer is bt709, not smpte2084"),
        ({"mastering": None}, "the mastering display is None"),
        ({"light_level": None}, "the light level"),
    ):
        found = changed(made.found, video=[changed(picture, **spoilt)])
        told = verify.judge(verify.expect(made.spec, made.source), made.spec, found)
        assert any(problem in found for found in told.problems), told.problems


async def test_dolby_vision_without_a_base_layer_is_refused(transcode, look, sources):
    source = await look(sources("hdr10.mkv"))
    told = changed(source, video=[changed(source.video[0], dolby_vision=5)])
    with pytest.raises(errors.TaskError, match="Dolby Vision of profile 5") as caught:
        verify.expect((await transcode(sources("hdr10.mkv"), codec=Codec.H265)).spec, told)
    assert caught.value.failure.code is errors.Code.STREAM_UNSUITABLE


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        (Codec.H264, Container.MP4),
        (Codec.H264, Container.TS),
        (Codec.H265, Container.MKV),
        (Codec.AV1, Container.MP4),
        (Codec.VP9, Container.WEBM),
    ],
)
async def test_labels_of_colour_are_carried(transcode, sources, codec, container):
    made = await transcode(sources("pal.mkv"), codec=codec, container=container, resolution=Resolution(None, 720))
    assert made.verdict.problems == []
    assert made.verdict.checks["colour_matrix"] == "bt470bg"


async def test_pictures_without_labels_get_them_where_players_would_guess_wrong(transcode, sources):
    made = await transcode(sources("unlabelled.mkv"), resolution=Resolution(None, 720))
    assert made.verdict.problems == []
    assert made.found.video[0].colour.matrix == "bt470bg"
    made = await transcode(sources("unlabelled.mkv"), resolution=Resolution(None, 288))
    assert made.found.video[0].colour.matrix == ""


async def test_rgb_becomes_bt709(transcode, sources):
    made = await transcode(sources("rgb.mkv"))
    assert made.verdict.problems == []
    assert made.found.video[0].colour.matrix == "bt709"


# sound


@pytest.mark.parametrize(
    ("container", "codecs"),
    [
        (Container.MP4, ["aac", "ac3"]),
        (Container.MKV, ["aac", "ac3"]),
        (Container.TS, ["aac", "ac3"]),
        (Container.WEBM, ["opus", "opus"]),
    ],
)
async def test_all_tracks_come_along(transcode, sources, container, codecs):
    codec = Codec.VP9 if container is Container.WEBM else Codec.H264
    made = await transcode(sources("tracks.mkv"), container=container, codec=codec, audio=Audio(tracks=ALL))
    assert made.verdict.problems == []
    assert [track.codec for track in made.found.audio] == codecs
    assert [track.language for track in made.found.audio] == ["eng", "ger"]


async def test_tracks_by_language_and_number(transcode, sources):
    made = await transcode(sources("tracks.mkv"), audio=Audio(tracks=named("de")))
    assert [track.language for track in made.found.audio] == ["ger"]
    made = await transcode(sources("tracks.mkv"), audio=Audio(tracks=named(2, 1), codec=AudioCodec.AAC), start=1.0)
    assert made.verdict.problems == []
    assert [track.language for track in made.found.audio] == ["ger", "eng"]
    with pytest.raises(errors.TaskError, match=r"names 3.* it has 1 \(eng, aac\), 2 \(ger, ac3\)"):
        await transcode(sources("tracks.mkv"), audio=Audio(tracks=named(3)))


async def test_a_track_that_is_missing_or_of_another_language_does_not_pass(transcode, sources):
    made = await transcode(sources("tracks.mkv"), audio=Audio(tracks=ALL))
    first, second = made.found.audio
    for tracks, problem in (
        ([first], "the number of audio streams is 1, not 2"),
        ([first, changed(second, language="eng")], "the language of audio track 2 is eng, not ger"),
    ):
        told = verify.judge(verify.expect(made.spec, made.source), made.spec, changed(made.found, audio=tracks))
        assert problem in told.problems


@pytest.mark.parametrize("codec", [AudioCodec.AAC, AudioCodec.OPUS])
async def test_surround_at_the_sides_gets_a_layout_that_players_know(transcode, sources, codec):
    made = await transcode(sources("surround.mkv"), audio=Audio(codec=codec))
    assert made.verdict.problems == []
    assert made.found.audio[0].layout == "5.1"


LOUDNESSES = {
    "the broadcast target": ({}, Loudness()),
    "a louder one, in Opus": ({"audio": AudioCodec.OPUS, "container": Container.MKV}, Loudness(integrated_lufs=-16.0)),
    "cut": ({"start": 0.5, "duration": 2.0}, Loudness(integrated_lufs=-18.0, range_lu=7.0)),
}


@pytest.mark.parametrize(("parts", "target"), LOUDNESSES.values(), ids=LOUDNESSES)
async def test_loudness_meets_its_target(transcode, sources, parts, target):
    parts = dict(parts)
    sound = Audio(codec=parts.pop("audio", AudioCodec.AUTO), loudness=target)
    made = await transcode(sources("quiet.mkv"), audio=sound, **parts)
    assert made.verdict.problems == []
    [measured] = made.verdict.checks["loudness"]
    assert measured["lufs"] == pytest.approx(target.integrated_lufs, abs=0.5)
    assert made.found.audio[0].sample_rate == 48_000


async def test_loudness_of_a_downmix_is_that_of_what_comes_out(transcode, sources):
    sound = Audio(channels=2, loudness=Loudness(integrated_lufs=-20.0), tracks=named(2))
    made = await transcode(sources("tracks.mkv"), audio=sound)
    assert made.verdict.problems == []
    assert made.verdict.checks["loudness"][0]["lufs"] == pytest.approx(-20, abs=0.5)


# subtitles and the rest


@pytest.mark.parametrize(
    ("container", "codecs"),
    [
        (Container.MKV, ["subrip", "ass"]),
        (Container.MP4, ["mov_text", "mov_text"]),
        (Container.WEBM, ["webvtt", "webvtt"]),
        (Container.TS, []),
    ],
)
@pytest.mark.parametrize("cut", [{}, {"start": 1.0, "duration": 1.5}], ids=["whole", "cut"])
async def test_subtitles_are_copied_or_converted(transcode, sources, container, codecs, cut):
    codec = Codec.VP9 if container is Container.WEBM else Codec.H264
    made = await transcode(sources("tracks.mkv"), container=container, codec=codec, **cut)
    assert made.verdict.problems == []
    assert [track.codec for track in made.found.subtitles] == codecs
    assert all(track.events == (2 if cut else 3) for track in made.found.subtitles)


async def test_subtitles_are_cut_to_the_right_time(transcode, sources, found_tools):
    for container in (Container.MKV, Container.MP4):
        made = await transcode(sources("cover.mp4"), container=container, start=1.0, duration=1.5)
        assert made.verdict.problems == []
        argv = (found_tools.ffmpeg, "-nostdin", "-v", "error", "-i", str(made.path), "-map", "0:s:0", "-f", "srt", "-")
        lines = []
        await run.to_end(Command(name="srt", argv=argv), on_line=lines.append)
        assert [line for line in lines if "-->" in line] == [
            "00:00:00,200 --> 00:00:00,900",
            "00:00:01,200 --> 00:00:01,900",
        ]


async def test_subtitles_that_are_pictures(transcode, sources):
    for cut in ({}, {"start": 0.5, "duration": 0.5}):
        made = await transcode(sources("pictures.mkv"), container=Container.MKV, **cut)
        assert made.verdict.problems == []
        assert [track.codec for track in made.found.subtitles] == ["hdmv_pgs_subtitle"]
        made = await transcode(sources("pictures.mkv"), **cut)
        assert made.verdict.problems == []
        assert made.found.subtitles == []
    told = verify.expect(made.spec, made.source).notes
    assert "subtitles: eng, hdmv_pgs_subtitle is left out: mp4 cannot hold it" in told
    with pytest.raises(
        errors.TaskError, match=r"eng, hdmv_pgs_subtitle, which mp4 cannot hold; use mkv, or leave it out"
    ):
        await transcode(sources("pictures.mkv"), subtitles=ALL)


@pytest.mark.parametrize("container", [Container.WEBM, Container.MKV, Container.MP4])
@pytest.mark.parametrize("cut", [{}, {"start": 1.0, "duration": 1.5}], ids=["whole", "cut"])
async def test_webvtt(transcode, sources, container, cut):
    codec = Codec.H264 if container is Container.MP4 else Codec.VP9
    made = await transcode(sources("captions.webm"), container=container, codec=codec, **cut)
    assert made.verdict.problems == []
    assert made.found.subtitles[0].codec == ("mov_text" if container is Container.MP4 else "webvtt")
    assert made.found.subtitles[0].events == (2 if cut else 3)


async def test_subtitles_that_are_asked_for_but_cannot_be(transcode, sources):
    with pytest.raises(errors.TaskError, match=r"eng, subrip, which ts cannot hold; use mp4 or mkv or webm"):
        await transcode(sources("tracks.mkv"), container=Container.TS, subtitles=named("en"))
    made = await transcode(sources("tracks.mkv"), subtitles=Tracks(pick=Pick.NONE))
    assert made.found.subtitles == []
    made = await transcode(sources("tracks.mkv"), subtitles=named("fra"), container=Container.MKV)
    assert [track.language for track in made.found.subtitles] == ["fra"]


@pytest.mark.parametrize("container", [Container.MP4, Container.MKV])
async def test_chapters_and_covers_are_kept_or_stripped(transcode, sources, container):
    made = await transcode(sources("cover.mp4"), container=container, codec=Codec.H265)
    assert made.verdict.problems == []
    assert (made.found.chapters, len(made.found.covers)) == (2, 1)
    made = await transcode(sources("cover.mp4"), container=container, keep_metadata=False)
    assert made.verdict.problems == []
    assert (made.found.chapters, len(made.found.covers)) == (0, 0)
    assert made.found.audio[0].language == "eng"


async def test_attached_fonts_stay_in_matroska(transcode, sources):
    made = await transcode(sources("tracks.mkv"), container=Container.MKV)
    assert made.verdict.problems == []
    assert [font.name for font in made.found.attachments] == ["font.ttf"]
    assert verify.expect(changed(made.spec, container=Container.MP4), made.source).notes[-1] == (
        "attached files: left out, because mp4 has no place for them"
    )


async def test_two_passes_with_all_that_is_beside_the_film(transcode, sources):
    rate = Rate(mode=RateMode.TWO_PASS, bitrate_bps=200_000)
    made = await transcode(sources("cover.mp4"), rate=rate, audio=Audio(loudness=Loudness()), start=0.5)
    assert made.verdict.problems == []
    assert len(made.found.covers) == 1


async def test_the_loudness_of_a_generated_clip(transcode):
    small = Resolution(192, 108)
    made = await transcode(None, duration=2.0, resolution=small, audio=Audio(loudness=Loudness(integrated_lufs=-30.0)))
    assert made.verdict.problems == []
    assert made.verdict.checks["loudness"][0]["lufs"] == pytest.approx(-30, abs=0.5)
