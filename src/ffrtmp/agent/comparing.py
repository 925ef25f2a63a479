"""Two videos are compared: a task of its own, the floor of a verification, or one step of a search."""

from pathlib import Path

from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.running import run_all
from ffrtmp.agent.settings import cores
from ffrtmp.media import comparison
from ffrtmp.media.progress import FfmpegProgress


async def compare(
    attempt: Attempt, plan: comparison.Plan, scratch: Path, *, threads: int | None, beside: str = ""
) -> None:
    """The values of each frame come into files of `scratch`, for `scores.quality`. `threads` None: one for each core; `beside`: as
    `run_all` has it. Raises TaskError."""
    limits, tools = attempt.work.limits, attempt.kit.tools
    command = comparison.build(plan, tools=tools, scratch=scratch, limits=limits, threads=threads or cores())
    taken = plan.measured.taken
    await run_all(attempt, [command], FfmpegProgress(taken.frames, taken.video_seconds, phase="measure"), beside=beside)
