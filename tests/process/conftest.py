"""Real ffmpeg: sources that the tests make once, and the whole way from a spec to a verdict."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.domain.spec import Codec, Container, Input, InputKind, Preset, Rate, RateMode, Spec
from ffrtmp.media import codecs, ffmpeg, inspection, tools, verify
from ffrtmp.process import run
from ffrtmp.process.service import Service

_SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=3")
_SIGHT = ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=30000/1001:duration=3")
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-g", "30")

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
    "huge.avi": ("-f", "lavfi", "-i", "color=size=16000x16000", "-frames:v", "1", "-c:v", "mjpeg"),
}


@pytest.fixture(scope="session")
def found_tools() -> tools.Tools:
    return tools.find()


@pytest.fixture(scope="session")
def sources(found_tools, tmp_path_factory) -> Callable[[str], Path]:
    """Makes a source when it is first asked for."""
    folder = tmp_path_factory.mktemp("sources")

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


@pytest.fixture
def transcode(found_tools, look, tmp_path):
    """Index the input, encode, decode the output, judge."""

    async def transcode(path: Path | None, *, encoder: str | None = None, on_line=None, **parts) -> Made:
        made = spec_of(path, **parts)
        source = await look(path, start=made.start, duration=made.duration) if path else None
        expectation = verify.expect(made, source)
        output = tmp_path / "output.stage"
        chosen = encoder or next(one.name for one in codecs.ENCODERS if one.codec is made.codec)
        commands = ffmpeg.build(
            made,
            source,
            tools=found_tools,
            input_path=path,
            output_path=output,
            scratch=tmp_path,
            encoder=chosen,
            threads=2,
        )
        outcomes = [await run.to_end(command, on_line=on_line) for command in commands]
        assert all(outcome.ok for outcome in outcomes), outcomes[-1].log
        found = await look(output, decode=True, rate=expectation.steady)
        return Made(made, output, source, found, verify.judge(expectation, made, found), outcomes)

    return transcode
