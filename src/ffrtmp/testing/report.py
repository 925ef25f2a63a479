"""docs/reliability-report.md: each command of the test kit writes a section of its own."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

REPORT = Path("docs/reliability-report.md")
_TITLE = """# Reliability report

What the commands of [testing.md](testing.md) found when they were last run. Each writes its own section.
"""


def where(command: str, commit: str) -> list[str]:
    """Commit, date, machine and command. `commit`: when the run began."""
    return [
        f"`{command}`",
        "",
        f"Commit {commit}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {os.cpu_count()} cores, Linux"
        f" {platform.release().partition('-')[0]}, Python {platform.python_version()}.",
    ]


def put(path: Path, name: str, text: str) -> None:
    """Replaces the section of that name, or adds it."""
    before = path.read_text() if path.exists() else _TITLE
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    whole = f"{begin}\n{text}{end}\n"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}\n", re.DOTALL)
    path.write_text(found.sub(lambda _: whole, before) if found.search(before) else f"{before}\n{whole}")


def rows(path: Path, name: str) -> list[list[str]]:
    """Of the first table of a section as it was written last: its cells, without the head. None: []."""
    text = path.read_text() if path.exists() else ""
    section = text.partition(f"<!-- begin {name} -->")[2].partition(f"<!-- end {name} -->")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def commit() -> str:
    """To be asked before a run: it may be another one at its end."""
    told = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain", "src"], capture_output=True, text=True, check=False)
    return (told.stdout.strip() or "unknown") + (" with changes" if changed.stdout.strip() else "")
