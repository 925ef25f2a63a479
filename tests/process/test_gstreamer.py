"""Specs that become files with a real GStreamer, judged as FFmpeg's are; what it prints when it fails."""

import os
import shutil
from pathlib import Path

import av
import msgspec
import pytest
from tests.process.conftest import FILES, Made, spec_of

from ffrtmp.agent import capabilities
from ffrtmp.domain import errors
from ffrtmp.domain.codecs import RULES
from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import (
    CONTAINER_AUDIO,
    CONTAINER_VIDEO,
    Audio,
    AudioCodec,
    Codec,
    Container,
    Limits,
    PixelFormat,
    Preset,
    Rate,
    RateMode,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media import failures, gst_encoders, gstreamer, tools, verify
from ffrtmp.media.gst_progress import GstreamerProgress
from ffrtmp.process import run

BUNNY = Path(__file__).parents[1] / "media" / "bunny.mp4"
TINY = Resolution(192, 108)
SOFTWARE = ("x264enc", "x265enc", "vp8enc", "vp9enc", "av1enc")
SILENT = Audio(codec=AudioCodec.NONE)


def _usual(codec: Codec) -> str:
    return next(name for name in SOFTWARE if gst_encoders.BY_NAME[name].codec is codec)


@pytest.fixture(scope="session")
def gst(found_tools) -> tools.Tools:
    launch = tools.find_gstreamer()
    if launch is None:
        assert "CI" not in os.environ, "GStreamer is missing: run tools/system_packages.sh test"
        pytest.skip("GStreamer is not installed: tools/system_packages.sh test")
    return msgspec.structs.replace(found_tools, gst_launch=launch, gst_version="1")


@pytest.fixture
def transcode(gst, look, tmp_path):
    """Index the input, encode, decode the output, judge."""

    async def transcode(path: Path | None, *, encoder: str | None = None, on_line=None, **parts) -> Made:
        made = spec_of(path, **parts)
        source = await look(path) if path else None
        expectation = verify.expect(made, source)
        output = tmp_path / f'out put ! "q" \\ \' {len(list(tmp_path.iterdir()))}'
        scratch = tmp_path / f"scratch{len(list(tmp_path.iterdir()))}"
        scratch.mkdir()
        commands = gstreamer.build(
            made,
            source,
            tools=gst,
            input_path=path,
            output_path=output,
            scratch=scratch,
            encoder=encoder or _usual(made.codec),
            threads=2,
        )
        for link, target in gstreamer.links(scratch, path, output).items():
            link.symlink_to(target)
        outcomes = [await run.to_end(command, on_line=on_line) for command in commands]
        assert all(outcome.ok for outcome in outcomes), outcomes[-1].log
        found = await look(output, decode=True, rate=expectation.steady)
        return Made(made, output, source, found, verify.judge(expectation, made, found), outcomes)

    return transcode


COMBINATIONS = [(codec, container) for codec in Codec for container in FILES if codec in CONTAINER_VIDEO[container]]


@pytest.mark.parametrize(("codec", "container"), COMBINATIONS, ids=[f"{a}-{b}" for a, b in COMBINATIONS])
async def test_every_codec_in_every_container(transcode, sources, codec, container):
    made = await transcode(sources("bframes.mp4"), codec=codec, container=container)
    assert made.verdict.problems == []
    assert made.verdict.checks["frames"] == 90
    if (codec, container) == (Codec.H265, Container.MP4):
        assert made.found.video[0].codec_tag == "hvc1"


RATES = {
    "bitrate": Rate(mode=RateMode.BITRATE, bitrate_bps=200_000),
    "two passes": Rate(mode=RateMode.TWO_PASS, bitrate_bps=200_000),
    "capped crf": Rate(mode=RateMode.CRF, crf=20.0, max_bitrate_bps=200_000),
}


@pytest.mark.parametrize(
    ("encoder", "mode"),
    [(encoder, mode) for encoder in SOFTWARE for mode in RATES if encoder != "av1enc" or mode == "bitrate"],
)
async def test_every_rate_mode_that_an_encoder_has(transcode, encoder, mode):
    rate = RATES[mode]
    made = await transcode(
        None,
        encoder=encoder,
        codec=gst_encoders.BY_NAME[encoder].codec,
        container=Container.MKV,
        rate=rate,
        duration=1.0,
        resolution=TINY,
    )
    assert made.verdict.problems == []
    assert len(made.outcomes) == (2 if rate.mode is RateMode.TWO_PASS else 1)


@pytest.mark.parametrize("encoder", SOFTWARE)
async def test_a_lower_quality_makes_a_smaller_file(transcode, encoder):
    sizes = []
    for crf in (10.0, 45.0):
        made = await transcode(
            None,
            encoder=encoder,
            codec=gst_encoders.BY_NAME[encoder].codec,
            container=Container.MKV,
            rate=Rate(mode=RateMode.CRF, crf=crf),
            duration=0.5,
            resolution=TINY,
            audio=SILENT,
        )
        assert made.verdict.problems == []
        sizes.append(made.path.stat().st_size)
    assert sizes[0] > 1.5 * sizes[1]


PARTS = [
    *((codec, {"tune": tune}) for codec, rule in RULES.items() for tune in sorted(rule.tunes)),
    *(
        (codec, {"profile": profile})
        for codec in (Codec.H264, Codec.H265)
        for profile in sorted(RULES[codec].profiles - {"main444-10"})  # whose pixel format is refused
    ),
    (Codec.H264, {"pixel_format": PixelFormat.YUV422P}),
    (Codec.H264, {"pixel_format": PixelFormat.YUV444P}),
    (Codec.H264, {"pixel_format": PixelFormat.YUV420P10}),
    (Codec.H265, {"pixel_format": PixelFormat.YUV422P}),
    (Codec.H265, {"pixel_format": PixelFormat.YUV444P}),
    (Codec.H265, {"pixel_format": PixelFormat.YUV420P10}),
    (Codec.VP9, {"pixel_format": PixelFormat.YUV444P}),
    (Codec.VP9, {"pixel_format": PixelFormat.YUV420P10}),
]


@pytest.mark.parametrize(("codec", "parts"), PARTS, ids=str)
async def test_every_tune_profile_and_pixel_format(transcode, codec, parts):
    made = await transcode(
        None, codec=codec, container=Container.MKV, duration=0.2, resolution=TINY, audio=SILENT, **parts
    )
    assert made.verdict.problems == []


SHAPES = {
    "whole": {},
    "25 fps": {"fps": "25"},
    "50 fps": {"fps": "50"},
    "smaller, in ts": {"container": Container.TS, "resolution": Resolution(None, 72)},
}
HARD = ("cfr.mkv", "offset.ts", "vfr.mp4", "vfr.mkv", "mpeg2.ts", "hidden.webm")
SHORT = ("turned.mp4", "odd.mkv", "talk.flv", "surround.mkv", "deep.mkv", "late-picture.mp4")


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name in HARD for shape in SHAPES])
async def test_hard_sources(transcode, sources, name, shape):
    audio = Audio(codec=AudioCodec.AAC) if name == "hidden.webm" else Audio()
    made = await transcode(sources(name), **{"audio": audio, **SHAPES[shape]})
    assert made.verdict.problems == []


