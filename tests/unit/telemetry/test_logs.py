import contextlib
import io
import json
import os
import sys

import pytest

from ffrtmp.telemetry import logs


def test_lines_follow_stderr_where_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    logs.configure("info", "json")
    log = logs.get("test")
    log.info("one", number=1)
    first.close()  # as a test runner does with what it captured
    monkeypatch.setattr(sys, "stderr", second)
    log.info("two")
    logs.get("test").debug("quiet")
    lines = [json.loads(line) for line in second.getvalue().splitlines()]
    assert [(line["event"], line["component"], line["level"]) for line in lines] == [("two", "test", "info")]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_shows_no_local_variables(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    """They hold keys and passwords."""
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    logs.configure("info", log_format)
    password = "".join(("se", "cret"))
    try:
        raise ValueError(len(password))
    except ValueError:
        logs.get("test").exception("it failed")
    assert "ValueError: 6" in told.getvalue()
    assert "secret" not in told.getvalue()


def test_a_program_goes_on_when_nobody_reads_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent whose log went into a pipe that was closed stood still, for its next timer was never set."""
    reader, writer = os.pipe()
    os.close(reader)
    nobody = os.fdopen(writer, "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", nobody)
    logs.configure("info", "json")
    logs.get("test").info("told to nobody")
    logs.get("test").info("and again")
    with contextlib.suppress(BrokenPipeError):
        nobody.close()
