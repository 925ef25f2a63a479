"""Real ffmpeg measures and looks for defects; values are checked in a second way."""

import array
import asyncio
import math
from pathlib import Path

import av
import pytest

from ffrtmp.domain import errors
from ffrtmp.domain.command import Command
from ffrtmp.domain.job import Quality
from ffrtmp.domain.spec import Limits, Metric, Rate, RateMode
from ffrtmp.domain.units import Resolution
from ffrtmp.media import comparison, defects, scores
from ffrtmp.process import run

_MOVING = "testsrc2=size=192x108:rate=25:duration=2"


@pytest.fixture
def make(found_tools, tmp_path):
    """A clip from FFmpeg's arguments."""

    async def make(name: str, *arguments: str) -> Path:
        path: Path = tmp_path / name
        argv = (found_tools.ffmpeg, "-nostdin", "-v", "error", "-y", *arguments, str(path))
        outcome = await run.to_end(Command(name=f"make {name}", argv=argv))
        assert outcome.ok, outcome.log
        return path

    return make


@pytest.fixture
def reference(make):
    def reference(*filters: str, pixel_format: str = "yuv420p"):
        seen = ",".join([_MOVING, *filters])
        return make("reference.mkv", "-f", "lavfi", "-i", seen, "-c:v", "ffv1", "-pix_fmt", pixel_format)

    return reference


@pytest.fixture
def measure(found_tools, look, tmp_path):
    """Both files inspected, planned, compared and summed up."""

    async def measure(
        made: Path, reference: Path, *metrics: Metric, every: int = 1, start=0.0, duration=None
    ) -> Quality:
        sides = [
            comparison.side(path, await look(path, start=begin, duration=duration), start=begin, duration=duration)
            for path, begin in ((made, 0.0), (reference, start))
        ]
        comparison.check(*sides)
        plan = comparison.plan(*sides, metrics or [*Metric], every)
        command = comparison.build(plan, tools=found_tools, scratch=tmp_path, limits=Limits(), threads=2)
        outcome = await run.to_end(command, on_line=lambda _: None)
        assert outcome.ok, outcome.log
        assert outcome.log.strip() == ""
        return await asyncio.to_thread(scores.quality, plan, tmp_path)

    return measure


async def test_equal_files_have_no_difference(make, reference, measure):
    source = await reference()
    found = await measure(await make("copy.mp4", "-i", str(source), "-c:v", "libx264", "-qp", "0"), source)
    assert (found.frames, found.equal_frames) == (50, 50)
    assert found.scores["vmaf"].min >= 97
    assert found.scores["psnr"].overall is None
    assert found.scores["ssim"].min == 1
    assert found.notes == []


async def test_a_worse_crf_scores_lower_by_every_metric(make, reference, measure):
    source = await reference()
    found = [
        await measure(await make(f"{crf}.mp4", "-i", str(source), "-c:v", "libx264", "-crf", str(crf)), source)
        for crf in (20, 32, 44)
    ]
    for name in ("vmaf", "psnr", "psnr_y", "ssim", "ssim_y"):
        means = [one.scores[name].mean for one in found]
        assert means == sorted(means, reverse=True), name
        assert len(set(means)) == 3, name


def _pictures(path: Path) -> list[list[int]]:
    """The samples of all planes, frame by frame."""
    with av.open(str(path)) as container:
        return [[sample for plane in frame.planes for sample in _samples(plane)] for frame in container.decode(video=0)]


def _samples(plane) -> list[int]:
    code = "B" if plane.line_size < 2 * plane.width else "H"
    rows = array.array(code, bytes(plane))
    stride = plane.line_size // rows.itemsize
    return [sample for row in range(plane.height) for sample in rows[row * stride : row * stride + plane.width]]


@pytest.mark.parametrize(("pixel_format", "peak"), [("yuv420p", 255), ("yuv420p10le", 1023)], ids=["8 bits", "10 bits"])
async def test_psnr_is_what_its_formula_gives(make, reference, measure, pixel_format, peak):
    """Noise of a known seed, through a codec without loss; the sum is done again over the decoded pictures."""
    source = await reference(pixel_format=pixel_format)
    noisy = await make(
        "noisy.mkv", "-i", str(source), "-vf", "noise=alls=12:all_seed=7", "-c:v", "ffv1", "-pix_fmt", pixel_format
    )
    found = await measure(noisy, source, Metric.PSNR)
    assert found.pixel_format == pixel_format
    squares = [
        sum((one - other) ** 2 for one, other in zip(left, right, strict=True)) / len(left)
        for left, right in zip(_pictures(noisy), _pictures(source), strict=True)
    ]
    assert min(squares) > 0
    expected = 10 * math.log10(peak**2 * len(squares) / sum(squares))
    assert found.scores["psnr"].overall == pytest.approx(expected, abs=0.02)  # the log has two digits
    assert found.scores["psnr"].min == pytest.approx(10 * math.log10(peak**2 / max(squares)), abs=0.02)


