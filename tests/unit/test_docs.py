"""Documents cannot drift: their tables are what the code says, and every link of theirs leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_reference_tables_are_current() -> None:
    check = subprocess.run(
        [sys.executable, "tools/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_page_is_named_by_the_readme_or_by_a_page() -> None:
    linked = "".join(page.read_text() for page in PAGES)
    for page in ROOT.glob("docs/*.md"):
        assert page.name in linked.replace(f"](docs/{page.name})", f"]({page.name})"), page.name