@pytest.mark.parametrize("name", SHORT)
async def test_peculiar_sources(transcode, sources, name):
    made = await transcode(sources(name))
    assert made.verdict.problems == []


AUDIO = [
    (heard, container)
    for container in FILES
    for heard in sorted(CONTAINER_AUDIO[container])
    if (heard, container) != (AudioCodec.OPUS, Container.MP4)
]
UNABLE = {
    "editlist.mp4": "edit list",
    "mpeg4.avi": "B-frames in avi",
    "hidden.webm": "opus wrong into mp4",
    "raw.h264": "reads no h264 files",
    "joined.ts": "clock that jumps",
    "tilted.mp4": "turns pictures by quarters",
}


@pytest.mark.parametrize(("name", "says"), UNABLE.items())
async def test_sources_that_it_would_get_wrong_are_refused(transcode, sources, name, says):
    with pytest.raises(errors.TaskError, match=says) as caught:
        await transcode(sources(name))
    assert caught.value.failure.code is Code.ENGINE_FAILED


@pytest.mark.parametrize(("heard", "container"), AUDIO, ids=[f"{a}-{b}" for a, b in AUDIO])
async def test_sound_in_every_container(transcode, sources, heard, container):
    codec = Codec.VP8 if container is Container.WEBM else Codec.H264
    for channels in (1, 2, 6):
        audio = Audio(codec=heard, bitrate_bps=96_000, channels=channels)
        made = await transcode(sources("bframes.mp4"), codec=codec, container=container, audio=audio)
        assert made.verdict.problems == []
        assert made.found.audio[0].channels == channels


