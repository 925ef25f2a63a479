"""The log of one attempt, as `ffrtmp jobs logs` shows it: what was decided and why, each command line, how each command ended."""

import shlex
from collections.abc import Sequence

from ffrtmp.process import run
from ffrtmp.process.log import clean

#: the master takes 256 KiB; two passes with full logs stay below
_LONGEST = 200_000


class AttemptLog:
    def __init__(self) -> None:
        self._parts: list[str] = []

    def note(self, line: str) -> None:
        """A path or a stream's name may hold what a terminal obeys; here it does not."""
        self._parts.append(clean(line))

    def command(self, argv: Sequence[str]) -> None:
        self._parts.append(clean("$ " + shlex.join(argv)))

    def outcome(self, name: str, outcome: run.Outcome) -> None:
        if outcome.log.strip():
            self._parts.append(outcome.log.rstrip())
        how = f"signal {outcome.signal}" if outcome.exit_code is None else f"exit code {outcome.exit_code}"
        ended = "" if outcome.ended is run.Ended.EXITED else f" ({outcome.ended.value})"
        self._parts.append(
            f"{name}: {how}{ended}, {outcome.wall_seconds:.2f} s, {outcome.cpu_seconds:.2f} CPU-s,"
            f" {outcome.max_rss_bytes / 1e6:.0f} MB"
        )

    def text(self) -> str:
        """Bounded: of a longer log the middle is left out."""
        whole = "\n".join(self._parts) + "\n"
        if len(whole) <= _LONGEST:
            return whole
        half = _LONGEST // 2
        return f"{whole[:half]}\n… {len(whole) - _LONGEST} characters left out …\n{whole[-half:]}"
