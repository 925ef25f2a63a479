"""Whole attempts towards a size or a VMAF: real ffmpeg, the real inspector, a real clip."""

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest
from tests.unit.agent import simulated
from tests.unit.agent.bench import Bench, content

from ffrtmp.agent import messages as m
from ffrtmp.domain import codecs as codec_rules
from ffrtmp.domain import node, spec
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Result
from ffrtmp.domain.units import Resolution
from ffrtmp.media import codecs, samples

BUNNY = Path(__file__).parents[2] / "media" / "bunny.mp4"


@pytest.fixture
def bench(bench: Bench) -> Bench:
    shutil.copy(BUNNY, bench.media / "bunny.mp4")
    return bench


def aimed(**rate: object) -> spec.Spec:
    return msgspec.structs.replace(
        simulated.SPEC,
        input=spec.Input(kind=spec.InputKind.FILE, path="bunny.mp4"),
        preset=spec.Preset.ULTRAFAST,
        resolution=Resolution(320, 180),
        rate=spec.Rate(**rate),  # type: ignore[arg-type]
        requires=spec.Requires(),
    )


def for_vmaf(target: float, **more: object) -> spec.Spec:
    made = aimed(mode=spec.RateMode.CRF, target_vmaf=target)
    return msgspec.structs.replace(
        made, verify=spec.VerifyLevel.QUALITY, vmaf_min=10.0, audio=spec.Audio(codec=spec.AudioCodec.NONE), **more
    )


def for_size(target: int, mode: spec.RateMode = spec.RateMode.TWO_PASS, **more: object) -> spec.Spec:
    return msgspec.structs.replace(aimed(mode=mode, target_bytes=target), **more)


async def made(bench: Bench, what: spec.Spec) -> Result:
    ended = await bench.run(what)
    assert ended.failure is None, ended.failure
    assert ended.result is not None
    return ended.result


async def failure(bench: Bench, what: spec.Spec) -> tuple[Code, str]:
    ended = await bench.run(what)
    assert ended.failure is not None
    return ended.failure.code, ended.failure.message


@pytest.mark.parametrize("target", [80.0, 93.0])
async def test_a_whole_short_clip_lands_on_its_target(bench: Bench, target: float) -> None:
    result = await made(bench, for_vmaf(target))
    found = result.search
    assert found is not None
    assert (found.samples, found.frames) == (1, 132)
    assert result.quality is not None
    measured = result.quality.scores["vmaf"].mean
    assert measured == pytest.approx(target, abs=0.5)
    assert measured == pytest.approx(found.vmaf, abs=0.3)
    assert result.command[result.command.index("-crf") + 1] == f"{found.crf:g}"
    assert [point.crf for point in found.points] == sorted(point.crf for point in found.points)
    assert (found.default_vmaf > measured) == (found.default_crf < found.crf)
    assert found.seconds > 0
    phases = {event.progress.phase.split()[0] for event in bench.told if isinstance(event, m.TaskProgress)}
    assert {"search", "encode", "verify"} <= phases


