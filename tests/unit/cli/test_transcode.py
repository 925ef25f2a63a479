"""`ffrtmp transcode`, against a real HTTP server with canned answers."""

import socket
from pathlib import Path

import pytest

from ffrtmp.cli import placing
from ffrtmp.domain import errors


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mov").write_bytes(b"a clip")
    return tmp_path / "clip.mov"


@pytest.fixture
def here(master, a_node, tmp_path):
    """A node on this machine that sees the test's files."""
    master.nodes.append(a_node(address="127.0.0.1", media_roots=[str(tmp_path)]))


def finishing(view):
    return lambda made: [made, view(made.sequence_number, "running"), view(made.sequence_number, "completed")]


def test_a_remote_farm_gets_the_file_and_gives_the_result(run, master, view, clip):
    master.on_submit = finishing(view)
    told = run("transcode", "clip.mov", "small.mp4", "--crf", "30")
    assert told.code == 0, told.err
    assert master.uploads == {"u1": b"a clip"}
    assert master.bodies == [
        {
            "parameters": {
                "input": "upload:u1", "container": "mp4", "codec": "h264", "crf": 30.0, "tags": {"file": "clip.mov"},
            }
        }
    ]  # fmt: skip
    assert (clip.parent / "small.mp4").read_bytes() == b"the output"
    assert "small.mp4" in told.out
    assert "yes" in told.out


def test_files_are_used_in_place_on_this_machine(run, master, view, clip, here):
    master.on_submit = finishing(view)
    assert run("transcode", "clip.mov", "out/small.webm").code == 0
    assert master.uploads == {}
    asked = master.bodies[0]["parameters"]
    assert asked["input"] == str(clip)
    assert asked["output"] == str(clip.parent / "out" / "small.webm")
    assert asked["codec"] == "vp9"


def test_upload_can_be_forced_both_ways(run, master, view, clip, here):
    master.on_submit = finishing(view)
    run("transcode", "clip.mov", "a.mp4", "--upload")
    assert list(master.uploads) == ["u1"]
    master.nodes.clear()
    run("transcode", "clip.mov", "b.mp4", "--no-upload")
    assert list(master.uploads) == ["u1"]


def test_several_inputs_go_to_a_directory(run, master, view, clip):
    (clip.parent / "other.mkv").write_bytes(b"another")
    master.on_submit = finishing(view)
    told = run("transcode", "clip.mov", "other.mkv", "out", "--codec", "vp9", "--output", "json")
    assert told.code == 0
    assert sorted(path.name for path in (clip.parent / "out").iterdir()) == ["clip.webm", "other.webm"]
    assert [row["state"] for row in told.json["files"]] == ["completed", "completed"]
    assert told.json["files"][0]["size_bytes"] == len(b"the output")


def test_one_failure_of_two_is_a_failure(run, master, view, clip):
    (clip.parent / "other.mkv").write_bytes(b"another")
    ends = iter(["completed", "failed"])
    master.on_submit = lambda made: [made, view(made.sequence_number, next(ends))]
    told = run("transcode", "clip.mov", "other.mkv", "out/")
    assert told.code == 1
    assert ".mp4: no such file: /media/a.mov\n  Check the path." in told.err
    assert told.err.count("no such file") == 1
    assert "Check the path." in told.err


def test_detach_leaves_the_job_and_says_how_to_fetch(run, master, clip):
    told = run("transcode", "clip.mov", "small.mp4", "--detach")
    assert told.code == 0
    assert "job 17 is queued" in told.out
    assert "ffrtmp jobs download 17 --to small.mp4" in told.err
    assert not (clip.parent / "small.mp4").exists()


def test_an_output_that_exists_is_kept(run, master, view, clip):
    (clip.parent / "small.mp4").write_bytes(b"precious")
    told = run("transcode", "clip.mov", "small.mp4")
    assert told.code == 6
    assert "--overwrite" in told.err
    assert (clip.parent / "small.mp4").read_bytes() == b"precious"
    master.on_submit = finishing(view)
    assert run("transcode", "clip.mov", "small.mp4", "--overwrite").code == 0
    assert (clip.parent / "small.mp4").read_bytes() == b"the output"


