"""The command line against a real master and a real agent, started by `ffrtmp up` as a user would."""

import dataclasses
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

FFRTMP = str(Path(sys.executable).with_name("ffrtmp"))
CLIP = Path(__file__).parents[1] / "media" / "bunny.mp4"
_ENDLESS = ("--codec", "h264", "--preset", "veryslow", "--duration", "1h", "--resolution", "1080p", "--fps", "60")


@dataclasses.dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclasses.dataclass
class Farm:
    """A farm of this machine and a directory for files."""

    up: "subprocess.Popen[str]"
    environment: dict[str, str]
    files: Path
    said: str

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [FFRTMP, *arguments],
            env=self.environment,
            cwd=self.files,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str) -> Ran:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        return Ran(process.returncode, out, err)

    def names(self) -> set[str]:
        return {path.name for path in self.files.iterdir()}


def bring_up(folder: Path) -> Farm:
    environment = {name: value for name, value in os.environ.items() if "FFRTMP" not in name and "API_KEY" not in name}
    environment |= {"FFRTMP_STATE_DIR": str(folder / "state"), "COLUMNS": "100"}
    files = folder / "files"
    files.mkdir()
    shutil.copy(CLIP, files / "clip.mp4")
    up = subprocess.Popen(
        [FFRTMP, "up", "--port=0", f"--media-root={files}"],
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert up.stdout
    said = ""
    for line in up.stdout:
        said += line
        if line.startswith("Ctrl-C stops it"):
            break
    assert "Master" in said
    environment["FFRTMP_MASTER_URL"] = said.split()[1]
    return Farm(up, environment, files, said)


def take_down(farm: Farm, how: signal.Signals) -> int:
    children = psutil.Process(farm.up.pid).children(recursive=True)
    farm.up.send_signal(how)
    code = farm.up.wait(60)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    return code


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    made = bring_up(tmp_path_factory.mktemp("farm"))
    yield made
    assert take_down(made, signal.SIGINT) == 0


def test_up_says_what_to_type_next(farm):
    assert "http://127.0.0.1:" in farm.said
    line = next(line for line in farm.said.splitlines() if "jobs submit" in line)
    assert farm.environment["FFRTMP_MASTER_URL"] in line
    command = line.strip().removeprefix("ffrtmp ").replace("--duration 10", "--duration 1")
    told = farm.run(*command.split())
    assert told.code == 0, told.err
    assert "completed" in told.err


def test_transcode_in_place(farm):
    before = hashlib.sha256((farm.files / "clip.mp4").read_bytes()).hexdigest()
    told = farm.run(
        "transcode", "clip.mp4", "small.webm", "--preset", "ultrafast", "--resolution", "180p", "--output", "json"
    )
    assert told.code == 0, told.err
    (made,) = told.json["files"]
    job = made["job"]
    assert job["parameters"]["input"] == str(farm.files / "clip.mp4")
    assert job["result"]["verdict"]["passed"] is True
    assert job["result"]["frames"] == 132
    assert made["size_bytes"] == (farm.files / "small.webm").stat().st_size > 0
    assert hashlib.sha256((farm.files / "clip.mp4").read_bytes()).hexdigest() == before
    assert not [name for name in farm.names() if name.startswith(".")]


def test_transcode_by_upload(farm):
    told = farm.run("transcode", "clip.mp4", "sent/", "--upload", "--preset", "ultrafast", "--duration", "1")
    assert told.code == 0, told.err
    assert (farm.files / "sent" / "clip.mp4").stat().st_size > 0
    assert "yes" in told.out
    assert [path.name for path in (farm.files / "sent").iterdir()] == ["clip.mp4"]


def test_measure_in_place_and_by_upload(farm):
    assert farm.run("transcode", "clip.mp4", "m.mp4", "--crf", "40", "--verify", "full").code == 0
    told = farm.run("measure", "clip.mp4", "m.mp4", "--report", "m.json", "--output", "json")
    assert told.code == 0, told.err
    found = told.json["quality"]
    assert json.loads((farm.files / "m.json").read_text()) == found
    assert 0 < found["scores"]["vmaf"]["mean"] < 95
    again = farm.run("measure", "clip.mp4", "m.mp4", "--upload", "--metrics", "psnr", "--output", "json")
    assert again.json["quality"]["scores"]["psnr"] == found["scores"]["psnr"]
    floor = farm.run("transcode", "clip.mp4", "poor.mp4", "--crf", "51", "--verify", "quality", "--vmaf-min", "95")
    assert floor.code == 1
    assert "below the floor of 95" in floor.err
    assert "poor.mp4" not in farm.names()


@pytest.mark.parametrize("way", ["--upload", "--no-upload"])
def test_an_input_that_is_no_video(farm, way):
    (farm.files / "text.mp4").write_text("this is a text\n" * 100)
    before = farm.names()
    told = farm.run("transcode", "text.mp4", "never.mp4", way)
    assert told.code == 1
    assert "input_invalid" in told.err
    assert farm.names() == before


def test_an_output_that_appeared_meanwhile_is_kept(farm):
    (farm.files / "taken.mp4").write_text("precious")
    told = farm.run(
        "jobs", "submit", "-i", "clip.mp4", "-o", "taken.mp4", "--codec", "h264", "--wait", "--output", "json"
    )
    assert told.code == 1
    assert told.json["failure"]["code"] == "output_exists"
    assert (farm.files / "taken.mp4").read_text() == "precious"


def test_pages_of_a_finished_job(farm):
    told = farm.run(
        "jobs", "submit", "--codec", "h264", "--duration", "1", "--preset", "ultrafast", "--wait", "--output", "json"
    )
    number = str(told.json["sequence_number"])
    page = farm.run("jobs", "status", number).out
    for part in (f"Job {number}  completed", "libx264", "passed", f"ffrtmp jobs download {number}"):
        assert part in page
    assert "libx264" in farm.run("jobs", "logs", number).out
    assert "crf 23" in farm.run("jobs", "explain", number).out
    target = farm.files / "fetched.mp4"
    assert farm.run("jobs", "download", number, "--to", str(target)).code == 0
    assert target.stat().st_size == told.json["result"]["outputs"][0]["size_bytes"]
    assert number in farm.run("jobs", "list", "--state", "completed").out


def test_pause_resume_cancel(farm):
    number = str(farm.run("jobs", "submit", *_ENDLESS, "--output", "json").json["sequence_number"])
    with farm.start("jobs", "status", number, "--follow", "--output", "json") as follow:
        assert follow.stdout
        states = (json.loads(line)["state"] for line in follow.stdout)
        assert "running" in states
        assert farm.run("jobs", "pause", number).code == 0
        assert "paused" in states
        assert farm.run("jobs", "resume", number).code == 0
        assert "running" in states
        assert farm.run("jobs", "cancel", number).code == 0
        assert "canceled" in states
        assert follow.wait(60) == 1
    told = farm.run("jobs", "resume", number)
    assert told.code == 6
    assert "canceled" in told.err


def test_an_interrupt_without_a_terminal_asks_for_a_second(farm):
    shutil.copy(CLIP, farm.files / "long.mp4")
    with farm.start(
        "transcode", "long.mp4", "long.mkv", "--codec", "av1", "--preset", "veryslow", "--resolution", "4K"
    ) as it:
        assert it.stderr
        for line in it.stderr:
            if "encode" in line or "starting" in line:
                break
        it.send_signal(signal.SIGINT)
        assert "interrupt again to cancel" in next(line for line in it.stderr if "nterrupt" in line)
        it.send_signal(signal.SIGINT)
        rest = it.stderr.read()
        assert it.wait(60) == 130
    assert "canceled" in rest
    assert "Traceback" not in rest
    assert not [name for name in farm.names() if name.startswith((".long", "long.mkv"))]


def test_nodes_and_queue(farm):
    (node,) = farm.run("nodes", "list", "--output", "json").json["nodes"]
    assert {"h264", "h265", "vp8", "vp9", "av1"} <= {each["codec"] for each in node["encoders"] if each["works"]}
    assert farm.run("nodes", "drain", node["name"]).code == 0
    number = str(farm.run("jobs", "submit", "--codec", "h264", "--output", "json").json["sequence_number"])
    assert "drain" in farm.run("jobs", "explain", number).out
    assert farm.run("queue", "--output", "json").json["total"] == 1
    assert farm.run("jobs", "cancel", number).code == 0
    assert farm.run("nodes", "drain", node["name"], "--undo").code == 0


def test_doctor(farm):
    told = farm.run("doctor", "--output", "json")
    assert told.code == 0, told.out
    assert {check["name"] for check in told.json["checks"]} >= {
        "ffmpeg",
        "h264 encoder",
        "master key",
        "nodes",
        "gstreamer",
    }
    assert farm.run("doctor", "--no-encoders", "--master", "127.0.0.1:1").code == 1
    assert farm.run("doctor", "--no-encoders", "--api-key", "wrong").code == 1
    url = farm.environment["FFRTMP_MASTER_URL"]
    told = farm.run("doctor", "--no-encoders", "--output=json", "--master", f"{url},127.0.0.1:1")
    assert told.code == 1
    levels = {check["name"]: check["level"] for check in told.json["checks"] if check["group"] == "master"}
    assert (levels[f"master, {url}"], levels[f"nodes, {url}"], levels["master, 127.0.0.1:1"]) == ("ok", "ok", "FAIL")


def test_bash_completes_for_real(farm):
    script = """
        eval "$(ffrtmp completion bash)"
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _ffrtmp_completion ffrtmp; echo "${COMPREPLY[*]}"; }
        try ffrtmp jo; try ffrtmp jobs st; try ffrtmp nodes d; try ffrtmp jobs submit --codec h
    """
    environment = farm.environment | {"PATH": f"{Path(FFRTMP).parent}:{os.environ['PATH']}"}
    told = subprocess.run(["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == ["jobs", "status", "describe drain", "h264 h265 hevc"]


def test_up_dies_with_everything_it_started(tmp_path):
    made = bring_up(tmp_path)
    assert take_down(made, signal.SIGKILL) == -signal.SIGKILL


def test_up_temporary_leaves_nothing(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [FFRTMP, "up", "--temporary", "--port=0"],
        env=environment, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as up:  # fmt: skip
        assert up.stdout
        told = "".join(itertools.takewhile(lambda line: "FFRTMP_STATE_DIR" not in line, up.stdout))
        # with any port of several farms at once, no metrics port that another could be about to take
        assert not re.search(r"^Metrics.*:909[01]/", told, re.MULTILINE), told
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_demo(tmp_path):
    demo = Path(__file__).parents[2] / "tools" / "demo.py"
    told = subprocess.run(
        [sys.executable, str(demo)], cwd=tmp_path, capture_output=True, text=True, timeout=170, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("yes") == 2
    assert sorted(path.name for path in (tmp_path / "demo-output").iterdir()) == ["bunny-av1.webm", "bunny-h264.mp4"]


def test_jobs_are_listed_by_tag_and_node(farm):
    made = farm.run(
        "jobs", "submit", "--codec", "h264", "--duration", "1", "--tag", "show=a b:c", "--wait", "--output=json"
    )
    assert made.code == 0, made.err
    [node] = farm.run("nodes", "list", "--output=json").json["nodes"]
    for node_ref in (node["name"], node["id"]):
        [found] = farm.run("jobs", "list", "--tag", "show=a b:c", "--node", node_ref, "--output=json").json["jobs"]
        assert found["id"] == made.json["id"]
    told = farm.run("jobs", "list", "--node", "nobody")
    assert told.code == 5
    assert "There is no node nobody." in told.err


@pytest.mark.parametrize("way", ["--upload", "--no-upload"])
def test_a_package_comes_as_a_directory(farm, way):
    folder = f"show{way}"
    package = ("--output-mode", "hls", "--ladder", "180p,90p:100k", "--segment-seconds", "1", "--preset", "ultrafast")
    told = farm.run("transcode", "clip.mp4", f"{folder}/", *package, "--thumbnails", "2", way, "--output", "json")
    assert told.code == 0, told.err
    [made] = told.json["files"]
    listed = sorted(one["name"] for one in made["job"]["result"]["outputs"])
    assert sorted(os.listdir(farm.files / folder)) == listed
    assert {"master.m3u8", "manifest.mpd", "180p.m3u8", "90p-iframes.m3u8", "audio.m3u8", "thumbs.vtt"} <= set(listed)
    assert not [name for name in farm.names() if name.startswith(".")]
    number = str(made["job"]["sequence_number"])
    explained = farm.run("jobs", "explain", number).out
    assert "rung 180p: 320x180" in explained
    page = farm.run("jobs", "status", number).out
    assert "180p.frames" in page
    again = farm.run("transcode", "clip.mp4", folder, *package, way)
    assert again.code != 0
    assert "exists" in again.err
    if way == "--upload":
        told = farm.run("jobs", "download", number, "--to", "fetched")
        assert told.code == 0, told.err
        assert sorted(os.listdir(farm.files / "fetched")) == listed


def test_a_package_under_a_files_name_is_refused(farm):
    told = farm.run("transcode", "clip.mp4", "show.m3u8", "--output-mode", "hls")
    assert told.code == 2
    assert "give a directory (show/)" in told.err
