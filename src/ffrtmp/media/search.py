"""Which CRF gives a VMAF: what to try next, and what follows from what was tried. Pure.

What a picture lacks of a perfect score grows by nearly the same factor with each step of the CRF: on 78 s of six real clips
libx264 lacked 4.8, 10.1 and 20.9 of 100 at 22, 28 and 34. So between two points it is the logarithm of what is lacking
that is a straight line, and a first guess needs one point only.
"""

import math
from collections.abc import Sequence

import msgspec

from ffrtmp.domain import codecs, errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import CurvePoint
from ffrtmp.domain.spec import Codec, Hwaccel

#: VMAF of equal pictures is 97 to 100: above 100 nothing is lost by a point that has no logarithm
_CEILING = 100.5
#: of the codecs' default CRF: 95.0 with libx264, 91.4 with libx265, 94.6 with SVT-AV1, on those clips
_USUAL_VMAF = 93.5
#: the target is met within this
TOLERANCE = 0.5
#: near enough for a straight line from here to the target
NEAR, NEAR_OF_A_WHOLE_CLIP = 2.0, TOLERANCE
#: and for few samples, which only say where to try all
_NEAR_ENOUGH = 4.0
#: what was tried and is so near is surer than what lies beside it: of 25 frames libx265 had 84.88 at 26 and 85.60 at 25.9
_SURE = 0.15
MOST_TRIES = 6
#: too far for a line to either side
_FAR = 10.0
#: by how much the logarithm grows with one step of the CRF, until two points say it: libx264's and SVT-AV1's were measured; a
#: scale of 63 has finer steps than one of 51
_GROWTH = {Codec.H264: 0.12, Codec.H265: 0.12, Codec.VP8: 0.07, Codec.VP9: 0.07, Codec.AV1: 0.045}
#: what is usual counts as much as two points that are so many steps apart: nearer ones say little of the slope (of 72 frames, 1.7
#: apart, they once said half of what it was)
_USUAL_STEPS = 4.0


class Scale(msgspec.Struct, frozen=True):
    """What an encoder is asked at most."""

    best: float
    worst: float
    step: float
    growth: float
    default: float

    def rounded(self, crf: float) -> float:
        inside = min(max(crf, self.best), self.worst)
        return round(round(inside / self.step) * self.step, 3)


def scale(codec: Codec, hwaccel: Hwaccel | None) -> Scale:
    """CRF 0 is without loss in x264 and no CRF in SVT-AV1; the last few of each scale show nothing but blocks. GPUs take whole
    steps, and AV1's and libvpx's encoders too."""
    rules = codecs.RULES[codec]
    top = round(rules.crf_max)
    step = 1.0 if hwaccel is not None or rules.crf_whole else 0.1
    return Scale(4.0, top - 3.0, step, _GROWTH[codec], rules.crf_default)


def near(points: Sequence[CurvePoint], target: float, scale: Scale) -> float | None:
    """The next CRF to try on few samples; None: they have said what they can."""
    if not points:
        return _guess(target, scale)
    crf = at(points, target, scale)
    if len(points) >= MOST_TRIES or crf in {point.crf for point in points}:
        return None
    closest = _closest(points, target)
    return None if abs(closest.vmaf - target) <= _NEAR_ENOUGH else crf


def exact(
    points: Sequence[CurvePoint], few: Sequence[CurvePoint], target: float, scale: Scale, most: int
) -> float | None:
    """The next CRF to try on all samples, or on a whole clip; None: `at` knows. `few`: of samples; they say how steep it is."""
    if not points and not few:
        return _guess(target, scale)
    crf = at(points or few, target, scale, slopes=few)
    if not points:
        return crf
    if crf in (scale.best, scale.worst) and all(point.crf != crf for point in points):
        return crf  # what an end gives is known from nothing else
    closest = _closest(points, target)
    near = NEAR if few else NEAR_OF_A_WHOLE_CLIP
    if len(points) >= most or crf in {point.crf for point in points} or abs(closest.vmaf - target) <= near:
        return None
    return crf


