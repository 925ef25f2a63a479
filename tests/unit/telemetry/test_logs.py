import io
import json
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