@pytest.mark.parametrize("at_once", [16, 3])
async def test_a_longer_clip_is_searched_on_samples(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Five times the clip, each time in other colours. The samples are taken at once, or so many at a time."""
    monkeypatch.setattr(samples, "_OPEN_PIXELS", at_once * 160 * 90)
    longer = bench.media / "longer.mkv"
    copies = ";".join(f"[0:v]scale=160:90,hue=h={30 * n},crop=160:90[v{n}]" for n in range(5))
    joined = "".join(f"[v{n}]" for n in range(5)) + "concat=n=5[v]"
    argv = [bench.kit.tools.ffmpeg, "-v", "error", "-i", str(BUNNY), "-filter_complex", f"{copies};{joined}"]
    process = await asyncio.create_subprocess_exec(*argv, "-map", "[v]", "-c:v", "ffv1", str(longer))
    assert await process.wait() == 0
    what = msgspec.structs.replace(
        for_vmaf(88.0, start=1.0),
        input=spec.Input(kind=spec.InputKind.FILE, path="longer.mkv"),
        resolution=None,
    )
    result = await made(bench, what)
    found = result.search
    assert found is not None
    assert found.samples == 8
    assert found.frames == 192
    assert {point.frames for point in found.points} == {48, 192}
    assert result.quality is not None
    assert result.quality.scores["vmaf"].mean == pytest.approx(88.0, abs=1.5)  # of a clip of 25 s


async def test_ten_bits_are_searched_too(bench: Bench) -> None:
    argv = [bench.kit.tools.ffmpeg, "-v", "error", "-i", str(BUNNY), "-frames:v", "25", "-pix_fmt", "yuv420p10le"]
    process = await asyncio.create_subprocess_exec(*argv, "-c:v", "ffv1", str(bench.media / "ten.mkv"))
    assert await process.wait() == 0
    what = msgspec.structs.replace(
        for_vmaf(85.0),
        input=spec.Input(kind=spec.InputKind.FILE, path="ten.mkv"),
        codec=spec.Codec.H265,
        container=spec.Container.MKV,
        requires=spec.Requires(),
    )
    result = await made(bench, what)
    assert result.quality is not None
    assert result.quality.pixel_format == "yuv420p10le"
    assert result.quality.scores["vmaf"].mean == pytest.approx(85.0, abs=0.7)


async def test_a_vmaf_that_nothing_reaches_is_told_with_the_best(bench: Bench) -> None:
    rate = spec.Rate(mode=spec.RateMode.CRF, target_vmaf=95.0, max_bitrate_bps=60_000)
    code, message = await failure(bench, msgspec.structs.replace(for_vmaf(95.0), rate=rate))
    assert code is Code.RATE_UNREACHABLE
    assert "target_vmaf 95 is not reached: even crf 4 gives " in message
    assert bench.master.stored == {}


async def test_a_cancel_ends_the_search(bench: Bench) -> None:
    task = bench.start(for_vmaf(93.0))
    while not any(isinstance(event, m.TaskStarted) for event in bench.told):
        bench.changed.clear()
        await bench.changed.wait()
    task.kill(now=True)
    await task.wait()
    assert bench.end().failure is None
    assert task.attempt.made.search is None
    assert task.attempt.child is None


@pytest.mark.parametrize("mode", [spec.RateMode.TWO_PASS, spec.RateMode.BITRATE])
@pytest.mark.parametrize("target", [60_000, 300_000])
async def test_a_size_is_an_upper_bound(bench: Bench, mode: spec.RateMode, target: int) -> None:
    result = await made(bench, for_size(target, mode, audio=spec.Audio(bitrate_bps=32_000, channels=1)))
    [file] = result.outputs
    assert 0.85 * target <= file.size_bytes <= target
    fit = result.fit
    assert fit is not None
    assert fit.encodes[-1].size_bytes == file.size_bytes
    assert all(one.size_bytes > target for one in fit.encodes[:-1])


ENCODERS = [
    (one, container)
    for one, container in zip(
        codecs.ENCODERS,
        [spec.Container.TS, spec.Container.MKV, spec.Container.MP4, spec.Container.MKV, *2 * [spec.Container.WEBM]],
        strict=True,
    )
]


@pytest.mark.parametrize(("encoder", "container"), ENCODERS, ids=[one.name for one, _ in ENCODERS])
async def test_every_encoder_keeps_to_a_size_and_finds_a_vmaf(
    bench: Bench, encoder: codecs.Encoder, container: spec.Container
) -> None:
    works = node.Encoder(name=encoder.name, codec=encoder.codec, engine=spec.Engine.FFMPEG, works=True)
    bench.kit = msgspec.structs.replace(bench.kit, encoders=[works])
    same = {"codec": encoder.codec, "container": container, "duration": 1.0, "resolution": Resolution(192, 108)}
    if encoder.codec is spec.Codec.VP8:
        same["preset"] = (
            spec.Preset.MEDIUM
        )  # its fast ones are for real time: libvpx does worse where the machine is busy
    result = await made(bench, for_size(30_000, **same))
    assert 0.6 * 30_000 <= result.outputs[0].size_bytes <= 30_000
    bench.told.clear()
    result = await made(bench, for_vmaf(85.0, **same))
    assert result.search is not None
    assert result.encoder == encoder.name
    assert result.quality is not None
    a_step = 1.0 if codec_rules.RULES[encoder.codec].crf_whole else 0.0
    assert result.quality.scores["vmaf"].mean == pytest.approx(85.0, abs=0.5 + a_step), result.search


async def test_what_comes_out_larger_is_encoded_once_more(bench: Bench) -> None:
    """A short clip in one pass: nothing is known of it, and x264 begins too high."""
    what = for_size(40_000, spec.RateMode.BITRATE, duration=1.0, audio=spec.Audio(codec=spec.AudioCodec.NONE))
    result = await made(bench, what)
    fit = result.fit
    assert fit is not None
    assert len(fit.encodes) == 2
    assert fit.encodes[0].size_bytes > 40_000 >= fit.encodes[1].size_bytes == result.outputs[0].size_bytes
    assert fit.encodes[1].bitrate_bps < fit.encodes[0].bitrate_bps


async def test_copied_sound_counts_with_its_bytes(bench: Bench) -> None:
    target = content_size(bench)
    result = await made(bench, for_size(target, audio=spec.Audio(codec=spec.AudioCodec.COPY)))
    assert result.fit is not None
    assert len(result.fit.encodes) == 1
    assert result.fit.beside_bytes > 45_000  # 5.3 s of AAC at 70 kb/s
    assert result.outputs[0].size_bytes <= target


def content_size(bench: Bench) -> int:
    return len(content(bench.media / "bunny.mp4")) // 2


async def test_a_size_that_cannot_hold_it_names_one_that_could(bench: Bench) -> None:
    code, message = await failure(bench, for_size(50_000, audio=spec.Audio(bitrate_bps=96_000)))
    assert code is Code.RATE_UNREACHABLE
    assert "target_size 50000 bytes cannot hold 5.3 s of 320x180" in message
    able = int(message.split("b/s; ")[1].split(" bytes")[0])
    bench.told.clear()
    result = await made(bench, for_size(able + 20_000, audio=spec.Audio(bitrate_bps=96_000)))
    assert result.outputs[0].size_bytes <= able + 20_000
