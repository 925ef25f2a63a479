"""How near a job with a target_vmaf lands, and what its search costs beside its encode.

The clip is over a minute long: all videos of the folder that BENCH_MEDIA names, one after another at 640x360 and 25 frames a
second, or else the clip of the tests in twelve windows. The VMAF that is told is that of the whole output, every frame.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import report
from ffrtmp.client.client import Client
from ffrtmp.domain import states
from ffrtmp.domain.job import Result, Search
from ffrtmp.media import tools
from ffrtmp.testing import programs

_BUNNY = Path(__file__).parents[1] / "tests" / "media" / "bunny.mp4"
_SIZE = "scale=640:360:force_original_aspect_ratio=increase,crop=640:360,setsar=1,format=yuv420p"
#: every frame once, at a steady rate
_CLOCK = "setpts=N/25/TB,fps=25"
#: of one clip at most
_FRAMES = 400
#: codec, preset, target
_CASES = (
    ("h264", "medium", 93.0),
    ("h264", "medium", 85.0),
    ("h265", "medium", 93.0),
    ("av1", "medium", 93.0),
    ("h264", "veryfast", 93.0),
)


async def run(*, quick: bool = False) -> str:
    cases = (("h264", "ultrafast", 90.0),) if quick else _CASES
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as place:
        async with programs.farm(Path(place)) as farm:
            await asyncio.to_thread(_film, farm.media / "film.mp4", 2 if quick else 12)
            master = await farm.master()
            await farm.agent("a", master, slots=1)
            async with Client(farm.url) as client:
                for number, (codec, preset, target) in enumerate(cases):
                    rows.append(await _case(client, f"{number}.mkv", codec, preset, target))
                    print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    return report.table(
        [
            *("codec, preset", "target", "VMAF of the whole", "off by", "crf", "tried (frames)"),
            *("search, CPU s", "encode, CPU s", "both / encode", "by the clock"),
        ],
        rows,
    )


async def _case(client: Client, name: str, codec: str, preset: str, target: float) -> list[object]:
    asked = {"codec": codec, "preset": preset, "target_vmaf": target, "audio": "none"}
    made = await _done(client, {"input": "film.mp4", "output": name, **asked})
    measured = await _done(
        client, {"input": name, "measure": {"reference": "film.mp4", "metrics": ["vmaf"]}, "output": f"{name}.json"}
    )
    search, quality = made.search, measured.quality
    assert isinstance(search, Search)
    assert quality is not None
    assert made.wall_seconds
    vmaf, encode = quality.scores["vmaf"].mean or 0.0, (made.cpu_seconds or 0.0) - search.cpu_seconds
    return [
        f"{codec}, {preset}",
        f"{target:g}",
        f"{vmaf:.2f}",
        f"{vmaf - target:+.2f}",
        f"{search.crf:g}",
        ", ".join(f"{point.crf:g} ({point.frames})" for point in search.points),
        f"{search.cpu_seconds:.1f}",
        f"{encode:.1f}",
        f"{1 + search.cpu_seconds / encode:.2f}",
        f"{1 + search.seconds / made.wall_seconds:.2f}",
    ]


async def _done(client: Client, parameters: dict[str, Any]) -> Result:
    job = await client.submit({"parameters": parameters})
    first = (await client.history(job.id)).events[0].seq
    async for event in client.events(after=first - 1):
        if event.job_id == job.id and event.kind == "job.state" and event.data["to"] in states.JOB_TERMINAL:
            break
    found = await client.job(job.id)
    assert found.state == "completed", found.failure
    assert found.result is not None
    return found.result


def _film(target: Path, windows: int) -> None:
    folder = os.environ.get("BENCH_MEDIA")
    if folder:
        clips: Sequence[Path] = sorted(path for path in Path(folder).iterdir() if path.is_file())
        chains = [f"[{number}:v]{_SIZE},trim=end_frame={_FRAMES}[v{number}]" for number in range(len(clips))]
    else:
        clips = [_BUNNY] * windows
        chains = [
            f"[{number}:v]crop=480:270:{number % 4 * 53}:{number // 4 * 45}{',hflip' if number % 2 else ''},{_SIZE}[v{number}]"
            for number in range(windows)
        ]
    joined = "".join(f"[v{number}]" for number in range(len(clips))) + f"concat=n={len(clips)},{_CLOCK}[v]"
    subprocess.run(
        [
            *(tools.find().ffmpeg, "-nostdin", "-v", "error"),
            *(argument for clip in clips for argument in ("-i", str(clip))),
            *("-filter_complex", ";".join([*chains, joined]), "-map", "[v]"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", str(target)),
        ],
        check=True,
    )
