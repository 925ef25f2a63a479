"""From `POST /jobs` sent to the ffmpeg process started, with an idle agent whose poll interval is ten seconds."""

import shutil
import tempfile
import time
from pathlib import Path

from bench import report
from ffrtmp.client.client import Client
from ffrtmp.media import tools
from ffrtmp.testing import programs
from ffrtmp.testing.waiting import until

_BUNNY = Path(__file__).parents[1] / "tests" / "media" / "bunny.mp4"
#: notes the moment and becomes ffmpeg; only encodes count, not the probes at the agent's start
_WRAPPER = """#!/bin/sh
date +%s%N >> {log}
exec {ffmpeg} "$@"
"""


async def run(*, quick: bool = False) -> str:
    jobs = 3 if quick else 25
    rows = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        log = root / "starts"
        wrapper = root / "ffmpeg"
        wrapper.write_text(_WRAPPER.format(log=log, ffmpeg=tools.find().ffmpeg))
        wrapper.chmod(0o755)
        async with programs.farm(root) as farm:
            master = await farm.master()
            shutil.copy(_BUNNY, farm.media / "in.mp4")
            await farm.agent("a", master, "--ffmpeg", str(wrapper), "--poll-interval", "10s")
            async with Client(farm.url) as client:
                for name, source in (("generated input", "generate"), ("file input, inspected first", "in.mp4")):
                    delays = []
                    for number in range(jobs):
                        log.unlink(missing_ok=True)
                        output = f"{source}-{number}.mp4".replace("in.mp4-", "file-")
                        body = {
                            "codec": "h264",
                            "preset": "ultrafast",
                            "input": source,
                            "duration": 1,
                            "output": output,
                        }
                        sent = time.time_ns()
                        made = await client.submit({"parameters": body})
                        await until(client, made.id, "completed")
                        delays.append((int(log.read_text().split()[0]) - sent) / 1e6)
                    rows.append([name, report.spread(delays, "{:.1f}"), len(delays)])
    return report.table(["job", "submit → ffmpeg started, ms", "jobs"], rows)
