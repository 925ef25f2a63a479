"""What came of a run, and how it is told."""

from collections import Counter

import msgspec

from ffrtmp.testing import report


class Outcome(msgspec.Struct):
    crashes: Counter[str] = msgspec.field(default_factory=Counter)  #: by how it was done
    databases: int = 0
    acknowledged: int = 0
    violations: list[str] = msgspec.field(default_factory=list)
    seconds: float = 0.0

    def add(self, how: str, acknowledged: int, violations: list[str]) -> None:
        self.crashes[how] += 1
        self.acknowledged += acknowledged
        self.violations += violations


def markdown(outcomes: dict[str, Outcome], command: str, commit: str) -> str:
    """A section for the report of what was tested."""
    lines = [
        "## Database crashes",
        "",
        *report.where(command, commit),
        "",
        "| what | times | how | databases | calls acknowledged | violations | seconds |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for what, one in outcomes.items():
        hows = ", ".join(f"{count} {how}" for how, count in sorted(one.crashes.items()))
        lines.append(
            f"| {what} | {one.crashes.total():,} | {hows} | {one.databases} | {one.acknowledged:,} | {len(one.violations)}"
            f" | {one.seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"