async def test_subsampling_looks_at_fewer_frames_and_says_nearly_the_same(make, reference, measure):
    source = await reference()
    made = await make("made.mp4", "-i", str(source), "-c:v", "libx264", "-crf", "35")
    every, fifth = await measure(made, source, Metric.VMAF), await measure(made, source, Metric.VMAF, every=5)
    assert (every.frames, fifth.frames, fifth.every) == (50, 10, 5)
    assert fifth.scores["vmaf"].mean == pytest.approx(every.scores["vmaf"].mean, abs=3)


TIMES = {
    "rounded to milliseconds": ("made.mkv", ()),
    "from ten seconds": ("made.ts", ("-output_ts_offset", "10")),
    "at half the rate": ("made.mp4", ("-vf", "fps=12.5")),
    "at twice the rate": ("made.mp4", ("-vf", "fps=50")),
    "with frames left out": ("made.mkv", ("-vf", "select='not(eq(mod(n,7),3))'", "-fps_mode", "vfr")),
}


@pytest.mark.parametrize(("name", "arguments"), TIMES.values(), ids=TIMES)
async def test_frames_are_paired_by_their_times(make, reference, measure, name, arguments):
    """Without loss each frame has its equal, or a pair is a wrong one."""
    source = await reference("scale=192:108")
    made = await make(name, "-i", str(source), *arguments, "-c:v", "libx264", "-qp", "0", "-bf", "2")
    found = await measure(made, source, Metric.PSNR)
    after_the_last = name == "made.mp4" and found.frames_measured == 100  # nothing of the reference is at its time
    assert found.frames == found.frames_measured - after_the_last
    assert found.equal_frames == found.frames
    assert len(found.notes) == (found.frames_measured != found.frames_reference)


async def test_a_part_of_the_reference(make, reference, measure):
    source = await reference()
    part = await make(
        "part.mkv", "-i", str(source), "-vf", "trim=start_frame=13:end_frame=38,setpts=PTS-STARTPTS", "-c:v", "ffv1"
    )
    found = await measure(part, source, Metric.PSNR, start=0.52, duration=1.0)
    assert (found.frames, found.equal_frames) == (25, 25)


async def test_another_size_is_scaled_to_the_reference(make, reference, measure):
    source = await reference()
    half = await make("half.mp4", "-i", str(source), "-vf", "scale=96:54", "-c:v", "libx264", "-crf", "10")
    found = await measure(half, source)
    assert found.size == "192x108"
    assert "scaled from 96x54 to the reference's 192x108" in found.notes[0]
    assert found.scores["vmaf"].mean < 90


async def test_full_range_is_the_same_picture(make, reference, measure):
    source = await reference()
    full = await make(
        "full.mkv", "-i", str(source), "-vf", "scale=out_range=pc", "-c:v", "ffv1", "-pix_fmt", "yuvj420p"
    )
    found = await measure(full, source, Metric.PSNR)
    assert found.scores["psnr"].overall is None or found.scores["psnr"].overall > 45


async def test_ten_bits_against_eight(make, reference, measure):
    source = await reference(pixel_format="yuv420p10le")
    made = await make("made.mp4", "-i", str(source), "-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p")
    found = await measure(made, source)
    assert found.pixel_format == "yuv420p10le"
    assert "the video's yuv420p is compared as yuv420p10le" in found.notes
    assert found.scores["vmaf"].mean > 80


@pytest.fixture
def defects_of(found_tools, look, tmp_path):
    async def defects_of(path: Path, *, source: bool) -> defects.Defects:
        found = await look(path)
        part = defects.Part(
            path=path,
            video=found.main_video.index,
            audio=found.main_audio.index if found.main_audio else None,
            seconds=found.main_video.duration_seconds,
        )
        command = defects.command(part, tools=found_tools, scratch=tmp_path, limits=Limits(), threads=2, source=source)
        outcome = await run.to_end(command, on_line=lambda _: None)
        assert outcome.ok, outcome.log
        return await asyncio.to_thread(defects.read, tmp_path, part.seconds)

    return defects_of


