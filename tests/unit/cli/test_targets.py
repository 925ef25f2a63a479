"""`--target-vmaf` and `--target-size`: what is asked, and how it is shown that they were met."""

from pathlib import Path

import pytest

from ffrtmp.domain import job

SEARCH = job.Search(
    target_vmaf=93.0,
    crf=26.4,
    vmaf=93.02,
    bitrate_bps=850_000,
    points=[
        job.CurvePoint(crf=23.0, vmaf=95.8, bitrate_bps=1_700_000, frames=90),
        job.CurvePoint(crf=26.5, vmaf=92.91, bitrate_bps=840_000, frames=330),
    ],
    samples=11,
    frames=330,
    seconds=4.25,
    cpu_seconds=6.1,
    default_crf=23.0,
    default_vmaf=95.8,
    default_bitrate_bps=1_700_000,
)
FIT = job.Fit(
    target_bytes=25_000_000,
    beside_bytes=1_200_000,
    seconds=60.0,
    encodes=[
        job.Pass(bitrate_bps=3_100_000, size_bytes=25_250_000),
        job.Pass(bitrate_bps=3_020_000, size_bytes=24_600_000),
    ],
)


def made(**found: object) -> job.Result:
    output = job.OutputFile(name="clip.mp4", size_bytes=10, sha256="ab" * 32)
    return job.Result(outputs=[output], **found)  # type: ignore[arg-type]


CURVE = (
    "  23  95.80  1.7 Mb/s      90",
    "26.5  92.91  840 kb/s     330",
    "target_vmaf 93: crf 26.4, VMAF 93.02 expected at 850 kb/s",
    "searched in 4.2 s on 11 samples of together 330 frames",
    "the default, crf 23, gives about 95.8 at 1.7 Mb/s: this is 50% less bitrate",
)
ENCODES = (
    "     1  3.1 Mb/s  25250000       101.00 %",
    "     2  3.0 Mb/s  24600000        98.40 %",
    "target_size 25000000 bytes, 1.2 MB of them estimated for what is beside the picture",
)


@pytest.mark.parametrize(
    ("found", "parts"), [({"search": SEARCH}, CURVE), ({"fit": FIT}, ENCODES)], ids=["vmaf", "size"]
)
@pytest.mark.parametrize("command", ["status", "explain"])
def test_how_a_target_was_met(run, master, view, command, found, parts):
    master.add(view(17, "completed", result=made(**found)))
    page = run("jobs", command, "17").out
    assert "How the target was met" in page
    for part in parts:
        assert part in page


def test_it_is_in_the_json(run, master, view):
    master.add(view(17, "completed", result=made(search=SEARCH)))
    found = run("jobs", "status", "17", "--output", "json").json["result"]["search"]
    assert found["crf"] == 26.4
    assert found["points"][1] == {"crf": 26.5, "vmaf": 92.91, "bitrate_bps": 840_000, "frames": 330}


def test_transcode_asks_and_shows_the_curve(run, master, view, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.mov").write_bytes(b"a film")
    master.on_submit = lambda made_job: [
        made_job,
        view(made_job.sequence_number, "completed", result=made(search=SEARCH)),
    ]
    told = run("transcode", "in.mov", "out.mp4", "--target-vmaf", "93")
    assert told.code == 0, told.err
    [body] = master.bodies
    assert body["parameters"]["target_vmaf"] == 93.0
    assert CURVE[2] in told.out


def test_a_dry_run_says_what_is_aimed_at(run, master):
    page = run("jobs", "submit", "--input", "a.mp4", "--codec", "h264", "--target-size", "25MiB", "--dry-run").out
    assert "h264 in mp4, at most 26.2 MB in two passes, preset medium" in page
    page = run("jobs", "submit", "--input", "a.mp4", "--codec", "h264", "--target-vmaf", "93", "--dry-run").out
    assert "h264 in mp4, the crf that gives a VMAF of 93, preset medium" in page


def test_a_refusal_names_the_options(run, master):
    argv = ("--input", "a.mp4", "--codec", "h264", "--target-vmaf", "93", "--crf", "20", "--dry-run")
    told = run("jobs", "submit", *argv)
    assert told.code != 0
    assert "--target-vmaf: cannot be combined with --crf" in told.err
