"""Attempts under the limits of their job."""

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.unit.agent.bench import LONG, SMALL, Bench, content, of_file

from ffrtmp.agent import attempt
from ffrtmp.agent import messages as m
from ffrtmp.domain.command import Command
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import (
    Audio,
    Limits,
    Loudness,
    Rate,
    RateMode,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.process import cgroups, run
from ffrtmp.process.confine import Limiter


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
