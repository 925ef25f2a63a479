"""Whole attempts that measure, and verification at its higher levels: real ffmpeg, the real inspector."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.unit.agent import simulated
from tests.unit.agent.bench import SMALL, Bench, content

from ffrtmp.agent import messages as m
from ffrtmp.agent.task import Task
from ffrtmp.domain import spec
from ffrtmp.domain.command import Command
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import OutputFile, Result, TaskKind
from ffrtmp.process import run

Make = Callable[..., "object"]


async def make(bench: Bench, name: str, *arguments: str) -> Path:
    path = bench.media / name
    argv = (bench.kit.tools.ffmpeg, "-nostdin", "-v", "error", *arguments, f"file:{path}")
    outcome = await run.to_end(Command(name=f"make {name}", argv=argv))
    assert outcome.ok, outcome.log
    return path


_SEEN = ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=2")
_HEARD = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")


@pytest.fixture
async def reference(bench: Bench) -> Path:
    return await make(bench, "reference.mkv", *_SEEN, "-c:v", "ffv1", "-pix_fmt", "yuv420p")


def a_measurement(path: str, **more: object) -> spec.Measurement:
    usual: dict[str, object] = {
        "input": spec.Input(kind=spec.InputKind.FILE, path=path),
        "reference": spec.Input(kind=spec.InputKind.FILE, path="reference.mkv"),
        "metrics": [*spec.Metric],
    }
    return spec.Measurement(**{**usual, **more})  # type: ignore[arg-type]


def start(bench: Bench, what: spec.Work, **more: object) -> Task:
    grant = msgspec.structs.replace(simulated.grant("a" * 32), spec=what, kind=TaskKind.MEASURE, **more)
    bench.task = Task(grant, bench.kit, tell=bench.tell, may_publish=lambda _: bench.may, holds=lambda _: True)
    return bench.task


async def measured(bench: Bench, what: spec.Work, **more: object) -> Result:
    await start(bench, what, **more).wait()
    ended = bench.end()
    assert ended.failure is None, ended.failure
    assert ended.result is not None
    return ended.result


async def failed(bench: Bench, what: spec.Work) -> m.TaskEnded:
    await start(bench, what).wait()
    ended = bench.end()
    assert ended.failure is not None
    return ended


async def test_the_report_goes_to_the_artifact_store(bench: Bench, reference: Path) -> None:
    await make(bench, "copy.mp4", "-i", str(reference), "-c:v", "libx264", "-crf", "30")
    result = await measured(bench, a_measurement("copy.mp4", frames=True))
    assert result.quality is not None
    assert result.quality.frames == result.frames == 50
    assert 0 < result.quality.scores["vmaf"].mean < 100
    [file] = result.outputs
    assert (file.name, file.upload_id) == ("copy.json", "u9")
    report = json.loads(bench.master.stored["copy.json"])
    assert report["scores"]["vmaf"]["mean"] == result.quality.scores["vmaf"].mean
    assert len(report["each_frame"]) == 50
    assert result.command[0] == bench.kit.tools.ffmpeg
    phases = {event.progress.phase for event in bench.told if isinstance(event, m.TaskProgress)}
    assert "measure" in phases
    assert "measured 50 frames: vmaf" in bench.master.logs["a" * 32]


async def test_uploads_are_fetched_and_named(bench: Bench, reference: Path) -> None:
    bench.master.uploads = {"u1": content(reference), "u2": content(reference)}
    what = a_measurement(
        "",
        input=spec.Input(kind=spec.InputKind.UPLOAD, upload_id="u1"),
        reference=spec.Input(kind=spec.InputKind.UPLOAD, upload_id="u2"),
        metrics=[spec.Metric.PSNR],
    )
    result = await measured(bench, what)
    assert [file.name for file in result.outputs] == ["mine.json"]
    assert result.quality is not None
    assert result.quality.equal_frames == 50
    assert result.quality.scores["psnr"].overall is None


async def test_a_report_on_the_node_and_what_an_earlier_attempt_left_there(bench: Bench, reference: Path) -> None:
    what = a_measurement("reference.mkv", metrics=[spec.Metric.SSIM], output="report.json")
    first = await measured(bench, what)
    [file] = first.outputs
    assert file.path == str(bench.media / "report.json")
    bench.told.clear()
    again = await measured(bench, what, prior_publications=[file])
    assert (again.outputs, again.quality) == (first.outputs, first.quality)
    assert not again.command
    bench.told.clear()
    stranger = OutputFile(name="report.json", size_bytes=1, sha256="0" * 64, path=str(bench.media / "other.json"))
    await start(bench, what, prior_publications=[stranger]).wait()
    ended = bench.end()
    assert ended.failure is not None
    assert ended.failure.code is Code.OUTPUT_EXISTS


async def test_the_two_must_show_the_same(bench: Bench, reference: Path) -> None:
    await make(bench, "short.mkv", *_SEEN, "-t", "1", "-c:v", "ffv1")
    ended = await failed(bench, a_measurement("short.mkv"))
    assert ended.failure is not None
    assert ended.failure.code is Code.NOT_COMPARABLE
    assert "1.000 s of the video stand against 2.000 s" in ended.failure.message


async def test_parts_of_both_are_taken(bench: Bench, reference: Path) -> None:
    await make(bench, "part.mkv", "-i", str(reference), "-vf", "trim=start_frame=20:end_frame=40", "-c:v", "ffv1")
    what = a_measurement("part.mkv", metrics=[spec.Metric.PSNR], reference_start=0.8, duration=0.8)
    result = await measured(bench, what)
    assert result.quality is not None
    assert (result.quality.frames, result.quality.equal_frames) == (20, 20)


def encode_of(path: str, level: spec.VerifyLevel, **more: object) -> spec.Spec:
    usual: dict[str, object] = {
        "input": spec.Input(kind=spec.InputKind.FILE, path=path),
        "duration": None,
        "resolution": None,
        "output": "out.mp4",
        "verify": level,
    }
    return msgspec.structs.replace(SMALL, **{**usual, **more})


async def test_full_says_what_it_saw(bench: Bench) -> None:
    await make(bench, "clip.mp4", *_SEEN, *_HEARD, "-c:v", "libx264", "-c:a", "aac")
    result = (await bench.run(encode_of("clip.mp4", spec.VerifyLevel.FULL))).result
    assert result is not None
    assert result.verdict is not None
    verdict = result.verdict
    assert (verdict.level, verdict.passed, verdict.problems) == ("full", True, [])
    assert verdict.checks["black_seconds"] == verdict.checks["silent_seconds"] == 0
    assert verdict.checks["repeated_frames"] == verdict.checks["repeated_frames_of_input"] == 0
    assert abs(verdict.checks["audio_end_offset_seconds"]) < 0.2
    assert result.command[-1].endswith(".ffrtmp-part"), "the encode's command, not one of the verification"


async def test_black_and_silence_of_the_input_are_no_fault(bench: Bench) -> None:
    black = "color=black:size=192x108:rate=25:duration=2"
    silence = "anullsrc=duration=2"
    await make(
        bench, "black.mp4", "-f", "lavfi", "-i", black, "-f", "lavfi", "-i", silence, "-t", "2", "-c:v", "libx264",
    )  # fmt: skip
    ended = await bench.run(encode_of("black.mp4", spec.VerifyLevel.FULL))
    assert ended.failure is None
    assert ended.result is not None
    assert ended.result.verdict is not None
    checks = ended.result.verdict.checks
    assert checks["black_seconds"] == pytest.approx(2, abs=0.1)
    assert checks["silent_seconds_of_input"] == pytest.approx(2, abs=0.1)
    assert checks["black"] == ["0.00–2.00 s"]


async def test_a_generated_clip_is_looked_at_too(bench: Bench) -> None:
    ended = await bench.run(msgspec.structs.replace(SMALL, verify=spec.VerifyLevel.FULL))
    assert ended.failure is None
    assert ended.result is not None
    assert ended.result.verdict is not None
    assert "black_seconds_of_input" not in ended.result.verdict.checks


async def test_an_output_above_the_floor(bench: Bench, reference: Path) -> None:
    good = encode_of("reference.mkv", spec.VerifyLevel.QUALITY, vmaf_min=70.0, rate=_crf(18))
    ended = await bench.run(good)
    assert ended.failure is None, ended.failure
    assert ended.result is not None
    assert ended.result.verdict is not None
    assert ended.result.quality is not None
    checks = ended.result.verdict.checks
    assert checks["vmaf"] == round(ended.result.quality.scores["vmaf"].mean, 2) >= 70
    assert (checks["vmaf_min"], checks["vmaf_frames"]) == (70.0, 50)


def _crf(value: float) -> spec.Rate:
    return spec.Rate(mode=spec.RateMode.CRF, crf=value)


async def test_an_output_below_the_floor_is_not_published(bench: Bench, reference: Path) -> None:
    poor = encode_of("reference.mkv", spec.VerifyLevel.QUALITY, vmaf_min=95.0, rate=_crf(51))
    ended = await bench.run(poor)
    assert ended.failure is not None
    assert ended.failure.code is Code.QUALITY_TOO_LOW
    assert "below the floor of 95" in ended.failure.message
    assert ended.result is not None
    assert ended.result.verdict is not None
    assert not ended.result.verdict.passed
    assert ended.result.verdict.checks["vmaf"] < 95
    assert not (bench.media / "out.mp4").exists()


async def test_the_floor_is_of_what_the_encoder_was_given(bench: Bench, reference: Path) -> None:
    """Cut, at another rate, smaller: the reference is treated likewise, so that only the encoder counts."""
    taken = encode_of(
        "reference.mkv",
        spec.VerifyLevel.QUALITY,
        vmaf_min=90.0,
        rate=_crf(5),
        start=0.5,
        duration=1.0,
        fps="12",
        resolution=spec.units.Resolution(None, 72),
    )
    ended = await bench.run(taken)
    assert ended.failure is None, ended.failure
    assert ended.result is not None
    assert ended.result.quality is not None
    assert ended.result.quality.size == "128x72"
    assert ended.result.quality.frames == 12
