"""Whole attempts: real ffmpeg, the real inspector, a master that only remembers."""

import asyncio
import hashlib
import os
import shutil
import threading
from pathlib import Path

import msgspec
import pytest
from tests.unit.agent import simulated
from tests.unit.agent.bench import LONG, SMALL, Bench, content, of_file

from ffrtmp.agent import capabilities, encode
from ffrtmp.agent import messages as m
from ffrtmp.agent.source import describe
from ffrtmp.domain import errors
from ffrtmp.domain.command import Command
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Grant
from ffrtmp.domain.spec import (
    Audio,
    Container,
    Engine,
    Input,
    InputKind,
    Loudness,
    Queue,
    Requires,
)
from ffrtmp.media import tools
from ffrtmp.process import run


async def test_a_generated_clip_goes_to_the_artifact_store(bench: Bench) -> None:
    ended = await bench.run(SMALL)
    assert ended.failure is None
    result = ended.result
    assert result is not None
    assert result.outputs[0].upload_id == "u9"
    assert result.outputs[0].size_bytes == len(bench.master.stored[SMALL.output_name])
    assert result.verdict is not None
    assert result.verdict.passed
    assert (result.encoder, result.frames) == ("libx264", 30)
    assert result.engine_reason
    log = bench.master.logs["a" * 32]
    assert "encoder: libx264" in log
    assert "\n$ " in log
    assert "verified (standard)" in log
    kinds = [type(event) for event in bench.told]
    assert kinds.index(m.TaskStarted) < kinds.index(m.TaskEnded)


async def test_a_file_is_staged_verified_and_renamed(bench: Bench, clip: Path) -> None:
    before = content(clip)
    ended = await bench.run(of_file())
    assert ended.failure is None
    assert ended.result is not None
    output = ended.result.outputs[0]
    made = bench.media / "out.mp4"
    assert output.path == str(made)
    assert output.sha256 == hashlib.sha256(content(made)).hexdigest()
    asked = next(event for event in bench.told if isinstance(event, m.PublishAsked))
    assert asked.outputs == [output]
    assert content(clip) == before


async def test_loudness_is_measured_before_and_after_and_subtitles_are_cut(bench: Bench, clip: Path) -> None:
    """Commands before the encode and during verification, with what they found in the result."""
    talk, captions = bench.media / "talk.mkv", bench.media / "captions.srt"
    captions.write_text("1\n00:00:01,200 --> 00:00:01,900\nHello\n")
    sound = ("-f", "lavfi", "-i", "sine=frequency=997:duration=2,volume=-20dB", "-i", f"file:{captions}")
    argv = (bench.kit.tools.ffmpeg, "-v", "error", "-i", f"file:{clip}", *sound, "-c:v", "copy", f"file:{talk}")
    assert (await run.to_end(Command(name="add sound", argv=argv))).ok
    target = Loudness(integrated_lufs=-18.0)
    ended = await bench.run(of_file(path="talk.mkv", start=0.5, audio=Audio(loudness=target)))
    assert ended.failure is None
    assert ended.result is not None
    [track] = ended.result.metrics["loudness"]
    assert track["before"]["lufs"] < -35
    assert abs(track["after"]["lufs"] - -18) < 1
    assert ended.result.verdict is not None
    assert ended.result.verdict.checks["subtitles_1_events"] == 1
    assert "subtitles: no language, ass becomes mov_text, which mp4 takes" in ended.result.decisions
    assert "libx264" in ended.result.command


async def test_an_upload_is_fetched_first_and_names_the_output(bench: Bench, clip: Path) -> None:
    bench.master.uploads["u1"] = content(clip)
    given = Input(kind=InputKind.UPLOAD, upload_id="u1")
    ended = await bench.run(of_file(input=given, output=None))
    assert ended.failure is None
    assert list(bench.master.stored) == ["mine.mp4"]


async def test_an_upload_that_is_gone(bench: Bench) -> None:
    given = Input(kind=InputKind.UPLOAD, upload_id="u1", name="mine.mov")
    ended = await bench.run(of_file(input=given))
    assert ended.failure is not None
    assert ended.failure.code is Code.INPUT_MISSING


