"""Tables, and their place in docs/benchmarks.md."""

import platform
import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], form: str = "{:.0f}") -> str:
    """`median (lowest–highest)`"""
    return f"{form.format(median(values))} ({form.format(min(values))}–{form.format(max(values))})"


def machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown processor",
    )
    cores = len(re.findall(r"^processor", Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    return f"{cores} cores of {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def write(section: str, text: str) -> None:
    """Put a section's result between its markers; the rest of the page stays."""
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    page = PAGE.read_text()
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{PAGE} has no section {section}")
    when = time.strftime("%Y-%m-%d", time.gmtime())
    body = f"{begin}\n\n{text}\n\n{when}, {machine()}: `python -m bench {section}`\n\n{end}"
    PAGE.write_text(pattern.sub(lambda _: body, page))
