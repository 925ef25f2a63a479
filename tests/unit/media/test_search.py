"""The arithmetic of a search: what is tried next, and what follows from it. No ffmpeg."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.domain import errors
from ffrtmp.domain.job import CurvePoint
from ffrtmp.domain.spec import Codec, Hwaccel
from ffrtmp.media import search
from ffrtmp.media.search import Scale

X264 = search.scale(Codec.H264, None)


def point(crf: float, vmaf: float, bitrate: int = 1_000_000) -> CurvePoint:
    return CurvePoint(crf=crf, vmaf=vmaf, bitrate_bps=bitrate, frames=100)


def searched(target: float, scale: Scale, curve, offset: float = 0.0, most: int = 2) -> tuple[float, list[CurvePoint]]:
    """As the agent does it: `curve` is of all samples, the few are off by `offset`."""
    few: list[CurvePoint] = []
    while (crf := search.near(few, target, scale)) is not None:
        few.append(point(crf, max(curve(crf) + offset, 0.0)))
    points: list[CurvePoint] = []
    while (crf := search.exact(points, few, target, scale, most)) is not None:
        points.append(point(crf, curve(crf)))
    search.check(points, target, scale)
    return search.at(points, target, scale, slopes=few), [*few, *points]


def test_scales():
    assert (X264.best, X264.worst, X264.step, X264.default) == (4, 48, 0.1, 23)
    assert X264.rounded(23.456) == 23.5
    vp9 = search.scale(Codec.VP9, None)
    assert (vp9.worst, vp9.step, vp9.rounded(99.0), vp9.rounded(0.2)) == (60, 1, 60, 4)
    assert search.scale(Codec.H265, Hwaccel.VAAPI).step == 1


def test_the_first_guess_is_what_the_default_gives_of_most_clips_and_how_far_that_is_from_the_target():
    assert search.near([], 93.5, X264) == 23
    assert search.exact([], [], 93.5, X264, 2) == 23
    assert 29 < search.near([], 85, X264) < 30
    assert search.near([], 100, X264) == search.exact([], [], 100, X264, 2) == pytest.approx(4, abs=0.5)


def test_two_tries_on_the_same_pictures_say_how_steep_the_curve_is():
    """The one on all samples says where it lies; what it gave on the few has no bitrate of its own."""
    few = [point(23, 93.5, 500_000), point(26, 83, 0)]
    crf = search.at([point(26, 91, 350_000)], 92, X264, slopes=few)
    assert crf == pytest.approx(25.4, abs=0.1)
    assert search.at([point(26, 91)], 92, X264) == pytest.approx(25.1, abs=0.1)
    assert search.expected([point(26, 91, 350_000)], 20, X264, slopes=few)[1] == pytest.approx(677_000, rel=0.01)


def test_one_point_and_the_usual_steepness_give_the_next():
    found = search.near([point(23, 96)], 90, X264)
    assert 28 < found < 32
    assert search.near([point(23, 92.8)], 93, X264) is None


def test_between_two_points_what_is_lacking_is_a_straight_line_of_logarithms():
    """The numbers that libx264 gave on six real clips: the one in the middle follows from its neighbours."""
    assert search.at([point(22, 95.186), point(34, 79.147)], 89.852, X264) == pytest.approx(28, abs=0.3)


def test_a_default_that_was_not_tried_is_told_from_the_curve():
    vmaf, bitrate = search.expected([point(22, 95.186, 574_000), point(34, 79.147, 115_000)], 28, X264)
    assert vmaf == pytest.approx(89.852, abs=0.4)
    assert bitrate == pytest.approx(238_000, rel=0.1)


@given(
    target=st.floats(60, 96),
    codec=st.sampled_from(list(Codec)),
    factor=st.floats(0.5, 2),
    middle=st.floats(0.2, 0.8),
    ceiling=st.floats(97, 100),
    offset=st.floats(-4, 4),
)
def test_every_curve_that_falls_is_met_or_its_end_is_told(target, codec, factor, middle, ceiling, offset):
    """A curve of that form, but with another ceiling than is taken for it, and few samples that are off."""
    scale = search.scale(codec, None)
    growth = factor * scale.growth
    centre = scale.best + middle * (scale.worst - scale.best)

    def curve(crf: float) -> float:
        return max(ceiling - 8 * math.exp(growth * (crf - centre)), 0.0)

    if curve(scale.best) < target - search.TOLERANCE:
        with pytest.raises(errors.TaskError, match="is not reached: even crf 4 gives"):
            searched(target, scale, curve, offset, most=6)
        return
    crf, tried = searched(target, scale, curve, offset, most=6)
    assert scale.best <= crf <= scale.worst
    assert len(tried) <= 2 * search.MOST_TRIES
    within = (
        2 * search.NEAR
    )  # from that near, by a slope that is taken for half of what it is: as far beyond, and the curve bends
    a_step = abs(curve(crf) - curve(min(crf + scale.step, scale.worst)))
    if curve(scale.worst) > target:
        assert curve(crf) > target - within - a_step
    else:
        assert abs(curve(crf) - target) <= within + a_step


def test_what_even_the_best_does_not_reach_is_told_with_what_could_be():
    with pytest.raises(errors.TaskError) as raised:
        search.check([point(30, 80), point(4, 91.27, 9_000_000)], 95, X264)
    assert raised.value.failure.code is errors.Code.RATE_UNREACHABLE
    assert raised.value.failure.message.endswith(
        "even crf 4 gives 91.27, as the samples say, at 9000 kb/s; 91.2 could be"
    )
    search.check([point(4, 94.6)], 95, X264)
    search.check([point(30, 80)], 95, X264)


def test_what_was_tried_and_is_near_is_surer_than_what_was_not():
    assert search.at([point(26, 84.877), point(30, 79)], 85, X264) == 26
    assert search.exact([point(26, 84.877)], [], 85, X264, 4) is None
