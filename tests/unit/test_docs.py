"""Documents cannot drift: their tables are what the code says, and every link of theirs leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ffrtmp.domain import retry
from ffrtmp.master import dispatch
from ffrtmp.master.api.nodes import REFERENCE_TTL_SECONDS
from ffrtmp.master.settings import MasterSettings
from ffrtmp.scheduling import order
from ffrtmp.store import postgres, postgres_hints, sqlite, sqlite_writer
from ffrtmp.store.ops import sweeps

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


GUARANTEES = (ROOT / "docs/guarantees.md").read_text()


def test_each_guarantee_names_tests_and_commands_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    rows = re.findall(r"^\| (G\d) \|(.*`tests/.*)\|(.*)\|$", GUARANTEES, re.MULTILINE)
    assert [row[0] for row in rows] == [f"G{number}" for number in range(1, 10)]
    for guarantee, tests, commands in rows:
        found = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert len(found) == tests.count("`") / 2 >= 2, guarantee
        for file, test in found:
            assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE), (
                guarantee,
                file,
                test,
            )
        made = re.findall(r"`make ([a-z-]+)`", commands)
        assert made, guarantee
        assert set(made) <= targets, (guarantee, made)


def test_the_numbers_of_the_guarantees_are_the_codes() -> None:
    assert f"{order.STARVATION_BOUND_US / 3.6e9:g} hours later".replace("3", "three") in GUARANTEES
    assert {3: "kills its agent three times"}[retry.POISON_CRASHES] in GUARANTEES
    assert f"2, 4, 8 … {retry._LONGEST_BACKOFF_SECONDS:g} s" in GUARANTEES
    assert sweeps._KEY_PROMISE_US == 24 * 3_600_000_000
    longest = (dispatch.BACKSTOP_SECONDS * 1.2, dispatch.BACKSTOP_WITHOUT_HINTS_SECONDS * 1.2)
    assert "within {:g} s ({:g} s while".format(*longest) in GUARANTEES
    assert f"{MasterSettings().ttl_seconds:g} s (`--lease-time`; {REFERENCE_TTL_SECONDS:g} s for" in GUARANTEES


def test_the_settings_of_sessions_are_told() -> None:
    page = (ROOT / "docs/databases.md").read_text()
    for name, value in postgres._SETTINGS.items():
        if name != "application_name":
            [row] = [line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line]
            assert value in row, row
    for what, seconds in (
        ("the process that writes has not answered", sqlite._SILENT_SECONDS),
        ("it is killed and replaced", sqlite_writer.ANSWER_SECONDS),
        ("where the server does not answer at all", postgres._ANSWER_SECONDS),
        ("an answer on the connection that listens", postgres_hints.ANSWER_SECONDS),
    ):
        [row] = [line for line in page.splitlines() if what in line]
        assert f"{seconds:g} s |" in row, row
