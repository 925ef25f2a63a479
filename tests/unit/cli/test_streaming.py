"""`transcode` and `jobs submit` to an RTMP server: where the stream key comes from, and that it is not shown."""

from pathlib import Path
from typing import Any

import pytest

from ffrtmp.domain import job

KEY = "open-sesame-42"
URL = "rtmp://live.example/app"


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mov").write_bytes(b"a clip")
    (tmp_path / "key").write_text(f"{KEY}\nand more\n")
    return tmp_path / "clip.mov"


def asked(master) -> dict[str, Any]:
    return {name: value for name, value in master.bodies[-1]["parameters"].items() if name not in ("input", "tags")}


@pytest.mark.parametrize(
    ("arguments", "variable", "key"),
    [
        ((f"{URL}/{KEY}",), None, None),
        ((URL, "--stream-key", KEY), None, KEY),
        ((URL,), KEY, KEY),
        ((URL, "--stream-key-file", "key"), None, KEY),
        ((URL, "--stream-key-file", "key"), "another", KEY),
    ],
    ids=["in the URL", "option", "variable", "file", "file over variable"],
)
def test_a_file_is_streamed(run, master, view, clip, monkeypatch, arguments, variable, key):
    if variable:
        monkeypatch.setenv("FFRTMP_STREAM_KEY", variable)
    pushed = job.Pushed(target=f"{URL}/***", seconds=3.0, frames=75, sent_bytes=1_500_000, reconnects=1)
    made = view(
        17, "completed", result=job.Result(frames=75, pushed=pushed, verdict=job.Verdict(level="standard", passed=True))
    )
    master.on_submit = lambda _: [view(17, "running"), made]
    told = run("transcode", "clip.mov", *arguments, "--reconnect", "5:00")
    assert told.code == 0, told.err
    url = URL if key else f"{URL}/{KEY}"
    expected = {"rtmp_url": url, "reconnect_seconds": "5:00", **({"stream_key": key} if key else {})}
    assert asked(master) == expected
    assert f"{URL}/***" in told.out
    assert "1.5 MB" in told.out
    assert KEY not in told.out + told.err


def test_a_dry_run_has_no_key(run, clip):
    for output in ("table", "json"):
        told = run("transcode", "clip.mov", f"{URL}/{KEY}", "--dry-run", "--output", output)
        assert told.code == 0, told.err
        assert KEY not in told.out + told.err
        assert "live.example" in told.out
    told = run("jobs", "submit", "--duration", "9", "--rtmp-url", URL, "--stream-key", KEY, "--dry-run")
    assert told.code == 0, told.err
    assert f"{URL}/***" in told.out
    assert KEY not in told.out


def test_submit_takes_the_references_words(run, master):
    told = run(
        "jobs", "submit", "--scenario", "720p30-h264", "--duration", "60", "--output-mode", "rtmp", "--rtmp-url", URL,
        "--stream-key", KEY,
    )  # fmt: skip
    assert told.code == 0, told.err
    assert asked(master) == {"duration": "60", "output_mode": "rtmp", "rtmp_url": URL, "stream_key": KEY}


def test_a_key_that_lies_about_is_for_streams_only(run, master, monkeypatch):
    monkeypatch.setenv("FFRTMP_STREAM_KEY", KEY)
    assert run("jobs", "submit", "--codec", "h264").code == 0
    assert asked(master) == {"codec": "h264"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("clip.mov", "clip.mov", URL), "A stream has one input, not 2"),
        (("clip.mov", URL), "OUT: has no stream key"),
        (("clip.mov", URL, "--stream-key", "a", "--stream-key-file", "key"), "give one of them"),
        (("clip.mov", URL, "--stream-key-file", "none"), "cannot be read"),
        (("clip.mov", f"{URL}/{KEY}", "--codec", "av1"), "--codec"),
        (("clip.mov", "rtmp://live.example:99999/app/k"), "OUT: is not an RTMP URL"),
        (("missing.mov", f"{URL}/{KEY}"), "There is no file missing.mov"),
    ],
)
def test_what_is_wrong_is_said_in_the_options_words(run, clip, arguments, says):
    told = run("transcode", *arguments)
    assert told.code != 0
    assert says in told.err
    assert KEY not in told.err