@pytest.mark.parametrize(
    ("path", "output", "code"),
    [
        ("not-there.mp4", "out.mp4", Code.INPUT_MISSING),
        ("/etc/passwd", "out.mp4", Code.INPUT_FORBIDDEN),
        ("text.mp4", "out.mp4", Code.INPUT_INVALID),
        ("empty.mp4", "out.mp4", Code.INPUT_INVALID),
        ("clip.mp4", "../out.mp4", Code.OUTPUT_FORBIDDEN),
        ("clip.mp4", "text.mp4", Code.OUTPUT_EXISTS),
        ("clip.mp4", "no/out.mp4", Code.OUTPUT_FORBIDDEN),
    ],
)
async def test_bad_paths_fail_with_a_code_and_leave_nothing(
    bench: Bench, clip: Path, path: str, output: str, code: Code
) -> None:
    (bench.media / "text.mp4").write_text("no video")
    (bench.media / "empty.mp4").touch()
    there = set(os.listdir(bench.media))
    ended = await bench.run(of_file(path=path, output=output))
    assert ended.failure is not None
    assert ended.failure.code is code
    assert set(os.listdir(bench.media)) == there
    assert code.value in bench.master.logs["a" * 32]


async def test_the_input_is_never_the_output(bench: Bench, clip: Path) -> None:
    before = content(clip)
    ended = await bench.run(of_file(output="clip.mp4", overwrite=True))
    assert ended.failure is not None
    assert ended.failure.code is Code.OUTPUT_FORBIDDEN
    assert content(clip) == before


async def test_an_encoder_that_does_not_work_here(bench: Bench) -> None:
    ended = await bench.run(msgspec.structs.replace(SMALL, requires=Requires(encoder="h264_nvenc")))
    assert ended.failure is not None
    assert ended.failure.code is Code.ENCODER_UNAVAILABLE


async def test_an_input_that_is_written_to_meanwhile(bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode.run_all

    async def and_more(*args: object, beside: str = "") -> None:
        await whole(*args, beside=beside)  # type: ignore[arg-type]
        await asyncio.to_thread(clip.write_bytes, content(clip) + b"more")

    monkeypatch.setattr(encode, "run_all", and_more)
    ended = await bench.run(of_file())
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.retriable) == (Code.INPUT_INVALID, True)


async def test_a_kill_does_not_wait_for_a_long_hash(bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def endless(_: Path, stop: threading.Event) -> str:
        begun.set()
        assert stop.wait(60)
        return ""

    monkeypatch.setattr("ffrtmp.transfer.local.sha256_file", endless)
    task = bench.start(of_file())
    assert await asyncio.to_thread(begun.wait, 60)
    task.kill(now=False)
    await task.wait()
    assert bench.end().result is None
    assert os.listdir(bench.media) == ["clip.mp4"]


@pytest.mark.parametrize("now", [False, True])
async def test_a_kill_ends_everything(bench: Bench, now: bool) -> None:
    task = bench.start(of_file(LONG, input=LONG.input, duration=3600.0))
    await bench.until(m.TaskProgress)
    assert task.attempt.child is not None
    pid = task.attempt.child.pid
    task.kill(now=now)
    task.kill(now=True)
    await task.wait()
    ended = bench.end()
    assert ended.result is ended.failure is None
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)
    assert os.listdir(bench.media) == []


async def test_a_kill_before_the_first_step_is_told_too(bench: Bench) -> None:
    task = bench.start(SMALL)
    task.kill(now=False)
    await task.wait()
    await bench.until(m.TaskEnded)
    assert bench.end().result is None


async def test_a_pause_stops_the_process_and_a_resume_lets_it_end(bench: Bench) -> None:
    task = bench.start(msgspec.structs.replace(SMALL, duration=20.0))
    await bench.until(m.TaskStarted)
    task.pause()
    assert task.attempt.child is not None
    assert task.attempt.child.paused
    task.resume()
    await task.wait()
    assert bench.end().failure is None


