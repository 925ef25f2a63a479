"""What FFmpeg's filters say of each frame → the scores of a whole video. Read line by line: a film has 200,000 frames.

vmaf.csv   Frame,integer_adm2,…,vmaf,    a line for each frame that VMAF looked at
psnr.txt   n:1 mse_avg:20.14 … psnr_avg:35.09 psnr_y:33.70 …    `inf` where there is no difference
ssim.txt   n:1 Y:0.952733 U:0.983311 V:0.981937 All:0.962696 (14.282351)
"""

import contextlib
import heapq
import itertools
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Quality, Scores
from ffrtmp.domain.spec import Metric
from ffrtmp.media.comparison import LOGS, Plan

Frame = tuple[int, dict[str, float]]  #: its number from 0, and its values by name
#: a name in the logs → a name in the result
_PSNR = {"psnr_avg": "psnr", "psnr_y": "psnr_y", "psnr_u": "psnr_u", "psnr_v": "psnr_v", "mse_avg": "mse"}
_SSIM = {"All": "ssim", "Y": "ssim_y", "U": "ssim_u", "V": "ssim_v"}
#: what is summed up, and in which steps its values are counted
_STEPS = {"vmaf": 0.01, "psnr": 0.01, "psnr_y": 0.01, "ssim": 0.00001, "ssim_y": 0.00001}


#: the values of each frame, as they are gathered for a report
_EACH_FRAME = "frames.json"
_FRAMES_FOLLOW = ',"each_frame":['