LABELS = {
    "HD": ("bt709", "bt709", "bt709", "tv"),
    "525 lines": ("smpte170m", "smpte170m", "smpte170m", "tv"),
    "625 lines": ("bt470bg", "smpte170m", "bt470bg", "tv"),
    "full range": ("bt709", "bt709", "bt709", "pc"),
}


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265, Codec.VP9, Codec.AV1])
@pytest.mark.parametrize("name", LABELS)
async def test_colours_and_a_language_keep_their_labels(transcode, found_tools, tmp_path, codec, name):
    path = tmp_path / "labelled.mkv"
    said = "setparams=color_primaries={}:color_trc={}:colorspace={}:range={}".format(*LABELS[name])
    argv = (
        *(found_tools.ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=0.4"),
        *("-f", "lavfi", "-i", "sine=duration=0.4", "-metadata:s:a:0", "language=ger", "-vf", f"format=yuv420p,{said}"),
        *("-c:v", "libx264", "-c:a", "aac", str(path)),
    )
    assert (await run.to_end(Command(name="make", argv=argv))).ok
    if (name, codec) in (("625 lines", Codec.VP9), ("full range", Codec.AV1)):
        with pytest.raises(errors.TaskError, match="loses the label of"):
            await transcode(path, codec=codec, container=Container.MP4)
        return
    made = await transcode(path, codec=codec, container=Container.MP4)
    assert made.verdict.problems == []
    assert made.verdict.checks["audio_language_expected"] == "ger"


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265, Codec.VP9, Codec.AV1])
@pytest.mark.parametrize(("size", "height"), [("1280x720", 180), ("320x180", 720), ("352x288", 720)])
async def test_a_picture_without_labels_gets_those_of_its_size(transcode, found_tools, tmp_path, codec, size, height):
    path = tmp_path / "unlabelled.mkv"
    argv = (
        *(found_tools.ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration=0.2"),
        *("-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", str(path)),
    )
    assert (await run.to_end(Command(name="make", argv=argv))).ok
    parts = {"codec": codec, "container": Container.MP4, "resolution": Resolution(None, height)}
    if (size, codec) == ("352x288", Codec.VP9):
        with pytest.raises(errors.TaskError, match="loses the label of"):
            await transcode(path, **parts)
        return
    made = await transcode(path, **parts)
    assert made.verdict.problems == []
    assert made.verdict.checks["colour_matrix"]


async def test_frames_keep_their_times(transcode, sources):
    path = sources("vfr.mp4")
    before = times(path)
    for container in (Container.MP4, Container.MKV):
        made = await transcode(path, container=container)
        after = times(made.path)
        assert len(after) == len(before)
        assert max(abs(one - other) for one, other in zip(before, after, strict=True)) <= 0.0011


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [float(frame.pts * frame.time_base) for frame in container.decode(stream)]
        return [time - found[0] for time in found]


async def test_names_that_the_pipeline_language_would_read(transcode, sources, tmp_path):
    """The output's name in `transcode` is one as well."""
    for name in (
        "a b.mp4",
        'say "x".mp4',
        "a ! fakesink .mp4",
        "back\\slash\\ .mp4",
        "d. ! x.mp4",
        "-q",
        "é=(int)1,.mp4",
    ):
        path = tmp_path / name
        shutil.copy(sources("upright.mp4"), path)
        made = await transcode(path)
        assert made.verdict.problems == [], name


async def test_the_longest_distance_of_keyframes(transcode):
    made = await transcode(BUNNY, gop_seconds=1.0, resolution=Resolution(None, 72))
    assert made.found.video[0].keyframes >= 5


async def test_metadata_is_kept(transcode):
    made = await transcode(BUNNY, resolution=Resolution(None, 72))
    with av.open(str(made.path)) as container:
        assert "title" in container.metadata


async def test_progress_is_told_while_it_encodes(transcode):
    seen = []
    rate = Rate(mode=RateMode.TWO_PASS, bitrate_bps=400_000)
    parser = GstreamerProgress(240, 8.0, passes=2)
    await transcode(
        None,
        rate=rate,
        duration=8.0,
        preset=Preset.SLOW,
        resolution=Resolution(640, 360),
        on_line=lambda line: seen.append(parser.feed(line)),
    )
    told = [one for one in seen if one is not None]
    percents = [one.percent for one in told]
    assert percents == sorted(percents)
    assert 0 < percents[-1] < 100
    assert {one.phase for one in told} == {"pass 1", "pass 2"}
    assert all(one.fps and one.eta_seconds is not None for one in told if one.frame)


async def test_the_probes_find_what_works(gst):
    tried = await capabilities.try_gstreamer(gst)
    offered = {one.name: one for one in tried.encoders}
    for name in SOFTWARE:
        assert offered[name].works, offered[name]
    for encoder in offered.values():
        assert encoder.works == (encoder.detail == "")
    pairs = {one.container: (set(one.video), set(one.audio)) for one in tried.muxers}
    able = {container: (CONTAINER_VIDEO[container], CONTAINER_AUDIO[container]) for container in Container}
    able[Container.MP4] = (CONTAINER_VIDEO[Container.MP4], {AudioCodec.AAC})
    assert pairs == able


async def test_the_version(gst):
    outcome = await run.to_end(tools.gst_version_command(gst.gst_launch))
    assert tools.gst_version_of(outcome.log)[0].isdigit()


@pytest.fixture
def fail(gst, look, tmp_path):
    """Runs a job with something wrong; gives why it failed."""

    async def fail(path: Path, *, instead: Path | None = None, output: Path | None = None, swap=("", ""), **parts):
        made = spec_of(path, **parts)
        output = output or tmp_path / "out"
        [command] = gstreamer.build(
            made,
            await look(path),
            tools=gst,
            input_path=path,
            output_path=output,
            scratch=tmp_path,
            encoder=_usual(made.codec),
        )
        for link, target in gstreamer.links(tmp_path, instead or path, output).items():
            link.symlink_to(target)
        argv = tuple(argument.replace(*swap) for argument in command.argv)
        outcome = await run.to_end(msgspec.structs.replace(command, argv=argv, limits=CommandLimits(wall_seconds=60)))
        return failures.from_outcome(
            outcome.ended.value,
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            log=outcome.log,
            wall_seconds=outcome.wall_seconds,
            name=command.name,
        )

    return fail


async def test_an_input_that_is_gone(fail, sources, tmp_path):
    failure = await fail(sources("upright.mp4"), instead=tmp_path / "nowhere")
    assert failure.code is Code.INPUT_MISSING, failure


@pytest.mark.parametrize("name", ["upright.mp4", "cfr.mkv", "offset.ts"])
async def test_an_input_that_is_no_media(fail, sources, tmp_path, name):
    """A playlist under an innocent name: the demuxer was named, so nothing looks for what it could be."""
    text = tmp_path / "innocent.mp4"
    text.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{sources('upright.mp4')}\n#EXT-X-ENDLIST\n")
    failure = await fail(sources(name), instead=text)
    assert failure.code is Code.INPUT_INVALID, failure
    assert not (tmp_path / "out").exists() or (tmp_path / "out").stat().st_size < 2000


async def test_an_encoder_that_is_not_there(fail, sources):
    failure = await fail(sources("upright.mp4"), swap=("x264enc", "x266enc"))
    assert failure.code is Code.ENCODER_UNAVAILABLE, failure
    assert "x266enc" in failure.message


async def test_an_encoder_that_refuses_what_it_is_told(fail, sources):
    failure = await fail(sources("upright.mp4"), swap=("speed-preset=ultrafast", "speed-preset=nope"))
    assert failure.code is Code.ENGINE_FAILED, failure
    assert "speed-preset" in failure.message
    assert "gstreamer ended with exit code 1" in failure.message


async def test_a_full_disk(fail, small_disk, tmp_path):
    full = small_disk(tmp_path / "full", 1)
    rate = Rate(mode=RateMode.CRF, crf=0.0)
    failure = await fail(BUNNY, output=full / "out.mkv", rate=rate, container=Container.MKV)
    assert failure.code is Code.DISK_FULL, failure


@pytest.mark.parametrize("name", ["cfr.mkv", "offset.ts"])
async def test_an_input_that_ends_early_does_not_pass(fail, look, sources, tmp_path, name):
    """As FFmpeg, it may end with 0 then: the frames are counted."""
    half = tmp_path / "half"
    data = sources(name).read_bytes()
    half.write_bytes(data[: len(data) // 2])
    path = sources(name)
    failure = await fail(path, instead=half)
    if failure is not None:
        assert failure.code in (Code.INPUT_TRUNCATED, Code.INPUT_INVALID), failure
        return
    spec, source = spec_of(path), await look(path)
    expected = verify.expect(spec, source)
    told = verify.judge(expected, spec, await look(tmp_path / "out", decode=True, rate=expected.steady))
    assert not told.passed


async def test_a_job_that_is_stopped_ends_at_once(gst, look, tmp_path):
    spec = spec_of(None, duration=600.0, resolution=Resolution(640, 360), limits=Limits(timeout_seconds=2.0))
    [command] = gstreamer.build(
        spec, None, tools=gst, input_path=None, output_path=tmp_path / "out", scratch=tmp_path, encoder="x264enc"
    )
    for link, target in gstreamer.links(tmp_path, None, tmp_path / "out").items():
        link.symlink_to(target)
    outcome = await run.to_end(command)
    assert outcome.ended == "timed_out"
    with pytest.raises(errors.TaskError):
        await look(tmp_path / "out", decode=True)
