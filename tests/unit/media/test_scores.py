"""Logs of FFmpeg 9.0.2, as literal lines → scores."""

import json
import math
import random
from pathlib import Path

import msgspec
import pytest

from ffrtmp.domain import errors
from ffrtmp.domain.spec import Metric
from ffrtmp.media import comparison, scores, timing
from ffrtmp.media.inspection import VideoStream

VIDEO = VideoStream(index=0, codec="h264", width=640, height=360, pixel_format="yuv420p", time_base="1/25", frames=3)
SIDE = comparison.Side(
    path=Path("/a.mp4"), video=VIDEO, taken=timing.Timing(frames=3, video_seconds=0.12), width=640, height=360
)
PSNR = """\
n:1 mse_avg:1.00 mse_y:1.00 mse_u:1.00 mse_v:1.00 psnr_avg:48.13 psnr_y:48.13 psnr_u:48.13 psnr_v:48.13 
n:2 mse_avg:0.00 mse_y:0.00 mse_u:0.00 mse_v:0.00 psnr_avg:inf psnr_y:inf psnr_u:inf psnr_v:inf 
n:3 mse_avg:5.00 mse_y:6.00 mse_u:3.00 mse_v:3.00 psnr_avg:41.14 psnr_y:40.35 psnr_u:43.36 psnr_v:43.36 
"""  # noqa: W291 - as it is written
SSIM = """\
n:1 Y:0.990000 U:0.980000 V:0.970000 All:0.980000 (16.98970)
n:2 Y:1.000000 U:1.000000 V:1.000000 All:1.000000 (inf)
n:3 Y:0.900000 U:0.910000 V:0.920000 All:0.910000 (10.45757)
"""
VMAF = """\
Frame,integer_adm2,integer_motion2,vmaf,
0,0.97,0.0,90.5,
2,0.91,3.1,70.25,
"""


def _plan(*metrics: Metric, every: int = 1) -> comparison.Plan:
    return comparison.plan(SIDE, SIDE, metrics, every)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for name, text in (("psnr.txt", PSNR), ("ssim.txt", SSIM), ("vmaf.csv", VMAF)):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_all_that_three_logs_say(logs: Path) -> None:
    found = scores.quality(_plan(*Metric, every=2), logs)
    assert (found.frames, found.frames_measured, found.equal_frames, found.every) == (3, 3, 1, 2)
    assert (found.model, found.size, found.pixel_format) == ("vmaf_v0.6.1", "640x360", "yuv420p")
    vmaf, psnr, ssim = (found.scores[name] for name in ("vmaf", "psnr", "ssim"))
    assert (vmaf.mean, vmaf.min, vmaf.max, vmaf.p1, vmaf.p50) == (80.375, 70.25, 90.5, 70.25, 70.25)
    assert vmaf.harmonic_mean == pytest.approx(2 / (1 / 91.5 + 1 / 71.25) - 1, abs=1e-6)
    assert psnr.overall == pytest.approx(10 * math.log10(255**2 / 2), abs=1e-6)
    assert (psnr.mean, psnr.max, psnr.p50) == (pytest.approx(44.635), None, 48.13)
    assert ssim.mean == pytest.approx(0.963333, abs=1e-6)
    assert found.scores["ssim_y"].min == 0.9


def test_the_report_has_every_frame_and_is_json(logs: Path) -> None:
    report = logs / "report.json"
    found = scores.quality(_plan(*Metric), logs, report, each=True)
    told = json.loads(report.read_text())
    assert [frame["n"] for frame in told["each_frame"]] == [0, 1, 2]
    assert told["each_frame"][0] == {
        "n": 0, "vmaf": 90.5, "mse": 1.0, "psnr": 48.13, "psnr_y": 48.13, "psnr_u": 48.13, "psnr_v": 48.13,
        "ssim": 0.98, "ssim_y": 0.99, "ssim_u": 0.98, "ssim_v": 0.97,
    }  # fmt: skip
    assert told["each_frame"][1]["psnr"] is None
    assert "vmaf" not in told["each_frame"][1]
    assert scores.read(report) == found
    assert msgspec.convert({name: value for name, value in told.items() if name != "each_frame"}, type(found)) == found


def test_a_report_without_frames(logs: Path) -> None:
    report = logs / "report.json"
    found = scores.quality(_plan(Metric.SSIM), logs, report)
    assert json.loads(report.read_text())["scores"].keys() == {"ssim", "ssim_y"}
    assert scores.read(report) == found
    assert found.equal_frames is None


def test_a_log_that_is_not_there_or_broken(tmp_path: Path) -> None:
    with pytest.raises(errors.TaskError, match=r"psnr.txt cannot be read"):
        scores.quality(_plan(Metric.PSNR), tmp_path)
    (tmp_path / "psnr.txt").write_text("n:1 psnr_avg:so\n")
    with pytest.raises(errors.TaskError, match=r"psnr.txt cannot be read"):
        scores.quality(_plan(Metric.PSNR), tmp_path)
    (tmp_path / "vmaf.csv").write_text("")
    with pytest.raises(errors.TaskError, match=r"vmaf.csv cannot be read"):
        scores.quality(_plan(Metric.VMAF), tmp_path)


def test_no_frame_at_all_is_no_score(tmp_path: Path) -> None:
    (tmp_path / "psnr.txt").write_text("")
    with pytest.raises(errors.TaskError, match="no frame at the same time"):
        scores.quality(_plan(Metric.PSNR), tmp_path)


def test_percentiles_are_those_of_the_sorted_values() -> None:
    rng = random.Random(7)
    values = [rng.uniform(20, 100) for _ in range(5000)]
    pool = scores.Pool(0.01)
    for value in values:
        pool.add(value)
    found, order = pool.scores(), sorted(values)
    assert found.p1 == pytest.approx(order[49], abs=0.006)
    assert found.p5 == pytest.approx(order[249], abs=0.006)
    assert found.p50 == pytest.approx(order[2499], abs=0.006)
    assert (found.min, found.max) == (round(order[0], 6), round(order[-1], 6))


def test_the_mean_of_the_frames_that_are_wanted(logs: Path) -> None:
    assert scores.mean(logs, Metric.VMAF, lambda _: True) == 80.375
    assert scores.mean(logs, Metric.VMAF, lambda frame: frame == 2) == 70.25
    assert scores.mean(logs, Metric.VMAF, lambda frame: frame == 1) == 0.0