class Pool:
    """Sums up one value of all frames in bounded memory: percentiles come from counts of rounded values."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._counts: Counter[int] = Counter()
        self._sum = self._inverse = 0.0
        self._least, self._most = math.inf, -math.inf
        self.count = 0
        self.unbounded = 0

    def add(self, value: float) -> None:
        self._least, self._most = min(self._least, value), max(self._most, value)
        if math.isinf(value):
            self.unbounded += 1
            return
        self.count += 1
        self._sum += value
        self._inverse += 1 / (value + 1)  # as libvmaf: a frame with 0 does not make the whole 0
        self._counts[round(value / self._step)] += 1

    def scores(self, overall: float | None = None) -> Scores:
        """Means are of the frames that have a bound; percentiles of all."""
        return Scores(
            mean=_shown(self._sum / self.count if self.count else math.inf),
            harmonic_mean=_shown(self.count / self._inverse - 1 if self.count else math.inf),
            min=_shown(self._least),
            max=_shown(self._most),
            p1=self._percentile(0.01),
            p5=self._percentile(0.05),
            p50=self._percentile(0.5),
            overall=None if overall is None else _shown(overall),
        )

    def _percentile(self, part: float) -> float | None:
        """The lowest value that at least this part of the frames does not exceed."""
        wanted = math.ceil(part * (self.count + self.unbounded))
        for value, count in sorted(self._counts.items()):
            wanted -= count
            if wanted <= 0:
                return _shown(value * self._step)
        return None


def _shown(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _vmaf(log: TextIO) -> Iterator[Frame]:
    names = next(log, "").strip().split(",")
    number, score = names.index("Frame"), names.index("vmaf")
    for line in log:
        values = line.split(",")
        yield int(values[number]), {"vmaf": float(values[score])}


def _psnr(log: TextIO) -> Iterator[Frame]:
    return _pairs(log, _PSNR)


def _ssim(log: TextIO) -> Iterator[Frame]:
    return _pairs(log, _SSIM)


def _pairs(log: TextIO, names: dict[str, str]) -> Iterator[Frame]:
    for line in log:
        values = dict(part.split(":", 1) for part in line.split() if ":" in part)
        yield int(values["n"]) - 1, {ours: float(values[name]) for name, ours in names.items() if name in values}


_READERS: dict[Metric, Callable[[TextIO], Iterator[Frame]]] = {
    Metric.VMAF: _vmaf,
    Metric.PSNR: _psnr,
    Metric.SSIM: _ssim,
}


def frames(scratch: Path, metrics: Iterable[Metric]) -> Iterator[Frame]:
    """Every frame that a log speaks of, in order. Raises TaskError(engine_failed) for a log that cannot be read."""
    logs = [_read(scratch / LOGS[metric], _READERS[metric]) for metric in metrics]
    for number, same in itertools.groupby(heapq.merge(*logs, key=itemgetter(0)), key=itemgetter(0)):
        yield number, {name: value for _, values in same for name, value in values.items()}


def _read(path: Path, reader: Callable[[TextIO], Iterator[Frame]]) -> Iterator[Frame]:
    try:
        with path.open() as log:
            yield from reader(log)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise errors.TaskError(Code.ENGINE_FAILED, f"FFmpeg's {path.name} cannot be read: {error}") from error


def quality(planned: Plan, scratch: Path, report: Path | None = None, *, each: bool = False) -> Quality:
    """The scores; with `report`, also written there as JSON, `each` frame among them. Blocking: seconds for a film.

    Raises TaskError(not_comparable) when the two videos had no frame together.
    """
    pools = {name: Pool(step) for name, step in _STEPS.items()}
    compared, squared = 0, 0.0
    with contextlib.ExitStack() as opened:
        listed = opened.enter_context((scratch / _EACH_FRAME).open("w")) if each else None
        for number, values in frames(scratch, planned.metrics):
            compared += 1
            squared += values.get("mse", 0.0)
            for name in pools.keys() & values.keys():
                pools[name].add(values[name])
            if listed is not None:
                shown = {name: round(value, 6) for name, value in values.items()}
                listed.write((",\n" if compared > 1 else "") + _json({"n": number, **shown}))
    if not compared:
        raise errors.TaskError(Code.NOT_COMPARABLE, "the video and its reference have no frame at the same time")
    found = msgspec.structs.replace(
        planned.described(),
        scores={
            name: pool.scores(_overall(squared / compared, planned.bits) if name == "psnr" else None)
            for name, pool in pools.items()
            if pool.count or pool.unbounded
        },
        frames=compared,
        equal_frames=pools["psnr"].unbounded if Metric.PSNR in planned.metrics else None,
    )
    if report is not None:
        _write(report, found, scratch / _EACH_FRAME if each else None)
    return found


def mean(scratch: Path, metric: Metric, wanted: Callable[[int], bool]) -> float:
    """Of the frames whose numbers are wanted; 0 when there are none."""
    pool = Pool(_STEPS[metric.value])
    for number, values in frames(scratch, [metric]):
        if wanted(number):
            pool.add(values[metric.value])
    return pool.scores().mean or 0.0


def _overall(mean_squared_error: float, bits: int) -> float:
    """The PSNR of a whole video in dB, as FFmpeg's `average` has it: 10 log10(peak² / mean squared error)."""
    peak = 2**bits - 1
    return 10 * math.log10(peak * peak / mean_squared_error) if mean_squared_error else math.inf


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()  # what has no bound becomes null


def _write(report: Path, found: Quality, each_frame: Path | None) -> None:
    """The scores stand in the first line. The frames are copied from their file: they never are in memory together."""
    head = _json(found)
    with report.open("w") as file:
        if each_frame is None:
            file.write(head + "\n")
            return
        file.write(head.removesuffix("}") + _FRAMES_FOLLOW + "\n")
        with each_frame.open() as lines:
            shutil.copyfileobj(lines, file)
        file.write("\n]}\n")


def read(report: Path) -> Quality:
    """The scores of a report that `quality` wrote."""
    with report.open() as file:
        head = file.readline().rstrip("\n")
    if head.endswith(_FRAMES_FOLLOW):
        head = head.removesuffix(_FRAMES_FOLLOW) + "}"
    return msgspec.json.decode(head, type=Quality)
