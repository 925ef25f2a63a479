"""Loudness by EBU R128, in two passes: measure, then move the whole programme. FFmpeg's `loudnorm` does both.

Where the target can be met by a single gain, nothing but the gain changes (`linear`); where peaks would go beyond the limit,
or the range is wider than asked, `loudnorm` follows the programme (`dynamic`). Source: EBU R 128 and EBU Tech 3341, 3342.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import Loudness
from ffrtmp.media.arguments import number

#: what the filter takes for its target range
_LEAST_RANGE, _MOST_RANGE = 1.0, 50.0
#: below the absolute gate of BS.1770 there is nothing to measure
_SILENCE_LUFS = -70.0
#: EBU R128 allows 0.5 LU to a programme, 1 LU where it cannot be done exactly; codecs move it by less
TOLERANCE_LU = 1.0
#: a lossy codec adds to the peaks of what it is given
PEAK_TOLERANCE_DB = 1.0
_REPORT = re.compile(r"\{[^{}]*\"input_i\"[^{}]*\}")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One track, as it was measured. LUFS, dBTP, LU."""

    integrated: float
    true_peak: float
    range: float
    threshold: float
    offset: float

    @property
    def silent(self) -> bool:
        return not math.isfinite(self.integrated) or self.integrated <= _SILENCE_LUFS


def measuring(target: Loudness) -> str:
    """The filter of the first pass."""
    return f"{_target(target, None)}:print_format=json"


def normalising(target: Loudness, measured: Measured, sample_rate: int) -> tuple[str, ...]:
    """The filters of the second pass. None for a track in which nothing is heard: there is no loudness to move."""
    if measured.silent:
        return ()
    return (
        f"{_target(target, measured)}:measured_I={number(measured.integrated)}:measured_TP={number(measured.true_peak)}"
        f":measured_LRA={number(measured.range)}:measured_thresh={number(measured.threshold)}"
        f":offset={number(measured.offset)}:linear=true",
        f"aresample={sample_rate}",  # where it follows the programme, the filter works at 192 kHz
    )


def _target(target: Loudness, measured: Measured | None) -> str:
    """Without a range that was asked for, the programme's own is the target: nothing is compressed for its sake."""
    wanted = target.range_lu
    if wanted is None:
        own = _MOST_RANGE if measured is None else math.ceil(measured.range)
        wanted = min(max(float(own), _LEAST_RANGE), _MOST_RANGE)
    return f"loudnorm=I={number(target.integrated_lufs)}:TP={number(target.true_peak_db)}:LRA={number(wanted)}"


def read(log: str) -> Measured:
    """What `loudnorm` printed at its end. Raises TaskError(engine_failed)."""
    reports = _REPORT.findall(log)
    if not reports:
        raise errors.TaskError(Code.ENGINE_FAILED, "ffmpeg ended well, but its loudnorm filter reported no loudness")
    report: dict[str, Any] = json.loads(reports[-1])
    return Measured(
        integrated=float(report["input_i"]),
        true_peak=float(report["input_tp"]),
        range=float(report["input_lra"]),
        threshold=float(report["input_thresh"]),
        offset=float(report["target_offset"]),
    )


def problems(target: Loudness, pairs: Sequence[tuple[Measured, Measured]]) -> list[str]:
    """Where the output (the second of each track's measurements) misses the target."""
    found: list[str] = []
    for track, (was, now) in enumerate(pairs, 1):
        if was.silent:
            continue
        if not abs(now.integrated - target.integrated_lufs) <= TOLERANCE_LU:
            room = was.integrated + target.true_peak_db - was.true_peak  # as loud as a gain alone can make it
            hint = f"; its peaks leave room for {room:.1f}" if room < target.integrated_lufs else ""
            found.append(
                f"the loudness of audio track {track} is {now.integrated:.1f} LUFS, not {target.integrated_lufs:g} "
                f"(± {TOLERANCE_LU:g} LU){hint}"
            )
        if now.true_peak > target.true_peak_db + PEAK_TOLERANCE_DB:
            found.append(
                f"the true peak of audio track {track} is {now.true_peak:.1f} dBTP, "
                f"above {target.true_peak_db:g} (and {PEAK_TOLERANCE_DB:g} dB for the codec)"
            )
    return found


def told(measured: Measured) -> dict[str, float | None]:
    """For metrics: what JSON cannot say is null."""
    values = {"lufs": measured.integrated, "true_peak_db": measured.true_peak, "range_lu": measured.range}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
