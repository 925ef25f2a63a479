"""The report's file: each command replaces its own section, and ranges of seeds stand beside one another."""

from pathlib import Path

import pytest

from ffrtmp.testing import report
from ffrtmp.testing.simulator.section import section


def test_a_section_replaces_itself_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "report.md"
    for name, text in (("one", "first\n"), ("two", "second\n"), ("one", r"again \1" + "\n")):
        report.put(file, name, text)
    told = file.read_text()
    assert "first" not in told
    assert told.index(r"again \1") < told.index("second")
    assert told.startswith("# Reliability report")


def test_rows_are_those_of_the_section(tmp_path: Path) -> None:
    file = tmp_path / "report.md"
    assert report.rows(file, "one") == []
    report.put(file, "one", "| a | b |\n|---|---|\n| 1 | 2 |\n")
    report.put(file, "two", "| c |\n|---|\n| 3 |\n")
    assert report.rows(file, "one") == [["1", "2"]]
    assert report.rows(file, "three") == []


def test_a_range_of_seeds_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "REPORT", tmp_path / "report.md")
    for seeds, failed in ((range(1000, 2000), "0"), (range(50), "1"), (range(1000), "0")):
        report.put(report.REPORT, "simulator", section(seeds, ["60,000", "70,000", "9,000", failed, "abc"]))
    found = report.rows(report.REPORT, "simulator")
    assert [[row[0], row[4]] for row in found] == [["0-999", "0"], ["1000-1999", "0"]]
