"""Which sizes a ladder has."""

import itertools

import pytest
from tests.unit.media.command_lines import SOURCE, VIDEO, changed, spec

from ffrtmp.domain.spec import Codec, Ladder, OutputMode, Rung
from ffrtmp.domain.units import Resolution
from ffrtmp.media import rungs

AUTO = Ladder()


def planned(width, height, measured=None, **parts):
    rate = parts.pop("source_rate", "25")
    source = changed(SOURCE, video=[changed(VIDEO, width=width, height=height, rate=rate)])
    return rungs.plan(spec(output_mode=OutputMode.HLS, **{"ladder": AUTO, **parts}), source, measured)


def sizes(found):
    return [(one.width, one.height) for one in found[0]]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ((3840, 2160), [(3840, 2160), (2560, 1440), (1920, 1080), (1280, 720), (960, 540), (768, 432), (416, 234)]),
        ((1920, 1080), [(1920, 1080), (1280, 720), (960, 540), (768, 432), (416, 234)]),
        ((1080, 1920), [(1080, 1920), (720, 1280), (540, 960), (432, 768), (234, 416)]),
        ((1920, 804), [(1920, 804), (1280, 536), (960, 402), (768, 322), (416, 174)]),
        ((640, 480), [(640, 480), (480, 360), (312, 234)]),
        ((1000, 562), [(1000, 562), (768, 432), (416, 234)]),
        ((160, 90), [(160, 90)]),
        ((7680, 4320), [(3840, 2160), (2560, 1440), (1920, 1080), (1280, 720), (960, 540), (768, 432), (416, 234)]),
    ],
)
def test_standard_sizes_below_the_source(source, expected):
    assert sizes(planned(*source)) == expected


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265, Codec.VP9, Codec.AV1])
def test_every_size_of_every_source_is_even_in_order_and_not_scaled_up(codec):
    for width, height in itertools.product(range(16, 4400, 271), repeat=2):
        found, _ = planned(width, height, codec=codec)
        assert found
        assert len({one.name for one in found}) == len(found)
        for one in found:
            assert one.width % 2 == one.height % 2 == 0
            assert one.width <= width
            assert one.height <= height
        caps = [one.spec.rate.max_bitrate_bps for one in found]
        assert caps == sorted(caps, reverse=True)
        areas = [one.width * one.height for one in found]
        assert areas == sorted(areas, reverse=True)


def test_caps_are_those_of_the_table_and_more_for_many_frames():
    assert [one.spec.rate.max_bitrate_bps for one in planned(1280, 720)[0]] == [
        4_500_000,
        2_000_000,
        1_100_000,
        145_000,
    ]
    assert planned(1280, 720, source_rate="50")[0][0].spec.rate.max_bitrate_bps == 6_300_000


def test_the_jobs_own_cap_is_kept():
    found, _ = planned(1280, 720, rate=rungs.capped(spec(), None, Resolution(None, 432), (1280, 720)))
    assert found[0].spec.rate.max_bitrate_bps == 1_100_000


@pytest.mark.parametrize(
    ("measured", "cap"), [(3_000_000, 4_500_000), (2_000_000, 3_000_000), (1000, 1_800_000), (90_000_000, 6_750_000)]
)
def test_content_moves_the_caps_within_bounds(measured, cap):
    found, notes = planned(1280, 720, measured)
    assert found[0].spec.rate.max_bitrate_bps == cap
    assert notes[0].startswith("caps x ")


def test_rungs_that_gain_nothing_are_left_out():
    found, notes = planned(1920, 1080, 200_000)
    assert sizes((found,)) == [(1920, 1080), (1280, 720)]
    assert "540p is left out: the next larger one takes about 109 kb/s only" in notes


def test_named_rungs_of_an_upright_source_are_named_by_their_shorter_side():
    ladder = Ladder(rungs=[Rung(resolution=Resolution(None, lines)) for lines in (1080, 720, 360)])
    found = planned(720, 1280, ladder=ladder)
    assert [(one.name, one.width, one.height) for one in found[0]] == [("720p", 720, 1280), ("360p", 360, 640)]
    assert len(found[1]) == 1


@pytest.mark.parametrize("named", [Resolution(None, 720), Resolution(1280, 720), Resolution(720, 1280)])
def test_an_upright_source_gets_the_rungs_of_one_that_lies(named):
    ladder = Ladder(rungs=[Rung(resolution=named), Rung(resolution=Resolution(640, 360))])
    for source, expected in (((1080, 1920), [(720, 1280), (360, 640)]), ((1920, 1080), [(1280, 720), (640, 360)])):
        found, notes = planned(*source, ladder=ladder)
        assert (sizes((found, notes)), notes) == (expected, [])
        assert [one.spec.rate.max_bitrate_bps for one in found] == [4_500_000, 365_000]