def test_dry_run_shows_what_each_would_become(run, clip):
    told = run("transcode", "clip.mov", "small.mkv", "--codec", "av1", "--dry-run", "--output", "json")
    assert told.code == 0
    assert told.json["specs"][0]["container"] == "mkv"
    assert told.json["specs"][0]["output"] == "small.mkv"
    shown = run("transcode", "clip.mov", "new/small.mkv", "--dry-run", "--audio", "opus", "--resolution", "720p").out
    assert shown.startswith("clip.mov would become new/small.mkv\n")
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    for row in (
        "Video h264 in mkv, crf 23, preset medium",
        "Size 720p",
        "Frame rate as the input",
        "Audio encoded as opus",
    ):
        assert row in rows
    assert "File used where it is if" in " ".join(rows)
    for noise in ("./", "local_path", "chunking", "Start"):
        assert noise not in shown
    assert "copied where mp4 can hold it, else encoded as aac" in run("transcode", "clip.mov", "a.mp4", "--dry-run").out
    assert "another machine" in run("transcode", "clip.mov", "a.mp4", "--dry-run", "--master", "farm:8080").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["missing.mov", "a.mp4"], 5, "There is no file missing.mov"),
        (["clip.mov", "clip.mov"], 2, "the input itself"),
        (["clip.mov", "a.xyz"], 2, "'.xyz' is not one of"),
        (["clip.mov", "clip.mov", "out/"], 2, "both become"),
        ([".", "a.mp4"], 2, "is a directory"),
        (["empty.mov", "a.mp4"], 2, "is empty"),
        (["clip.mov", "/proc/a.mp4"], 2, "no file can be written in /proc"),
        (["clip.mov", "/proc/new/a.mp4"], 2, "no directory can be made in /proc, so not /proc/new"),
        (["clip.mov", "empty.mov/a.mp4"], 2, "empty.mov is not a directory"),
        (["clip.mov", "a.mp4", "--bitrate", "abc"], 4, "--bitrate: 'abc' is not a bitrate"),
        (["clip.mov", "a.webm", "--codec", "h264"], 4, "OUT: webm cannot hold h264"),
        (["clip.mov", "a.webm", "--codec", "h264", "--container", "webm"], 4, "--container: webm cannot hold h264"),
        (["clip.mov", "a.mp4", "--two-pass"], 4, "--two-pass: needs a bitrate to aim at; set --bitrate"),
        (
            ["clip.mov", "a.mp4", "--crf", "20", "--bitrate", "2M"],
            4,
            "with --crf; to cap a crf encode use --max-bitrate",
        ),
        (
            ["clip.mov", "a.mp4", "--audio", "copy", "--audio-bitrate", "9k"],
            4,
            "--audio: bitrate and channels do not go",
        ),
        (["clip.mov", "a.mp4", "--bitrate", "2"], 4, "--bitrate: 2 is in bits per second; did you mean 2M?"),
        (["clip.mov", "a.mp4", "--audio-bitrate", "128"], 4, "did you mean 128k?"),
        (["-dash.mp4", "a.mp4"], 2, "if it is a file, write ./-dash.mp4"),
        (["clip.mov", "a.mp4", "--scenario", "720p30-h265x"], 4, "the nearest are"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(run, master, clip, arguments, code, said):
    (clip.parent / "empty.mov").touch()
    told = run("transcode", *arguments)
    assert told.code == code
    assert said in told.err
    assert [asked for asked in master.requests if not asked.startswith("GET ")] == []


def test_a_refusal_of_the_master_is_told_for_its_file(run, master, clip, monkeypatch):
    def refuse(_made):
        raise errors.InvalidInput(faults=[errors.Fault("parameters.crf", "too low")])

    master.on_submit = refuse
    told = run("transcode", "clip.mov", "small.mp4")
    assert told.code == 4
    assert "small.mp4: error: --crf: too low" in told.err


def test_placing_wants_every_live_node_to_see_the_files(a_node, tmp_path):
    url, paths = "http://127.0.0.1:8080", [tmp_path / "a.mov", tmp_path / "out"]
    here = a_node(address="127.0.0.1", media_roots=[str(tmp_path)])
    assert placing.why_upload(url, [here], paths) is None
    assert placing.why_upload(url, [a_node(address=socket.gethostname(), media_roots=[str(tmp_path)])], paths) is None
    assert placing.why_upload(url, [here, a_node(status="offline")], paths) is None
    assert "another machine" in str(placing.why_upload("http://farm:8080", [here], paths))
    assert "another machine" in str(placing.why_upload(url, [here, a_node(media_roots=[str(tmp_path)])], paths))
    assert "media roots" in str(placing.why_upload(url, [a_node(address="[::1]:9091", media_roots=["/srv"])], paths))
    assert "no node" in str(placing.why_upload(url, [], paths))


def test_placing_follows_links(a_node, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    node = a_node(address="127.0.0.1", media_roots=[str(tmp_path / "root")])
    assert placing.why_upload("http://localhost:1", [node], [tmp_path / "root" / "link" / "a.mov"]) is not None