async def test_a_work_dir_that_a_cleaner_emptied_is_made_again(bench: Bench) -> None:
    await asyncio.to_thread(shutil.rmtree, bench.work.path / "attempts")
    await asyncio.to_thread(shutil.rmtree, bench.work.path / "stages")
    assert (await bench.run(of_file(SMALL, input=SMALL.input, duration=1.0))).failure is None


async def test_a_log_that_cannot_be_sent_fails_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise errors.Unavailable

    monkeypatch.setattr(bench.master, "put_log", away)
    assert (await bench.run(SMALL)).failure is None


async def test_what_a_terminal_obeys_is_neither_in_the_log_nor_in_the_message(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> str:
        raise errors.TaskError(Code.TRANSFER_FAILED, "a\x1b[31mb\u202ec" + "x" * 10_000)

    monkeypatch.setattr(bench.master, "store", broken)
    ended = await bench.run(SMALL)
    assert ended.failure is not None
    assert ended.failure.message.startswith("abcx")
    assert len(ended.failure.message) == 2000
    assert "abcx" in bench.master.logs["a" * 32]
    assert "\x1b" not in bench.master.logs["a" * 32]


async def test_a_fault_of_ours_is_one_failed_attempt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> str:
        raise KeyError("surprise")

    monkeypatch.setattr(bench.master, "store", broken)
    ended = await bench.run(SMALL)
    assert ended.failure is not None
    assert ended.failure.code is Code.INTERNAL


async def test_inspections_are_described_in_words(bench: Bench, clip: Path) -> None:
    assert describe(await bench.inspector.inspect(clip)) == "mov: h264 160x90 yuv420p, 25 fps, 50 frames, 2.000 s"


def test_grants_are_whole() -> None:
    assert isinstance(simulated.grant("x"), Grant)
    assert SMALL.container is Container.MP4


@pytest.fixture
async def with_gstreamer(bench: Bench) -> Bench:
    launch = tools.find_gstreamer()
    if launch is None:
        assert "CI" not in os.environ, "GStreamer is missing: run tools/system_packages.sh test"
        pytest.skip("GStreamer is not installed: tools/system_packages.sh test")
    found = msgspec.structs.replace(bench.kit.tools, gst_launch=launch, gst_version="1")
    tried = await capabilities.try_gstreamer(found)
    encoders = [*bench.kit.encoders, *tried.encoders]
    bench.kit = msgspec.structs.replace(bench.kit, tools=found, encoders=encoders, muxers=tried.muxers)
    return bench


@pytest.mark.parametrize(
    ("changes", "engine", "reason"),
    [
        ({"requires": Requires(engine=Engine.GSTREAMER)}, Engine.GSTREAMER, "named by the job"),
        ({"queue": Queue.LIVE}, Engine.GSTREAMER, "auto: the live queue prefers GStreamer"),
        ({}, Engine.FFMPEG, "auto: files and generated clips are for ffmpeg"),
    ],
)
async def test_both_engines_make_what_passes(
    with_gstreamer: Bench, clip: Path, changes: dict[str, object], engine: Engine, reason: str
) -> None:
    bench = with_gstreamer
    odd = bench.media / 'a folder ! with "quotes"'
    odd.mkdir()
    ended = await bench.run(of_file(path="clip.mp4", output=f"{odd.name}/out.mp4", **changes))
    assert ended.failure is None, ended
    assert ended.result is not None
    assert (ended.result.engine, ended.result.engine_reason) == (engine, reason)
    assert ended.result.verdict is not None
    assert ended.result.verdict.checks["frames"] == 50
    assert (odd / "out.mp4").stat().st_size == ended.result.outputs[0].size_bytes
    assert ended.result.encoder == ("x264enc" if engine is Engine.GSTREAMER else "libx264")


async def test_an_engine_that_was_named_is_not_replaced(bench: Bench, clip: Path) -> None:
    ended = await bench.run(of_file(requires=Requires(engine=Engine.GSTREAMER)))
    assert ended.failure is not None
    assert ended.failure.code is Code.ENCODER_UNAVAILABLE
    assert "no GStreamer" in ended.failure.message
