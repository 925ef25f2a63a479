"""Real ffmpeg: sources that the tests make once, and the whole way from a spec to a verdict."""

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.domain.spec import Codec, Container, Input, InputKind, Preset, Rate, RateMode, Spec
from ffrtmp.media import codecs, ffmpeg, inspection, loudness, tools, verify
from ffrtmp.process import run
from ffrtmp.process.service import Service

_SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=3")
_SIGHT = ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=30000/1001:duration=3")
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-g", "30")

#: files that are no media, for those that are made of them
TEXTS = {
    "captions.srt": "".join(
        f"{number + 1}\n00:00:0{number},200 --> 00:00:0{number},900\nCaption {number}\n\n" for number in range(3)
    ),
    "chapters.txt": ";FFMETADATA1\ntitle=Three seconds\n"
    + "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={start + 1500}\ntitle=Part {start}\n" for start in (0, 1500)
    ),
    "font.ttf": "not really a font",
}


def _blu_ray_subtitles() -> bytes:
    """Three texts as Blu-ray has them, as far as a copy looks: a display set where each begins and one where it ends."""
    made = b""
    for number, seconds in enumerate((0.2, 0.9, 1.2, 1.9, 2.2, 2.9)):
        composition = struct.pack(">HHBHBBBB", 192, 108, 0x10, number, 0x80, 0, 0, 0)
        for kind, data in ((0x16, composition), (0x80, b"")):
            made += b"PG" + struct.pack(">IIBH", round(seconds * 90_000), 0, kind, len(data)) + data
    return made


#: flv is what streams are in, see test_rtmp
FILES = [container for container in Container if container is not Container.FLV]
_FIELDS = ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=50:duration=2")
_WEAVE = ("-vf", "tinterlace=interleave_top,setfield=tff")
_PQ = (
    "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:max-cll=900,400:log-level=error:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
)
_DEEP = ("-t", "1", "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast")