_LONG = ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=6")
_TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=6")
SPOILT = {
    "black": ("-vf", "drawbox=enable='between(t,1,3.5)':color=black:t=fill"),
    "frozen": ("-vf", "loop=loop=74:size=1:start=50,trim=end_frame=150"),
    "silent": ("-af", "volume=0:enable='between(t,2,4)'"),
}


@pytest.mark.parametrize("kind", SPOILT)
async def test_what_only_the_output_has_is_a_fault(make, defects_of, kind):
    source = await make("source.mkv", *_LONG, *_TONE, "-c:v", "libx264", "-c:a", "aac")
    spoilt = await make("spoilt.mp4", "-i", str(source), *SPOILT[kind], "-c:v", "libx264", "-c:a", "aac")
    looked, of_source = await defects_of(spoilt, source=False), await defects_of(source, source=True)
    assert any(f"the output is {kind} at" in problem for problem in defects.problems(looked, of_source))
    again = await make("again.webm", "-i", str(spoilt), "-c:v", "libvpx", "-b:v", "1M", "-c:a", "libopus")
    of_spoilt = await defects_of(spoilt, source=True)
    assert defects.problems(await defects_of(again, source=False), of_spoilt) == [], "its input has it too"
    if kind == "frozen":
        assert looked.repeated >= 60 > of_source.repeated


async def test_grain_that_an_encoder_takes_away_is_no_freeze(make, defects_of):
    """A still picture with noise: at a high CRF its copy stands quite still."""
    still = "color=gray:size=320x180:rate=25:duration=4,noise=alls=6:allf=t"
    source = await make("source.mkv", "-f", "lavfi", "-i", still, "-c:v", "ffv1")
    made = await make("made.mp4", "-i", str(source), "-c:v", "libx264", "-crf", "51")
    looked = await defects_of(made, source=False)
    assert looked.spans["frozen"]
    assert defects.problems(looked, await defects_of(source, source=True)) == []


async def test_which_metrics_an_ffmpeg_has(found_tools):
    for metric in Metric:
        assert (await run.to_end(comparison.probe(found_tools, metric))).ok


async def test_a_film_with_nothing_in_common_is_refused(make, reference, measure):
    source = await reference()
    tall = await make("tall.mkv", "-i", str(source), "-vf", "crop=108:108", "-c:v", "ffv1")
    with pytest.raises(errors.TaskError, match="times as wide as high"):
        await measure(tall, source)


SOURCES = (
    "editlist.mp4",
    "offset.ts",
    "vfr.mkv",
    "mpeg4.avi",
    "hidden.webm",
    "late-picture.mp4",
    "turned.mp4",
    "odd.mkv",
)
SHAPES = {
    "whole": {},
    "cut": {"start": 0.9, "duration": 1.1},
    "smaller, at 20 fps": {"fps": "20", "resolution": Resolution(None, 72)},
}


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in SOURCES for shape in SHAPES if shape != "cut" or name not in ("turned.mp4", "odd.mkv")],
)
async def test_an_output_is_compared_with_what_its_encoder_was_given(
    transcode, sources, found_tools, tmp_path, name, shape
):
    """A pair of neighbours of these moving pictures has less than 29 dB; at this CRF no frame has less than 31."""
    path = sources(name)
    made = await transcode(path, rate=Rate(mode=RateMode.CRF, crf=12.0), **SHAPES[shape])
    assert made.verdict.problems == []
    plan = comparison.plan(
        comparison.side(made.path, made.found), comparison.encoded(path, made.source, made.spec), [Metric.PSNR]
    )
    command = comparison.build(plan, tools=found_tools, scratch=tmp_path, limits=Limits(), threads=2)
    outcome = await run.to_end(command, on_line=lambda _: None)
    assert outcome.ok, outcome.log
    found = await asyncio.to_thread(scores.quality, plan, tmp_path)
    most = 1 if "fps" in SHAPES[shape] else 0  # it may end one frame later than what is taken of the input
    assert 0 <= made.found.main_video.frames - found.frames <= most
    assert found.scores["psnr_y"].min > 31
