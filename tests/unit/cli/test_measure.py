"""`ffrtmp measure`, against a real HTTP server with canned answers."""

from pathlib import Path

import pytest

from ffrtmp.domain import job

FOUND = job.Quality(
    scores={
        "vmaf": job.Scores(mean=93.4, harmonic_mean=93.1, min=80.0, max=99.0, p1=81.0, p5=85.0, p50=94.0),
        "psnr": job.Scores(
            mean=40.1, harmonic_mean=40.0, min=35.0, max=None, p1=35.5, p5=36.0, p50=40.0, overall=39.25
        ),
        "ssim": job.Scores(mean=0.98, harmonic_mean=0.98, min=0.9, max=1.0, p1=0.91, p5=0.95, p50=0.985),
    },
    frames=132,
    equal_frames=2,
    every=2,
    model="vmaf_v0.6.1",
    size="1280x720",
    pixel_format="yuv420p",
    notes=["the video is scaled from 640x360 to the reference's 1280x720 (scale=1280:720)"],
)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "master.mov").write_bytes(b"the reference")
    (tmp_path / "small.mp4").write_bytes(b"what was made")


@pytest.fixture
def finishing(master, view):
    result = job.Result(
        outputs=[job.OutputFile(name="clip.mp4", size_bytes=10, sha256="ab" * 32)], quality=FOUND, frames=132
    )
    master.on_submit = lambda made: [
        made,
        view(made.sequence_number, "running"),
        view(made.sequence_number, "completed", result=result),
    ]


def test_both_files_are_sent_and_the_scores_printed(run, master, finishing):
    told = run(
        "measure", "master.mov", "small.mp4", "--reference-start", "1:30", "--duration", "20", "--subsample", "2"
    )
    assert told.code == 0, told.err
    assert sorted(master.uploads.values()) == [b"the reference", b"what was made"]
    [body] = master.bodies
    asked = body["parameters"]
    assert master.uploads[asked["input"].removeprefix("upload:")] == b"what was made"
    measure = asked["measure"]
    assert master.uploads[measure.pop("reference").removeprefix("upload:")] == b"the reference"
    assert measure == {
        "metrics": ["vmaf", "psnr", "ssim"], "subsample": 2, "frames": False, "reference_start": "1:30",
    }  # fmt: skip
    assert (asked["duration"], "container" in asked, "output" in asked) == ("20", False, False)
    rows = {line.split()[0]: line.split()[1:] for line in told.out.splitlines() if line}
    assert rows["vmaf"] == ["93.40", "93.10", "80.00", "81.00", "85.00", "94.00", "99.00"]
    assert (rows["psnr"][0], rows["psnr"][-1]) == ("39.25", "∞")
    assert rows["ssim"][0] == "0.98000"
    assert "vmaf_v0.6.1 of one frame in 2" in told.out
    assert "scaled from 640x360" in told.out


def test_files_are_used_in_place_on_this_machine(run, master, finishing, a_node, tmp_path):
    master.nodes.append(a_node(address="127.0.0.1", media_roots=[str(tmp_path)]))
    assert run("measure", "master.mov", "small.mp4", "--report", "out/small.json", "--frames").code == 0
    asked = master.bodies[0]["parameters"]
    assert asked["input"] == str(tmp_path / "small.mp4")
    assert asked["measure"]["reference"] == str(tmp_path / "master.mov")
    assert asked["output"] == str(tmp_path / "out" / "small.json")
    assert master.uploads == {}


def test_a_report_is_fetched(run, master, finishing, tmp_path):
    told = run("measure", "master.mov", "small.mp4", "--report", "small.json", "--output", "json")
    assert told.code == 0, told.err
    assert (tmp_path / "small.json").read_bytes() == b"the output"
    assert told.json["quality"]["scores"]["vmaf"]["mean"] == 93.4
    assert (told.json["state"], told.json["video"]) == ("completed", "small.mp4")


def test_a_failure_tells_why_and_gives_1(run, master, view):
    master.on_submit = lambda made: [made, view(made.sequence_number, "failed")]
    told = run("measure", "master.mov", "small.mp4")
    assert told.code == 1
    assert "no such file: /media/a.mov" in told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--metrics", "vmaf,msssim"), "--metrics"),
        (("--frames",), "--report"),
        (("--report", "small.txt"), "--report"),
        (("--reference-start", "soon"), "--reference-start"),
    ],
)
def test_what_is_wrong_is_told_before_a_byte_is_sent(run, master, arguments, said):
    told = run("measure", "master.mov", "small.mp4", *arguments)
    assert told.code in (2, 4)
    assert said in told.err
    assert master.requests == []


def test_a_report_that_exists_is_kept(run, master, tmp_path):
    (tmp_path / "small.json").write_text("mine")
    assert run("measure", "master.mov", "small.mp4", "--report", "small.json").code == 6
    assert (tmp_path / "small.json").read_text() == "mine"


def test_a_file_that_is_not_there(run, master):
    assert run("measure", "nothing.mov", "small.mp4").code == 5


def test_the_page_of_such_a_job_has_the_scores(run, master, view):
    parameters = {"input": "small.mp4", "measure": {"reference": "master.mov"}}
    master.add(view(17, "completed", scenario="", parameters=parameters, result=job.Result(quality=FOUND)))
    told = run("jobs", "status", "17")
    assert "Quality" in told.out
    assert "93.40" in told.out
    assert "measure" in run("jobs", "list").out


def test_dry_runs_of_both_kinds(run):
    told = run("transcode", "master.mov", "a.mp4", "--verify", "quality", "--vmaf-min", "93", "--dry-run")
    assert told.code == 0, told.err
    assert "93" in told.out
    told = run("transcode", "master.mov", "a.mp4", "--vmaf-min", "93", "--dry-run")
    assert told.code == 4
    assert "--verify quality" in told.err


def test_its_engine_may_be_limited(run, master, finishing):
    told = run("measure", "master.mov", "small.mp4", "--max-cpu", "150", "--max-memory", "512", "--time-limit", "1m")
    assert told.code == 0, told.err
    [body] = master.bodies
    assert body["parameters"]["resource_limits"] == {"max_cpu_percent": 150, "max_memory_mb": 512, "timeout_sec": 60.0}