#: name → arguments that make it; `{folder}` is where the others are
SOURCES: dict[str, tuple[str, ...]] = {
    "bframes.mp4": (*_SIGHT, *_SOUND, *_H264, "-c:a", "aac"),
    "cfr.mkv": ("-i", "{folder}/bframes.mp4", "-c", "copy"),
    "editlist.mp4": ("-ss", "1.27", "-i", "{folder}/bframes.mp4", "-c", "copy"),
    "offset.ts": (*_SIGHT, *_SOUND, *_H264, "-c:a", "aac", "-output_ts_offset", "10", "-f", "mpegts"),
    "vfr.mp4": (
        *_SIGHT,
        *_SOUND,
        *("-vf", "select='not(eq(mod(n,7),3))',setpts='PTS+if(gt(N,40),0.5,0)/TB'", "-fps_mode", "vfr"),
        *_H264,
        *("-c:a", "aac"),
    ),
    "vfr.mkv": ("-i", "{folder}/vfr.mp4", "-c", "copy"),
    "mpeg4.avi": (*_SIGHT, *_SOUND, "-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3"),
    "mpeg2.ts": (*_SIGHT, *_SOUND, "-c:v", "mpeg2video", "-g", "15", "-bf", "2", "-c:a", "mp2", "-f", "mpegts"),
    "hidden.webm": (
        *_SIGHT,
        *_SOUND,
        *("-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "200k", "-c:a", "libopus"),
    ),
    "odd.mkv": (
        *("-f", "lavfi", "-i", "testsrc2=size=193x109:rate=25:duration=1", "-c:v", "ffv1", "-pix_fmt", "yuv444p"),
    ),
    "upright.mp4": (*_SIGHT, *_H264, "-t", "1"),
    "turned.mp4": ("-display_rotation", "90", "-i", "{folder}/upright.mp4", "-c", "copy"),
    "late-picture.mp4": ("-itsoffset", "0.7", *_SIGHT, *_SOUND, *_H264, "-c:a", "aac"),
    "raw.h264": (*_SIGHT, *_H264, "-f", "h264"),
    "surround.mkv": (
        *("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=1"),
        *("-f", "lavfi", "-i", "sine=duration=1,aformat=channel_layouts=5.1(side)"),
        *(*_H264, "-c:a", "ac3"),
    ),
    "joined.ts": (*_SIGHT, *_SOUND, *_H264, "-c:a", "aac"),  # put behind itself
    "hole.mkv": (*_SIGHT, *_SOUND, "-af", "aselect='not(between(t,0.9,1.8))'", *_H264, "-c:a", "aac"),
    "soon-silent.mp4": (*_SIGHT, "-f", "lavfi", "-i", "sine=duration=0.05", *_H264, "-c:a", "aac"),
    "late-picture.ts": ("-itsoffset", "0.8", *_SIGHT, *_SOUND, *_H264, "-c:a", "aac"),
    "8khz.mkv": (*_SIGHT, "-f", "lavfi", "-i", "sine=sample_rate=8000:duration=3", *_H264, "-c:a", "pcm_s16le"),
    "raw.m2v": (*_SIGHT, "-c:v", "mpeg2video"),
    "tilted.mp4": ("-display_rotation", "45", "-i", "{folder}/upright.mp4", "-c", "copy"),
    "fast.mkv": ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=1000:duration=0.3", "-c:v", "ffv1"),
    "media.wmv": (*_SIGHT, *_SOUND, "-c:v", "wmv2", "-c:a", "wmav2"),
    "talk.flv": (*_SIGHT, *_SOUND, *_H264, "-c:a", "aac"),
    "point.mkv": ("-f", "lavfi", "-i", "color=size=1x1:rate=25:duration=1", "-c:v", "ffv1"),
    **{
        f"{layout}.mkv": (
            *(*_SIGHT, "-f", "lavfi", "-i", f"sine=duration=3,aformat=channel_layouts={layout}"),
            *(*_H264, "-c:a", "flac"),
        )
        for layout in ("2.1", "4.0", "7.1")
    },
    "audio.m4a": (*_SOUND, "-c:a", "aac"),
    "deep.mkv": (*_SIGHT, "-t", "1", "-pix_fmt", "yuv420p10le", "-c:v", "libx264", "-preset", "ultrafast"),
    "fields.mp4": (*_FIELDS, *_SOUND, *_WEAVE, "-t", "2", *_H264, "-flags", "+ildct+ilme", "-c:a", "aac"),
    "fields.ts": (*_FIELDS, *_WEAVE, "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-bf", "2", "-f", "mpegts"),
    "part-fields.ts": ("-i", "{folder}/long-progressive.ts", "-c", "copy"),  # interlaced pictures put behind it
    "long-progressive.ts": (
        *("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=4", "-c:v", "mpeg2video", "-g", "12"),
        *("-f", "mpegts"),
    ),
    "hdr10.mkv": (*_SIGHT, *_DEEP, "-x265-params", _PQ),
    "hlg.mkv": (
        *(*_SIGHT, *_DEEP, "-x265-params"),
        "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:log-level=error",
    ),
    "pal.mkv": (
        *("-f", "lavfi", "-i", "testsrc2=size=720x576:rate=25:duration=0.2"),
        *("-vf", "setparams=color_primaries=bt470bg:color_trc=smpte170m:colorspace=bt470bg:range=tv", *_H264),
    ),
    "unlabelled.mkv": ("-f", "lavfi", "-i", "testsrc2=size=720x576:rate=25:duration=0.2", *_H264),
    "rgb.mkv": ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=0.2,format=gbrp", "-c:v", "ffv1"),
    "tracks.mkv": (
        *(*_SIGHT, *_SOUND, "-f", "lavfi", "-i", "sine=frequency=660:duration=3,aformat=channel_layouts=5.1(side)"),
        *("-i", "{folder}/captions.srt", "-i", "{folder}/chapters.txt"),
        *("-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map", "3", "-map_metadata", "4", *_H264),
        *("-c:a:0", "aac", "-c:a:1", "ac3", "-c:s:0", "srt", "-c:s:1", "ass"),
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:0", "title=Main"),
        *("-metadata:s:a:1", "language=ger", "-disposition:a:0", "default", "-disposition:a:1", "visual_impaired"),
        *("-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=fr", "-disposition:s:1", "forced"),
        *("-attach", "{folder}/font.ttf", "-metadata:s:t", "mimetype=font/ttf"),
    ),
    "cover.png": ("-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1"),
    "cover.mp4": (
        *("-i", "{folder}/tracks.mkv", "-i", "{folder}/cover.png", "-map", "0:v", "-map", "0:a:0", "-map", "0:s:0"),
        *("-map", "1", "-c", "copy", "-c:s", "mov_text", "-disposition:v:1", "attached_pic"),
    ),
    "pictures.mkv": (
        *("-i", "{folder}/upright.mp4", "-i", "{folder}/pictures.sup", "-map", "0:v", "-map", "1:s", "-c", "copy"),
        *("-metadata:s:s:0", "language=eng"),
    ),
    "captions.webm": (
        *(*_SIGHT, "-i", "{folder}/captions.srt", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
        *("-c:s", "webvtt"),
    ),
    "grey.mkv": (
        *("-f", "lavfi", "-i", "color=black:size=64x64:rate=10:duration=0.3"),
        *("-vf", "format=yuv420p10le,lutyuv=y=509:u=512:v=512", *_DEEP, "-x265-params", _PQ),
    ),
    "quiet.mkv": (
        *(*_SIGHT, "-f", "lavfi", "-i", "sine=frequency=997:sample_rate=48000:duration=3,volume=-20dB", *_H264),
        *("-c:a", "flac"),
    ),
    "huge.avi": ("-f", "lavfi", "-i", "color=size=16000x16000", "-frames:v", "1", "-c:v", "mjpeg"),
}


@pytest.fixture(scope="session")
def found_tools() -> tools.Tools:
    return tools.find()


@pytest.fixture(scope="session")
def sources(found_tools, tmp_path_factory) -> Callable[[str], Path]:
    """Makes a source when it is first asked for."""
    folder = tmp_path_factory.mktemp("sources")
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    (folder / "pictures.sup").write_bytes(_blu_ray_subtitles())

    def source(name: str) -> Path:
        path: Path = folder / name
        if not path.exists():
            arguments = [argument.replace("{folder}", str(folder)) for argument in SOURCES[name]]
            for argument in arguments:
                if argument.startswith(str(folder)):
                    source(Path(argument).name)
            command = [found_tools.ffmpeg, "-nostdin", "-v", "error", *arguments, str(path)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            if name == "joined.ts":
                path.write_bytes(2 * path.read_bytes())
            if name == "part-fields.ts":
                path.write_bytes(path.read_bytes() + source("fields.ts").read_bytes())
        return path

    return source


@pytest.fixture
async def inspector():
    service = Service(
        Command(
            name="inspect",
            argv=(sys.executable, "-m", "ffrtmp.media.inspect", "--serve"),
            limits=CommandLimits(stop_grace_seconds=30),
        )
    )
    yield service
    await service.close()


@pytest.fixture
def look(inspector):
    """Inspect a file; raises TaskError."""

    async def look(path: Path, **wanted) -> inspection.Inspection:
        return inspection.read(await inspector.request(inspection.request(str(path), **wanted), timeout_seconds=60))

    return look


class Made:
    """What came of a spec."""

    def __init__(self, spec, path, source, found, verdict, outcomes):
        self.spec: Spec = spec
        self.path: Path = path
        self.source: inspection.Inspection | None = source
        self.found: inspection.Inspection = found
        self.verdict = verdict
        self.outcomes: list[run.Outcome] = outcomes


def spec_of(path: Path | None, **parts) -> Spec:
    usual = {
        "input": Input(kind=InputKind.FILE, path=str(path)) if path else Input(kind=InputKind.GENERATE),
        "codec": Codec.H264,
        "container": Container.MP4,
        "rate": Rate(mode=RateMode.CRF, crf=35.0),
        "preset": Preset.ULTRAFAST,
    }
    return Spec(**{**usual, **parts})


async def finished(commands: list[Command], on_line=None) -> list[run.Outcome]:
    outcomes = [await run.to_end(command, on_line=on_line) for command in commands]
    assert all(outcome.ok for outcome in outcomes), outcomes[-1].log
    return outcomes


@pytest.fixture
def transcode(found_tools, look, tmp_path):
    """Index the input, encode, decode the output, judge."""

    async def transcode(path: Path | None, *, encoder: str | None = None, on_line=None, **parts) -> Made:
        made = spec_of(path, **parts)
        source = await look(path, start=made.start, duration=made.duration) if path else None
        expectation = verify.expect(made, source)
        output = tmp_path / "output.stage"
        chosen = encoder or next(one.name for one in codecs.ENCODERS if one.codec is made.codec)
        where = {"tools": found_tools, "input_path": path, "scratch": tmp_path}
        how = {**where, "output_path": output, "threads": 2}
        await finished(ffmpeg.preparing(made, source, **where))
        before = await finished(ffmpeg.measuring(made, source, **how))
        before = [loudness.read(outcome.log) for outcome in before]
        commands = ffmpeg.build(made, source, encoder=chosen, measured=before, **how)
        outcomes = await finished(commands, on_line)
        found = await look(output, decode=True, rate=expectation.steady)
        after = ffmpeg.measuring_output(made, output, len(before), tools=found_tools)
        after = [loudness.read(outcome.log) for outcome in await finished(after)]
        pairs = list(zip(before, after, strict=True))
        return Made(made, output, source, found, verify.judge(expectation, made, found, pairs), outcomes)

    return transcode
