"""Sessions of this node's GPUs, and what follows when an encoder of one fails."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.unit.agent.bench import SMALL, Bench, of_file

from ffrtmp.agent import messages as m
from ffrtmp.agent.gpus import Gpus
from ffrtmp.domain import node
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Result
from ffrtmp.domain.spec import Codec, Engine, Hwaccel, Requires

NVENC = node.Encoder(
    name="h264_nvenc", codec=Codec.H264, engine=Engine.FFMPEG, works=True, hwaccel=Hwaccel.NVENC, devices=["0"]
)
DECODER = node.Decoder(hwaccel=Hwaccel.NVENC, codec=Codec.H264, works=True, devices=["0"])
NAMED = msgspec.structs.replace(SMALL, hwaccel=Hwaccel.NVENC, requires=Requires(hwaccel=Hwaccel.NVENC))


def with_gpu(bench: Bench, sessions: int | None = None) -> Gpus:
    gpus = Gpus(sessions)
    bench.kit = msgspec.structs.replace(bench.kit, encoders=[NVENC, *bench.kit.encoders], decoders=[DECODER], gpus=gpus)
    return gpus


async def test_sessions_are_counted_by_device_and_for_the_node() -> None:
    gpus = Gpus(2)
    async with gpus.session("0"), gpus.session("1"):
        assert (dict(gpus.load), gpus.full) == ({"0": 1, "1": 1}, True)
        third = asyncio.create_task(_held(gpus))
        await asyncio.sleep(0)
        assert not third.done()
    await third
    assert gpus.load["0"] == gpus.load["1"] == 0
    assert Gpus(0).full
    assert not Gpus(None).full


async def _held(gpus: Gpus) -> None:
    async with gpus.session("0"):
        assert not gpus.full or gpus.load.get("0")


async def test_one_that_looked_and_took_nothing_does_not_keep_the_next_waiting() -> None:
    gpus = Gpus(1)
    async with gpus.session("0"):
        looks, wants = asyncio.create_task(gpus.room()), asyncio.create_task(_held(gpus))
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await looks
        await wants


async def test_a_gpu_that_fails_is_followed_by_software_and_each_step_is_told(bench: Bench, clip: Path) -> None:
    """The encoder was said to work; here FFmpeg finds that it does not."""
    gpus = with_gpu(bench)
    ended = await bench.run(of_file())
    assert ended.failure is None
    assert ended.result is not None
    made: Result = ended.result
    assert made.encoder == "libx264"
    assert made.device == ""
    assert [step.settings for step in made.steps] == [
        "h264_nvenc on 0, which decodes too",
        "h264_nvenc on 0",
        "libx264",
    ]
    assert [step.failure and step.failure.code for step in made.steps] == [
        Code.ENCODER_UNAVAILABLE,
        Code.ENCODER_UNAVAILABLE,
        None,
    ]
    assert made.encoder_reason == "best that works for h264; h264_nvenc failed"
    assert gpus.load["0"] == 0
    [log] = bench.master.logs.values()
    assert "h264_nvenc on 0 failed (encoder_unavailable)" in log


async def test_a_named_gpu_is_never_replaced(bench: Bench) -> None:
    with_gpu(bench)
    ended = await bench.run(NAMED)
    assert ended.failure is not None
    assert ended.failure.code is Code.ENCODER_UNAVAILABLE
    assert ended.result is not None
    assert ended.result.encoder == "h264_nvenc"


async def test_a_named_gpu_is_waited_for(bench: Bench) -> None:
    gpus = with_gpu(bench, sessions=1)
    async with gpus.session("0"):
        task = bench.start(NAMED)
        await bench.until(m.TaskProgress)
        [told] = [event for event in bench.told if isinstance(event, m.TaskProgress)]
        assert told.progress.phase == "waits for a GPU session"
        assert not [event for event in bench.told if isinstance(event, m.TaskEnded)]
    await task.wait()
    assert bench.end().failure is not None  # there is no GPU


async def test_without_a_free_session_it_is_software_at_once(bench: Bench) -> None:
    gpus = with_gpu(bench, sessions=1)
    async with gpus.session("0"):
        ended = await bench.run(SMALL)
    assert ended.failure is None
    assert ended.result is not None
    assert (ended.result.encoder, ended.result.steps) == ("libx264", [])
    assert "GPU sessions are in use" in ended.result.encoder_reason


@pytest.mark.parametrize("code", [Code.DISK_LIMIT])
async def test_what_software_cannot_mend_is_not_tried_again(bench: Bench, clip: Path, code: Code) -> None:
    """The limit is the job's own, whoever encodes."""
    from ffrtmp.agent import encode
    from ffrtmp.domain.errors import TaskError

    with_gpu(bench)

    async def full(*_: object, beside: str = "") -> None:
        if not beside:
            raise TaskError(code, "full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "run_all", full)
        ended = await bench.run(of_file())
    assert ended.failure is not None
    assert ended.failure.code is code
    assert ended.result is not None
    assert ended.result.steps == []


async def test_a_floor_that_a_gpu_misses_is_tried_in_software(bench: Bench, clip: Path) -> None:
    from ffrtmp.agent import encode
    from ffrtmp.agent.attempt import Attempt
    from ffrtmp.domain.errors import TaskError

    with_gpu(bench)
    whole = encode.run_all

    async def low(attempt: Attempt, *rest: object, beside: str = "") -> None:
        if attempt.made.device and not beside:
            raise TaskError(Code.QUALITY_TOO_LOW, "its VMAF is 70.00, below the floor of 80")
        await whole(attempt, *rest, beside=beside)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "run_all", low)
        ended = await bench.run(of_file())
    assert ended.failure is None
    assert ended.result is not None
    assert ended.result.encoder == "libx264"
    assert [step.failure and step.failure.code for step in ended.result.steps] == [
        Code.QUALITY_TOO_LOW,
        Code.QUALITY_TOO_LOW,
        None,
    ]
