"""Forty jobs of about two seconds through one agent with two slots, beside the same commands under `xargs -P2`.

The jobs are verified and published; the bare commands are only run.
"""

import asyncio
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

from bench import report
from bench.dispatch import _over
from ffrtmp.client.client import Client
from ffrtmp.media import tools
from ffrtmp.testing import programs

_BUNNY = Path(__file__).parents[1] / "tests" / "media" / "bunny.mp4"


async def run(*, quick: bool = False) -> str:
    runs, jobs = (1, 6) if quick else (3, 40)
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        async with programs.farm(root) as farm:
            # two rounds of the clip by 640x360: about two seconds of a core at x264's medium preset
            source = farm.media / "in.mp4"
            repeat = [
                tools.find().ffmpeg,
                "-v",
                "error",
                "-stream_loop",
                "1",
                "-i",
                str(_BUNNY),
                "-c",
                "copy",
                str(source),
            ]
            await asyncio.to_thread(subprocess.run, repeat, check=True)
            master = await farm.master()
            await farm.agent("a", master, slots=2)
            async with Client(farm.url) as client:
                for number in range(runs):
                    took, command = await _ours(client, number, jobs)
                    ours.append(took)
                    bare.append(await asyncio.to_thread(_bare, command, farm.media, jobs))
    ratio = [one / other for one, other in zip(ours, bare, strict=True)]
    return report.table(
        ["jobs", "agent with 2 slots, s", "xargs -P2, s", "ratio"],
        [[jobs, report.spread(ours, "{:.1f}"), report.spread(bare, "{:.1f}"), report.spread(ratio, "{:.3f}")]],
    )


async def _ours(client: Client, number: int, jobs: int) -> tuple[float, list[str]]:
    bodies = [
        {"parameters": {"codec": "h264", "input": "in.mp4", "output": f"ours-{number}-{each}.mp4"}}
        for each in range(jobs)
    ]
    started = time.perf_counter()
    made = await client.submit_batch(bodies)
    done = [await _over(client, job.id) for job in made.jobs]
    took = time.perf_counter() - started
    result = done[0].result
    assert result is not None
    return took, result.command


def _bare(command: list[str], media: Path, jobs: int) -> float:
    """The same argv with another output, by xargs."""
    lines = [
        " ".join(shlex.quote(part) for part in [*command[:-1], f"file:{media}/bare-{each}.mp4"]) for each in range(jobs)
    ]
    started = time.perf_counter()
    subprocess.run(
        ["xargs", "-P2", "-d", "\n", "-n1", "sh", "-c", 'eval "$0" >/dev/null 2>&1'],
        input="\n".join(lines).encode(),
        check=True,
    )
    return time.perf_counter() - started
