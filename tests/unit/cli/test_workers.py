"""The parent of `ffrtmp master --workers N`, with workers that are not masters."""

import asyncio
from pathlib import Path

from ffrtmp.cli import supervise, workers
from ffrtmp.master import app
from ffrtmp.master.settings import MasterSettings


class _Starting(workers.Workers):
    """Its workers know nothing of signals yet when it is told to stop."""

    async def _start(self) -> asyncio.subprocess.Process:
        self._stop.set()
        return await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )


async def test_a_stop_while_workers_start_is_no_failure(tmp_path: Path) -> None:
    given = app.Given(settings=MasterSettings(), api_key="", certificate=None)
    assert await _Starting(given, supervise.Folder(tmp_path)).run(2, lambda: None) == 0
