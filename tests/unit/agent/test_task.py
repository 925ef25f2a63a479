"""Whole attempts: real ffmpeg, the real inspector, a master that only remembers."""

import asyncio
import hashlib
import os
import re
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.unit.agent import simulated

from ffrtmp.agent import attempt, capabilities, encode
from ffrtmp.agent import messages as m
from ffrtmp.agent.gpus import Gpus
from ffrtmp.agent.inspector import Inspector
from ffrtmp.agent.kit import Kit
from ffrtmp.agent.source import describe
from ffrtmp.agent.task import Task
from ffrtmp.agent.workdir import WorkDir
from ffrtmp.domain import errors, node
from ffrtmp.domain.command import Command
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Grant, OutputFile
from ffrtmp.domain.spec import (
    Audio,
    Codec,
    Container,
    Engine,
    Input,
    InputKind,
    Limits,
    Loudness,
    Preset,
    Queue,
    Rate,
    RateMode,
    Requires,
    Spec,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media import tools
from ffrtmp.process import cgroups, run
from ffrtmp.process.confine import Limiter

SMALL = msgspec.structs.replace(
    simulated.SPEC, duration=1.0, preset=Preset.ULTRAFAST, resolution=Resolution(160, 90), requires=Requires()
)


class Master:
    def __init__(self) -> None:
        self.logs: dict[str, str] = {}
        self.stored: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}

    async def fetch(self, upload_id: str, dest: Path, on_progress: Callable[[int, int], None]) -> str:
        if upload_id not in self.uploads:
            raise errors.NotFound
        await asyncio.to_thread(dest.write_bytes, self.uploads[upload_id])
        on_progress(1, 1)
        return "mine.mov"

    async def store(self, path: Path, name: str, sha256: str, on_progress: Callable[[int, int], None]) -> str:
        self.stored[name] = await asyncio.to_thread(path.read_bytes)
        assert hashlib.sha256(self.stored[name]).hexdigest() == sha256
        return "u9"

    async def put_log(self, attempt_id: str, text: str) -> None:
        self.logs[attempt_id] = text


class Bench:
    """Runs attempts of one agent and remembers what they told."""

    def __init__(self, folder: Path) -> None:
        self.media = folder / "media"
        self.media.mkdir()
        self.work = WorkDir(folder / "work")
        self.work.open()
        self.master = Master()
        self.inspector = Inspector()
        self.told: list[m.Event] = []
        self.may = True
        self.changed = asyncio.Event()
        self.task: Task | None = None
        self.kit = Kit(
            tools=tools.find(),
            encoders=[
                node.Encoder(name=name, codec=codec, engine=Engine.FFMPEG, works=True)
                for name, codec in (("libx264", Codec.H264), ("libx265", Codec.H265))
            ],
            gpus=Gpus(),
            roots=(self.media,),
            work=self.work,
            inspector=self.inspector,
            master=self.master,
        )

    def start(self, spec: Spec, **more: object) -> Task:
        grant = msgspec.structs.replace(simulated.grant("a" * 32), spec=spec, **more)
        self.task = Task(grant, self.kit, tell=self.tell, may_publish=lambda _: self.may, holds=lambda _: True)
        return self.task

    def tell(self, event: m.Event) -> None:
        self.told.append(event)
        if isinstance(event, m.PublishAsked) and self.task is not None:
            self.task.allow_publish()
        self.changed.set()

    async def until(self, kind: type[m.Event]) -> None:
        while not any(isinstance(event, kind) for event in self.told):
            self.changed.clear()
            await self.changed.wait()

    async def run(self, spec: Spec, **more: object) -> m.TaskEnded:
        await self.start(spec, **more).wait()
        return self.end()

    def end(self) -> m.TaskEnded:
        ended = [event for event in self.told if isinstance(event, m.TaskEnded)]
        assert len(ended) == 1
        assert os.listdir(self.work.path / "attempts") == []
        assert os.listdir(self.work.path / "stages") == []
        assert not [name for name in os.listdir(self.media) if name.endswith(".ffrtmp-part")]
        return ended[0]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.inspector.close()
    made.work.close()


