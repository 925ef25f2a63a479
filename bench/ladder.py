"""Three sizes of one source: our one command, the same rungs as three jobs' commands, and a command written by hand.

CPU seconds of FFmpeg itself, in turn. The three encodes have the ladder's rates; each decodes and scales from the source.
"""

import asyncio
import itertools
import resource
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import report
from ffrtmp.domain.spec import (
    Audio,
    AudioCodec,
    Codec,
    Container,
    Input,
    InputKind,
    Ladder,
    OutputMode,
    Preset,
    Rate,
    RateMode,
    Rung,
    Spec,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media import examine, ffmpeg, inspection, ladder, rungs, tools

_BUNNY = Path(__file__).parents[1] / "tests" / "media" / "bunny.mp4"
_SIZES = ((1280, 720), (854, 480), (640, 360))


async def run(*, quick: bool = False) -> str:
    return await asyncio.to_thread(_run, 1 if quick else 3, 0 if quick else 1)


def _run(rounds: int, loops: int) -> str:
    names = ("one command", "by hand", "three encodes")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "out").mkdir()
        source = _source(root, loops)
        found = examine.examine(inspection.Request(id=0, path=str(source)))
        ways = dict(
            zip(names, (_ours(root, source, found), _by_hand(root, source), _apart(root, source, found)), strict=True)
        )
        for order in itertools.islice(itertools.cycle(itertools.permutations(names)), rounds):
            for name in order:
                seconds[name].append(sum(_cpu_seconds(argv) for argv in ways[name]))
    ours = seconds["one command"]
    rows = []
    for name in names:
        ratio = [one / other for one, other in zip(ours, seconds[name], strict=True)]
        rows.append([name, report.spread(seconds[name], "{:.1f}"), report.spread(ratio, "{:.3f}")])
    return report.table(["720p, 480p and 360p", "CPU s", "ours to it"], rows)


def _source(root: Path, loops: int) -> Path:
    path = root / "in.mp4"
    argv = [tools.find().ffmpeg, "-v", "error", "-stream_loop", str(loops), "-i", str(_BUNNY), "-vf", "scale=1280:720"]
    subprocess.run([*argv, "-c:v", "libx264", "-crf", "16", "-c:a", "copy", str(path)], check=True)
    return path


def _spec() -> Spec:
    sizes = [
        Rung(resolution=Resolution(*size), rate=Rate(mode=RateMode.CRF, crf=23.0, max_bitrate_bps=4_000_000))
        for size in _SIZES
    ]
    return Spec(
        input=Input(kind=InputKind.FILE, path="in.mp4"),
        codec=Codec.H264,
        container=Container.MP4,
        rate=Rate(mode=RateMode.CRF, crf=23.0),
        preset=Preset.VERYFAST,
        output_mode=OutputMode.HLS,
        ladder=Ladder(rungs=sizes),
    )


def _ours(root: Path, source: Path, found: inspection.Inspection) -> list[Sequence[str]]:
    made = _spec()
    command = ladder.build(
        made,
        found,
        rungs.plan(made, found)[0],
        tools=tools.find(),
        input_path=source,
        folder=root / "out",
        scratch=root,
        encoder="libx264",
    )
    return [command.argv]


def _apart(root: Path, source: Path, found: inspection.Inspection) -> list[Sequence[str]]:
    made, argvs = _spec(), []
    for rung in rungs.plan(made, found)[0]:
        [command] = ffmpeg.build(
            msgspec.structs.replace(rung.spec, audio=Audio(codec=AudioCodec.AAC), gop_seconds=4.0),
            found,
            tools=tools.find(),
            input_path=source,
            output_path=root / f"{rung.name}.mp4",
            scratch=root,
            encoder="libx264",
        )
        argvs.append(command.argv)
    return argvs


def _by_hand(root: Path, source: Path) -> list[Sequence[str]]:
    graph = "[0:v]split=2[a][b];[b]scale=854:480,split=2[c][d];[d]scale=640:360[e]"
    argv = [tools.find().ffmpeg, "-v", "error", "-nostdin", "-y", "-i", str(source), "-filter_complex", graph]
    for label, name in (("a", "720"), ("c", "480"), ("e", "360")):
        rate = (
            "-crf",
            "23",
            "-maxrate",
            "4M",
            "-bufsize",
            "8M",
            "-g",
            "100",
            "-keyint_min",
            "100",
            "-sc_threshold",
            "0",
        )
        argv += ["-map", f"[{label}]", "-c:v", "libx264", "-preset", "veryfast", *rate, str(root / f"hand{name}.mp4")]
    return [[*argv, "-map", "0:a", "-c:a", "aac", "-b:a", "128k", str(root / "hand.m4a")]]


def _cpu_seconds(argv: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
