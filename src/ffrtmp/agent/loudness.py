"""The loudness of an attempt's tracks, measured before the encode and again in what came out."""

from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.running import run_one
from ffrtmp.domain.command import Command
from ffrtmp.media import loudness
from ffrtmp.media.loudness import Measured


async def measure(attempt: Attempt, commands: list[Command], what: str) -> list[Measured]:
    """One command for each track. Raises TaskError."""
    found: list[Measured] = []
    for number, command in enumerate(commands, 1):
        attempt.phase("measure")
        outcome = await run_one(attempt, command, beside="measure")
        track = loudness.read(outcome.log)
        attempt.log.note(
            f"loudness of audio track {number}, {what}: {track.integrated:.1f} LUFS, {track.true_peak:.1f} dBTP, "
            f"range {track.range:.1f} LU" + (" (nothing is heard: it is left as it is)" if track.silent else "")
        )
        found.append(track)
    return found