@pytest.fixture
async def clip(bench: Bench) -> Path:
    path = bench.media / "clip.mp4"
    source = "testsrc2=size=160x90:rate=25:duration=2"
    argv = (bench.kit.tools.ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", f"file:{path}")
    assert (await run.to_end(Command(name="make a clip", argv=argv))).ok
    return path


def content(path: Path) -> bytes:
    return path.read_bytes()


def of_file(spec: Spec = SMALL, path: str = "clip.mp4", **more: object) -> Spec:
    changed = {"input": Input(kind=InputKind.FILE, path=path), "duration": None, "output": "out.mp4", **more}
    return msgspec.structs.replace(spec, **changed)


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


async def test_limits_end_the_engine(bench: Bench) -> None:
    long = msgspec.structs.replace(
        SMALL, duration=3600.0, resolution=Resolution(640, 360), limits=Limits(max_disk_bytes=300_000)
    )
    ended = await bench.run(long)
    assert ended.failure is not None
    assert ended.failure.code is Code.DISK_LIMIT
    assert ended.result is not None
    assert ended.result.command


@pytest.fixture
def limiter(bench: Bench) -> Limiter:
    """The agent's, with control groups where this machine has them."""
    tree, why = cgroups.find()
    if tree is not None and tree.version == 2:
        tree = None  # the tests do not move the processes beside them into another group
    made = Limiter(tree, why, owner=f"task{os.getpid()}")
    bench.kit = msgspec.structs.replace(bench.kit, limiter=made)
    return made


def groups(limiter: Limiter) -> list[Path]:
    return [found for place in (limiter.tree.places if limiter.tree else ()) for found in place.glob("ffrtmp-task*")]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on the clock of attempts."""
    made = [1000.0]
    monkeypatch.setattr(attempt, "time", SimpleNamespace(monotonic=lambda: made[0]))
    return made


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Seconds that each command may take."""
    made: list[float | None] = []
    whole = run.start

    async def noted(command: Command, **more: Any) -> run.Child:
        made.append(command.limits.wall_seconds)
        return await whole(command, **more)

    monkeypatch.setattr(run, "start", noted)
    return made


async def test_a_pause_does_not_count_against_the_time_limit(
    bench: Bench, now: list[float], given: list[float | None]
) -> None:
    task = bench.start(msgspec.structs.replace(SMALL, limits=Limits(timeout_seconds=600.0)))
    now[0] += 10.0
    task.pause()
    now[0] += 7200.0
    task.resume()
    await task.wait()
    assert bench.end().failure is None
    assert given == [590.0]


async def test_every_command_has_what_is_left_of_the_time_limit(
    bench: Bench, clip: Path, now: list[float], given: list[float | None]
) -> None:
    """Measuring the loudness before and after the encode as well."""
    talk, sound = bench.media / "talk.mkv", ("-f", "lavfi", "-i", "sine=duration=2", "-c:v", "copy")
    argv = (bench.kit.tools.ffmpeg, "-v", "error", "-i", f"file:{clip}", *sound, f"file:{talk}")
    assert (await run.to_end(Command(name="add sound", argv=argv))).ok
    given.clear()
    task = bench.start(of_file(path="talk.mkv", audio=Audio(loudness=Loudness()), limits=Limits(timeout_seconds=600.0)))
    now[0] += 500.0
    await task.wait()
    assert bench.end().failure is None
    assert given == [100.0] * 3


async def test_what_an_attempt_took_is_in_its_result(bench: Bench, limiter: Limiter, clip: Path) -> None:
    ended = await bench.run(of_file())
    assert ended.result is not None
    made = ended.result
    assert made.cpu_seconds is not None
    assert made.cpu_seconds > 0
    assert made.peak_memory_bytes is not None
    assert 10 << 20 < made.peak_memory_bytes < 1 << 30
    assert made.read_bytes is not None
    assert made.read_bytes >= len(content(clip))
    assert made.written_bytes is not None
    assert made.written_bytes >= made.outputs[0].size_bytes
    assert made.energy == []  # no source was given, and none is invented
    assert groups(limiter) == []


async def test_both_passes_count(bench: Bench, limiter: Limiter) -> None:
    two = msgspec.structs.replace(SMALL, rate=Rate(mode=RateMode.TWO_PASS, bitrate_bps=200_000))
    ended = await bench.run(two)
    assert ended.result is not None
    told = bench.task.attempt.log.text() if bench.task else ""
    passes = [float(found) for found in re.findall(r"([\d.]+) CPU-s", told)]
    assert len(passes) == 2
    assert ended.result.cpu_seconds is not None
    assert ended.result.cpu_seconds >= sum(passes) - 0.02


async def test_a_memory_limit_ends_the_attempt_and_says_so(bench: Bench, limiter: Limiter) -> None:
    if limiter.tree is None or limiter.tree.memory is None:
        pytest.skip("no memory controller is ours here")
    large = msgspec.structs.replace(
        SMALL, duration=60.0, resolution=Resolution(1920, 1080), limits=Limits(max_memory_bytes=48 << 20)
    )
    ended = await bench.run(large)
    assert ended.failure is not None
    assert ended.failure.code is Code.MEMORY_LIMIT
    assert "more memory than the job's 48 MiB" in ended.failure.message
    assert ended.result is not None
    assert ended.result.peak_memory_bytes
    assert "limits: memory 48 MiB (cgroup v" in bench.master.logs["a" * 32]
    assert groups(limiter) == []


async def test_limits_without_control_groups(bench: Bench) -> None:
    held = msgspec.structs.replace(SMALL, limits=Limits(max_memory_bytes=1 << 30, max_cpu_percent=100))
    ended = await bench.run(held)
    assert ended.failure is None
    assert bench.task is not None
    told = bench.task.attempt.log.text()
    assert "limits: CPU 100 % of a core (low priority, on as many whole cores as the limit needs)" in told
    assert "memory 1024 MiB (resident memory, looked at each second)" in told


async def test_no_more_threads_than_the_cpu_limit_has_room_for(bench: Bench) -> None:
    held = msgspec.structs.replace(SMALL, limits=Limits(max_cpu_percent=150))
    ended = await bench.run(held)
    assert ended.result is not None
    assert "-threads 2 " in " ".join(ended.result.command)


async def test_a_kill_leaves_no_control_group(bench: Bench, limiter: Limiter) -> None:
    task = bench.start(LONG)
    await bench.until(m.TaskStarted)
    task.kill(now=True)
    await task.wait()
    assert groups(limiter) == []


async def test_a_file_that_grew_too_large_between_two_looks(bench: Bench) -> None:
    ended = await bench.run(of_file(SMALL, input=SMALL.input, duration=0.1, limits=Limits(max_disk_bytes=500)))
    assert ended.failure is not None
    assert ended.failure.code is Code.DISK_LIMIT


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


LONG = msgspec.structs.replace(SMALL, duration=3600.0)


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


async def test_the_bytes_are_on_the_disk_before_it_is_asked_to_publish(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take minutes, and what lies between the master's yes and the rename must not."""
    synced: list[bool] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".ffrtmp-part"):
            synced.append(any(isinstance(event, m.PublishAsked) for event in bench.told))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    assert (await bench.run(of_file())).failure is None
    assert synced[0] is False


async def test_a_lease_that_ends_before_the_rename_publishes_nothing(bench: Bench, clip: Path) -> None:
    bench.may = False
    ended = await bench.run(of_file())
    assert ended.result is ended.failure is None
    assert os.listdir(bench.media) == ["clip.mp4"]


async def test_what_an_earlier_attempt_published_is_adopted(bench: Bench, clip: Path) -> None:
    first = await bench.run(of_file())
    assert first.result is not None
    made = first.result.outputs[0]
    bench.told.clear()
    again = await bench.run(of_file(), prior_publications=[made], number=2)
    assert again.failure is None
    assert again.result is not None
    assert again.result.outputs == [made]
    assert again.result.command == []  # nothing was encoded
    assert again.result.verdict is not None
    assert again.result.verdict.passed


@pytest.mark.parametrize("after", ["it stays", "it is taken back", "another file is there"])
async def test_what_another_users_agent_published_is_replaced_by_a_copy(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """We may not mark it as adopted, and the other agent would take it back when it wakes up late."""
    first = await bench.run(of_file())
    assert first.result is not None
    [made], output = first.result.outputs, bench.media / "out.mp4"
    before = output.stat()

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError

    def may(_: str) -> bool:
        if output.exists() and output.stat().st_ino == before.st_ino and after != "it stays":
            output.unlink()
            if after == "another file is there":
                output.write_text("a person's")
        return True

    monkeypatch.setattr(os, "utime", forbidden)
    bench.told.clear()
    task = bench.start(of_file(), prior_publications=[made], number=2)
    task.attempt.may_publish = may
    await task.wait()
    again = bench.end()
    if after == "another file is there":
        assert again.failure is not None
        assert again.failure.code is Code.OUTPUT_EXISTS
        assert content(output) == b"a person's"
        return
    assert again.failure is None
    assert again.result is not None
    assert (again.result.outputs, again.result.command) == ([made], [])
    assert hashlib.sha256(content(output)).hexdigest() == made.sha256
    assert output.stat().st_ino != before.st_ino


async def test_a_file_that_only_has_the_name_is_not_adopted(bench: Bench, clip: Path) -> None:
    (bench.media / "out.mp4").write_text("somebody else's")
    prior = OutputFile(name="out.mp4", size_bytes=15, sha256="0" * 64, path=str(bench.media / "out.mp4"))
    ended = await bench.run(of_file(), prior_publications=[prior])
    assert ended.failure is not None
    assert ended.failure.code is Code.OUTPUT_EXISTS
    assert content(bench.media / "out.mp4") == b"somebody else's"


async def test_an_output_that_is_not_what_was_asked_is_not_published(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ffrtmp.media import ffmpeg

    build = ffmpeg.build

    def short(*args: object, **more: object) -> list[Command]:
        (made,) = build(*args, **more)  # type: ignore[arg-type]
        return [msgspec.structs.replace(made, argv=(*made.argv[:-1], "-frames:v", "7", made.argv[-1]))]

    monkeypatch.setattr(ffmpeg, "build", short)
    ended = await bench.run(of_file())
    assert ended.failure is not None
    assert ended.failure.code is Code.OUTPUT_INVALID
    assert "7 frames came out" in ended.failure.message
    assert ended.result is not None
    assert ended.result.verdict is not None
    assert not ended.result.verdict.passed
    assert os.listdir(bench.media) == ["clip.mp4"]


async def test_an_output_that_cannot_even_be_read_is_the_outputs_fault(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect = bench.inspector.inspect

    async def cut_off(path: Path, **wanted: object) -> object:
        if wanted.get("decode"):
            await asyncio.to_thread(os.truncate, path, 500)
        return await inspect(path, **wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.inspector, "inspect", cut_off)
    ended = await bench.run(of_file())
    assert ended.failure is not None
    assert ended.failure.code is Code.OUTPUT_INVALID
    assert "ends at byte" in ended.failure.message
    assert os.listdir(bench.media) == ["clip.mp4"]


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