def at(points: Sequence[CurvePoint], target: float, scale: Scale, slopes: Sequence[CurvePoint] = ()) -> float:
    """The CRF at which these points' curve reaches the target, as the encoder takes it. At least one point."""
    closest = _closest(points, target)
    if abs(closest.vmaf - target) <= _SURE:
        return closest.crf
    better = min((point for point in points if point.vmaf >= target), key=lambda point: point.vmaf, default=None)
    worse = max((point for point in points if point.vmaf < target), key=lambda point: point.vmaf, default=None)
    if better is not None and worse is not None and min(better.vmaf - target, target - worse.vmaf) > _FAR:
        return scale.rounded((better.crf + worse.crf) / 2)  # far from both the curve may be flat
    if better is not None and worse is not None and better.crf < worse.crf:
        share = (_lack(target) - _lack(better.vmaf)) / max(_lack(worse.vmaf) - _lack(better.vmaf), 1e-9)
        return scale.rounded(better.crf + min(max(share, 0.0), 1.0) * (worse.crf - better.crf))
    growth = _growth(points if len(points) > 1 else slopes, target, scale)
    return scale.rounded(closest.crf + (_lack(target) - _lack(closest.vmaf)) / growth)


def expected(
    points: Sequence[CurvePoint], crf: float, scale: Scale, slopes: Sequence[CurvePoint] = ()
) -> tuple[float, int]:
    """VMAF and bitrate (bits per second) that the points say of a CRF. At least one point."""
    closest = min(points, key=lambda point: abs(point.crf - crf))
    if closest.crf == crf:
        return closest.vmaf, closest.bitrate_bps
    along = points if len(points) > 1 else slopes
    growth = _growth(along, closest.vmaf, scale)
    vmaf = _CEILING - math.exp(_lack(closest.vmaf) + growth * (crf - closest.crf))
    return round(max(vmaf, 0.0), 3), round(closest.bitrate_bps * math.exp(_shrinking(along) * (crf - closest.crf)))


def check(points: Sequence[CurvePoint], target: float, scale: Scale, lack: float = 0.0) -> None:
    """Raises TaskError(rate_unreachable) when the best quality that is asked of the encoder is not enough. `lack`: how much less
    the points have than the whole."""
    best = next((point for point in points if point.crf <= scale.best), None)
    if best is not None and best.vmaf + lack < target - TOLERANCE:
        raise errors.TaskError(
            Code.RATE_UNREACHABLE,
            f"target_vmaf {target:g} is not reached: even crf {best.crf:g} gives {best.vmaf + lack:.2f}, as the samples say, at "
            f"{best.bitrate_bps / 1000:.0f} kb/s; {math.floor((best.vmaf + lack) * 10) / 10:g} could be",
        )


def _closest(points: Sequence[CurvePoint], target: float) -> CurvePoint:
    return min(points, key=lambda point: abs(point.vmaf - target))


def _guess(target: float, scale: Scale) -> float:
    return scale.rounded(scale.default + (_lack(target) - _lack(_USUAL_VMAF)) / scale.growth)


def _lack(vmaf: float) -> float:
    return math.log(_CEILING - min(vmaf, _CEILING - 0.5))


def _growth(points: Sequence[CurvePoint], target: float, scale: Scale) -> float:
    """Between the two points that are nearest to the target, and what is usual."""
    if len(points) < 2:
        return scale.growth
    one, other = sorted(points, key=lambda point: abs(point.vmaf - target))[:2]
    steps, grown = one.crf - other.crf, _lack(one.vmaf) - _lack(other.vmaf)
    if steps < 0:
        steps, grown = -steps, -grown
    return (max(grown, 0.0) + scale.growth * _USUAL_STEPS) / (steps + _USUAL_STEPS)


#: of the bitrate's logarithm with one step of the CRF, until two points say it: x264 halves it with six
_SHRINKING = -0.11


def _shrinking(points: Sequence[CurvePoint]) -> float:
    ordered = sorted((point for point in points if point.bitrate_bps), key=lambda point: point.crf)
    if len(ordered) < 2 or ordered[0].crf == ordered[-1].crf:
        return _SHRINKING
    first, last = ordered[0], ordered[-1]
    return math.log(last.bitrate_bps / first.bitrate_bps) / (last.crf - first.crf)
