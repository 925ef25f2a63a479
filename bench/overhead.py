"""Forty jobs of about two seconds through one agent with two slots, beside the same commands under `xargs -P2`.

The jobs are verified and published; the bare commands are only run.
"""

import asyncio
import shlex
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import report
from ffrtmp.client.client import Client
from ffrtmp.domain import states
from ffrtmp.media import tools
from ffrtmp.testing import programs

_BUNNY = Path(__file__).parents[1] / "tests" / "media" / "bunny.mp4"


async def run(*, quick: bool = False) -> str:
    runs, jobs = (1, 6) if quick else (4, 40)
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
                _, command = await _ours(client, runs, 2)
                for number in range(runs):
                    # each of the two goes first in turn: a shared machine's speed drifts
                    if number % 2:
                        bare.append(await asyncio.to_thread(_bare, command, farm.media, jobs))
                    ours.append((await _ours(client, number, jobs))[0])
                    if not number % 2:
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
    await _all_over(client, [job.id for job in made.jobs])
    took = time.perf_counter() - started
    result = (await client.job(made.jobs[0].id)).result
    assert result is not None
    return took, result.command


async def _all_over(client: Client, ids: Sequence[str]) -> None:
    """One event stream for all: many watchers would take their time from the jobs."""
    left = set(ids)
    first = (await client.history(ids[0])).events[0].seq
    async for event in client.events(after=first - 1):
        if event.kind == "job.state" and event.data["to"] in states.JOB_TERMINAL:
            assert event.data["to"] == states.JobState.COMPLETED, event
            left.discard(event.job_id or "")
            if not left:
                return


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
