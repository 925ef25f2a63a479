"""`make demo`: a master and two agents as real programs, one real clip, two outputs, and a table of what was made.

Everything but the outputs is temporary. Exit code 1 when anything did not complete and verify.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ffrtmp.cli import output, progress, serving, supervise, text, watch
from ffrtmp.client.client import Client
from ffrtmp.domain import errors, units
from ffrtmp.protocol.views import JobView

CLIP = Path(__file__).parent.parent / "tests" / "media" / "bunny.mp4"
RESULTS = Path("demo-output").resolve()
PROGRAM = os.path.relpath(Path(sys.executable).with_name("ffrtmp"))
#: file name → what is asked of it
WANTED: dict[str, dict[str, Any]] = {
    "bunny-h264.mp4": {"codec": "h264", "crf": 23, "preset": "medium"},
    "bunny-av1.webm": {"codec": "av1", "crf": 35, "preset": "fast", "audio": "opus"},
}


async def farm(programs: supervise.Programs, folder: Path) -> dict[str, Any]:
    """A master and two agents, ready. Returns the master's addresses."""
    master = await programs.start(
        "master",
        ["--host=127.0.0.1", "--port=0", "--metrics-port=0", "--no-tls", f"--db={folder / 'master.db'}"],
    )
    for name in ("demo-1", "demo-2"):
        await programs.start(
            "agent",
            ["--register", f"--master={master['url']}", f"--name={name}", f"--work-dir={folder / name}", "--stop-grace=1s",
             "--metrics-host=127.0.0.1", "--metrics-port=0", f"--media-root={CLIP.parent}", f"--media-root={RESULTS}"],
            label=name,
        )  # fmt: skip
    return master


async def transcode(client: Client, out: output.Output) -> list[JobView]:
    """Both jobs, with progress, to their ends."""
    refs = {}
    for name, wanted in WANTED.items():
        asked = {**wanted, "input": str(CLIP), "output": str(RESULTS / name), "overwrite": True}
        refs[(await client.submit({"parameters": asked})).id] = name
    watcher = watch.Watcher(client, refs, notice=out.say)
    with progress.display(out) as display:
        await watch.wait(watcher, lambda job: display.job(job, refs[job.id]))
    return [watcher.jobs[ref] for ref in refs]


def verified(job: JobView) -> bool:
    return bool(job.state == "completed" and job.result and job.result.verdict and job.result.verdict.passed)


def table(out: output.Output, jobs: list[JobView]) -> None:
    rows = []
    for name, job in zip(WANTED, jobs, strict=True):
        made = job.result
        if job.state != "completed" or made is None:
            rows.append([name, "", "", "", "", "", job.state, job.node_name])
            continue
        size = units.human_bytes(sum(each.size_bytes for each in made.outputs))
        speed = f"{made.speed:.1f}x" if made.speed else ""
        rows.append(
            [
                name,
                size,
                WANTED[name]["codec"],
                made.frames,
                text.taken(job),
                speed,
                "yes" if verified(job) else "NO",
                job.node_name,
            ]
        )
    out.table(
        ["OUTPUT", "SIZE", "CODEC", "FRAMES", "TIME", "SPEED", "VERIFIED", "NODE"],
        rows,
        right=("SIZE", "FRAMES", "TIME", "SPEED"),
    )


async def demo() -> int:
    out = output.Output(json=False)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    RESULTS.mkdir(exist_ok=True)
    with supervise.temporary_folder("ffrtmp-demo-") as place:
        folder = place.path
        environment = {**serving.child_environment(), "FFRTMP_STATE_DIR": str(folder / "state")}
        for name in ("FFRTMP_CONFIG", "MASTER_API_KEY", "FFMPEG_RTMP_API_KEY"):
            environment.pop(name, None)
        out.say("Starting a master and two agents...")
        async with supervise.Programs(environment, place, stop, logs=folder) as programs:
            master = await farm(programs, folder)
            out.say(f"Transcoding {CLIP.name} ({units.human_bytes(CLIP.stat().st_size)}) on demo-1 and demo-2:")
            async with Client(master["url"], api_key=master["api_key"]) as client:
                work = asyncio.create_task(transcode(client, out))
                over = asyncio.create_task(programs.until_one_ends())
                await asyncio.wait({work, over}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    work.cancel()
                    await asyncio.wait({work})
                    ended = over.result()
                    out.say(f"{ended} ended by itself. {programs.said(ended)}" if ended else "Interrupted; stopping.")
                    return 1 if ended else 130
                over.cancel()
                jobs = work.result()
    out.text("")
    table(out, jobs)
    for name, job in zip(WANTED, jobs, strict=True):
        if job.failure:
            out.say(f"{name}: {job.failure.code}: {job.failure.message}\n  {job.failure.advice}")
    if not all(map(verified, jobs)):
        return 1
    out.text(f"\nThe files are in {RESULTS}. Everything else is stopped and removed.")
    out.text(f"Your turn: {PROGRAM} up, and in another terminal {PROGRAM} transcode IN OUT")
    out.text("(docs/quickstart.md goes on from here)")
    return 0


def main() -> int:
    try:
        return asyncio.run(demo())
    except errors.FfrtmpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, supervise.Stopped):
        return 130


if __name__ == "__main__":
    sys.exit(main())
