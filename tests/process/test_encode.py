"""Specs that become files with a real ffmpeg, judged by decoding them. What is spoilt afterwards must not pass."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from tests.process.conftest import FILES

from ffrtmp.agent import capabilities, machine
from ffrtmp.domain import codecs as rules
from ffrtmp.domain import errors
from ffrtmp.domain.command import Command
from ffrtmp.domain.spec import (
    CONTAINER_VIDEO,
    Audio,
    AudioCodec,
    Codec,
    Container,
    Preset,
    Rate,
    RateMode,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media import codecs, progress, tools, verify
from ffrtmp.process import run

BUNNY = Path(__file__).parents[1] / "media" / "bunny.mp4"
SMALL = Resolution(None, 72)
COMBINATIONS = [(codec, container) for codec in Codec for container in FILES if codec in CONTAINER_VIDEO[container]]


@pytest.mark.parametrize(("codec", "container"), COMBINATIONS, ids=[f"{a}-{b}" for a, b in COMBINATIONS])
async def test_every_codec_in_every_container(transcode, sources, codec, container):
    made = await transcode(sources("bframes.mp4"), codec=codec, container=container)
    assert made.verdict.problems == []
    assert made.verdict.checks["frames"] == 90
    [picture] = made.found.video
    if (codec, container) == (Codec.H265, Container.MP4):
        assert picture.codec_tag == "hvc1"


RATES = {
    "bitrate": Rate(mode=RateMode.BITRATE, bitrate_bps=200_000),
    "capped bitrate": Rate(mode=RateMode.BITRATE, bitrate_bps=200_000, max_bitrate_bps=300_000),
    "two passes": Rate(mode=RateMode.TWO_PASS, bitrate_bps=200_000),
    "capped crf": Rate(mode=RateMode.CRF, crf=20.0, max_bitrate_bps=200_000),
}


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("encoder", codecs.ENCODERS, ids=lambda encoder: encoder.name)
async def test_every_rate_mode_of_every_encoder(transcode, encoder, rate):
    made = await transcode(
        None,
        encoder=encoder.name,
        codec=encoder.codec,
        container=Container.MKV,
        rate=rate,
        duration=1.0,
        resolution=Resolution(192, 108),
    )
    assert made.verdict.problems == []
    assert len(made.outcomes) == (2 if rate.mode is RateMode.TWO_PASS else 1)


TUNES = [(codec, tune) for codec, rule in rules.RULES.items() for tune in sorted(rule.tunes)]
PROFILES = [(codec, profile) for codec, rule in rules.RULES.items() for profile in sorted(rule.profiles)]


@pytest.mark.parametrize(
    ("codec", "parts"),
    [(codec, {"tune": tune}) for codec, tune in TUNES]
    + [(codec, {"profile": profile}) for codec, profile in PROFILES]
    + [
        (codec, {"pixel_format": wanted})
        for codec, rule in rules.RULES.items()
        for wanted in sorted(rule.pixel_formats)
    ],
    ids=str,
)
async def test_every_tune_profile_and_pixel_format_that_is_offered(transcode, codec, parts):
    made = await transcode(
        None,
        codec=codec,
        container=Container.MKV,
        duration=0.2,
        resolution=Resolution(192, 108),
        audio=Audio(codec=AudioCodec.NONE),
        **parts,
    )
    assert made.verdict.problems == []


SHAPES = {
    "whole": {},
    "cut": {"start": 0.9, "duration": 1.1},
    "tail": {"start": 1.25},
    "25 fps": {"fps": "25"},
    "cut at 50 fps": {"start": 0.7, "duration": 1.0, "fps": "50"},
    "smaller, in ts": {"container": Container.TS, "resolution": SMALL},
}
HARD = (
    *("cfr.mkv", "editlist.mp4", "offset.ts", "vfr.mp4", "vfr.mkv", "mpeg4.avi", "mpeg2.ts"),
    *("hidden.webm", "late-picture.mp4", "raw.h264", "turned.mp4", "odd.mkv"),
)
SHORT = ("turned.mp4", "odd.mkv")  # nothing to cut from


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in HARD for shape in SHAPES if name not in SHORT or "start" not in SHAPES[shape]],
)
async def test_hard_sources(transcode, sources, name, shape):
    made = await transcode(sources(name), **SHAPES[shape])
    assert made.verdict.problems == []


#: what fails by a wrong expectation only: each of these outputs is right
PECULIAR = {
    "a clock that jumps back": ("joined.ts", {}),
    "… at 50 fps": ("joined.ts", {"fps": "50"}),
    "… cut before the jump": ("joined.ts", {"start": 0.5, "duration": 1.2}),
    "sound with a hole, cut where it is": ("hole.mkv", {"start": 0.5, "duration": 1.0}),
    "sound that ends before the cut": ("soon-silent.mp4", {"start": 0.5, "duration": 1.0}),
    "a picture that begins within the cut": ("late-picture.ts", {"start": 0.4, "duration": 0.8, "fps": "30"}),
    "a low sample rate in ts": ("8khz.mkv", {"container": Container.TS}),
    "raw, cut": ("raw.m2v", {"start": 0.33}),
    "tilted": ("tilted.mp4", {}),
    "a thousand frames a second, in ts": ("fast.mkv", {"container": Container.TS}),
    "Windows Media at 60 fps": ("media.wmv", {"fps": "60"}),
    "one pixel": ("point.mkv", {}),
    "2.1 to Opus": ("2.1.mkv", {"audio": Audio(codec=AudioCodec.OPUS)}),
    "4.0 to Opus": ("4.0.mkv", {"audio": Audio(codec=AudioCodec.OPUS)}),
    "5.1 to Opus of three channels": ("surround.mkv", {"audio": Audio(codec=AudioCodec.OPUS, channels=3)}),
    "7.1 in ts": ("7.1.mkv", {"container": Container.TS}),
}


@pytest.mark.parametrize(("name", "parts"), PECULIAR.values(), ids=PECULIAR)
async def test_peculiar_sources_pass(transcode, sources, name, parts):
    made = await transcode(sources(name), **parts)
    assert made.verdict.problems == []


async def test_a_cut_beyond_a_jump_of_the_clock_is_refused(transcode, sources):
    with pytest.raises(errors.TaskError, match=r"clock jumps at 3\.0\d+ s") as caught:
        await transcode(sources("joined.ts"), start=0.5)
    assert caught.value.failure.code is errors.Code.INPUT_INVALID


async def test_a_rate_that_leaves_no_frame_is_refused(transcode, sources):
    for parts in ({}, {"duration": 0.3}):
        with pytest.raises(errors.TaskError, match=r"no frame at 0\.1 per second") as caught:
            await transcode(sources("bframes.mp4"), fps="1/10", **parts)
        assert caught.value.failure.code is errors.Code.CUT_EMPTY


async def test_sound_that_is_asked_for_but_is_not_in_the_cut(transcode, sources):
    with pytest.raises(errors.TaskError, match="no audio between") as caught:
        await transcode(sources("soon-silent.mp4"), start=0.5, audio=Audio(codec=AudioCodec.AAC))
    assert caught.value.failure.code is errors.Code.NO_AUDIO_STREAM


async def test_frames_keep_their_times(transcode, sources):
    """The times of a variable rate come out as they went in, in two containers."""
    path = sources("vfr.mp4")
    before = times(path)
    for container in (Container.MP4, Container.MKV):
        made = await transcode(path, container=container)
        after = times(made.path)
        assert len(after) == len(before)
        assert max(abs(one - other) for one, other in zip(before, after, strict=True)) <= Fraction(1, 1000)


async def test_times_that_a_container_rounded_are_restored(transcode, sources):
    """30000/1001 in Matroska is rounded to milliseconds; in mp4 it is exact again."""
    made = await transcode(sources("cfr.mkv"))
    assert [time * 30000 / 1001 for time in times(made.path)] == list(range(90))


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        start = Fraction(container.start_time or 0, 1_000_000)
        return [frame.pts * frame.time_base - start for frame in container.decode(stream)]


async def test_a_turned_source_is_made_upright(transcode, sources):
    made = await transcode(sources("turned.mp4"))
    assert made.verdict.checks["size"] == "108x192"
    assert made.found.video[0].rotation == 0


async def test_odd_sizes_lose_a_line(transcode, sources):
    made = await transcode(sources("odd.mkv"))
    assert made.verdict.checks["size"] == "192x108"


async def test_ten_bits_are_kept_where_players_take_them(transcode, sources):
    made = await transcode(sources("deep.mkv"), codec=Codec.H265)
    assert made.verdict.checks["pixel_format"] == "yuv420p10le"
    made = await transcode(sources("deep.mkv"))
    assert made.verdict.checks["pixel_format"] == "yuv420p"


@pytest.mark.parametrize("wanted", [AudioCodec.AAC, AudioCodec.OPUS])
async def test_surround_sound_is_encoded(transcode, sources, wanted):
    made = await transcode(sources("surround.mkv"), audio=Audio(codec=wanted))
    assert made.verdict.problems == []
    assert made.found.audio[0].channels == 6
    made = await transcode(sources("surround.mkv"), audio=Audio(codec=wanted, channels=2))
    assert made.found.audio[0].channels == 2


async def test_metadata_is_kept_or_dropped(transcode):
    for keep in (True, False):
        made = await transcode(BUNNY, keep_metadata=keep, resolution=SMALL)
        with av.open(str(made.path)) as container:
            assert ("title" in container.metadata) is keep


async def test_the_longest_distance_of_keyframes(transcode):
    made = await transcode(BUNNY, gop_seconds=1.0, resolution=SMALL)
    assert made.found.video[0].keyframes >= 5


async def test_progress_of_two_passes(transcode):
    seen = []
    parser = progress.FfmpegProgress(30, 1.0, passes=2)
    rate = Rate(mode=RateMode.TWO_PASS, bitrate_bps=100_000)
    size = Resolution(192, 108)
    await transcode(None, rate=rate, duration=1.0, resolution=size, on_line=lambda line: seen.append(parser.feed(line)))
    percents = [one.percent for one in seen if one is not None]
    assert percents == sorted(percents)
    assert percents[-1] == 99.9
    assert {one.phase for one in seen if one is not None} == {"pass 1", "pass 2"}


#: what is done to a good output; None: bytes in its middle are overwritten
SPOILT = {
    "a frame dropped": ("-vf", "select='not(eq(n,40))'", "-fps_mode", "passthrough", "-c:a", "copy"),
    "a frame late": (
        *("-vf", "setpts=if(eq(N\\,40)\\,PTS+0.01/TB\\,PTS)", "-fps_mode", "passthrough"),
        *("-enc_time_base", "demux", "-c:a", "copy"),
    ),
    "half": ("-t", "1.5", "-c", "copy"),
    "silent": ("-an", "-c", "copy"),
    "damaged": None,
}


@pytest.mark.parametrize("threads", [1, 2, 4])
async def test_damage_that_a_decoder_only_complains_of_does_not_pass(transcode, look, sources, threads, tmp_path):
    """One slice's bytes are changed: the frame comes out, its damage hidden. With several threads too it is heard."""
    made = await transcode(sources("bframes.mp4"), audio=Audio(codec=AudioCodec.NONE))
    bad = tmp_path / "bad.mp4"
    data = bytearray(made.path.read_bytes())
    for at in range(len(data) // 3, len(data) // 3 + 400):
        data[at] ^= 0x11
    bad.write_bytes(data)
    found = await look(bad, decode=True, threads=threads)
    assert found.video[0].frames == 90
    told = verify.judge(verify.expect(made.spec, made.source), made.spec, found)
    assert any("decoding: h264: " in problem for problem in told.problems), told
    assert all("0x" not in problem for problem in told.problems)


@pytest.mark.parametrize("spoil", SPOILT)
async def test_a_spoilt_output_does_not_pass(transcode, look, found_tools, sources, spoil, tmp_path):
    path = sources("bframes.mp4")
    made = await transcode(path)
    assert made.verdict.passed
    bad = tmp_path / "bad.mp4"
    if how := SPOILT[spoil]:
        argv = (found_tools.ffmpeg, "-nostdin", "-v", "error", "-i", str(made.path), *how, "-f", "mp4", str(bad))
        assert (await run.to_end(Command(name="spoil", argv=argv))).ok
    else:
        data = bytearray(made.path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 2000] = b"\x55" * 2000
        bad.write_bytes(data)
    expected = verify.expect(made.spec, made.source)
    told = verify.judge(expected, made.spec, await look(bad, decode=True, rate=expected.steady))
    assert not told.passed, told


async def test_an_output_that_was_cut_off_is_not_even_read(transcode, look, tmp_path):
    made = await transcode(BUNNY, resolution=SMALL)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(made.path.read_bytes()[:-5000])
    with pytest.raises(errors.TaskError) as caught:
        await look(bad, decode=True)
    assert caught.value.failure.code is errors.Code.INPUT_TRUNCATED


async def test_the_probes_find_what_works(found_tools):
    offered = {one.name: one for one in (await capabilities.try_all(found_tools, machine.detect())).encoders}
    for encoder in codecs.ENCODERS:
        assert offered[encoder.name].works, offered[encoder.name]
    for encoder in offered.values():
        assert encoder.works == (encoder.detail == "")


async def test_the_version(found_tools):
    outcome = await run.to_end(tools.version_command(found_tools))
    assert tools.version_of(outcome.log)[0].isdigit()


async def test_presets_are_accepted_by_every_encoder(transcode):
    for encoder in codecs.ENCODERS:
        for preset in (Preset.ULTRAFAST, Preset.VERYFAST, Preset.SLOW):
            made = await transcode(
                None,
                encoder=encoder.name,
                codec=encoder.codec,
                container=Container.MKV,
                preset=preset,
                duration=0.2,
                resolution=Resolution(96, 64),
                audio=Audio(codec=AudioCodec.NONE),
            )
            assert made.verdict.problems == [], (encoder.name, preset)
