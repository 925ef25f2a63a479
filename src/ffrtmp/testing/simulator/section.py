"""What runs of the simulator found, as a section of docs/reliability-report.md: a line for each range of seeds, with its commit.

A hundred thousand seeds take hours, so they may be run a part at a time.
"""

from ffrtmp.testing import report
from ffrtmp.testing.simulator import options

_HEAD = ["seeds", "jobs", "attempts", "faults", "seeds failed", "commit"]


def section(seeds: range, told: list[str]) -> str:
    """Markdown: the lines that are there, but those of these seeds, and a new one."""
    earlier = [cells for cells in report.rows(report.REPORT, "simulator") if len(cells) == len(_HEAD)]
    lines = [cells for cells in earlier if not _within(options.seeds(cells[0]), seeds)]
    lines.append([f"{seeds[0]}-{seeds[-1]}", *told])
    table = [_HEAD, ["---", *["---:"] * (len(_HEAD) - 2), "---"]]
    table += sorted(lines, key=lambda cells: options.seeds(cells[0])[0])
    return "\n".join(["## Simulator", "", *(f"| {' | '.join(cells)} |" for cells in table), ""])


def _within(some: range, others: range) -> bool:
    return some[0] in others and some[-1] in others
