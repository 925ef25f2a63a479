from fractions import Fraction

import pytest

from ffrtmp.domain import errors
from ffrtmp.domain.spec import Codec
from ffrtmp.planning import scenarios


@pytest.mark.parametrize(
    ("name", "height", "fps", "codec", "live"),
    [
        ("720p30-h264", 720, 30, Codec.H264, False),
        ("4K60-h265", 2160, 60, Codec.H265, False),
        ("4k60-hevc", 2160, 60, Codec.H265, False),
        ("1080p-h264", 1080, None, Codec.H264, False),
        ("live-4k", 2160, None, Codec.H264, True),
        ("480p25-av1", 480, 25, Codec.AV1, False),
    ],
)
def test_a_scenario_says_size_rate_and_codec(name: str, height: int, fps: int | None, codec: Codec, live: bool) -> None:
    found = scenarios.parse(name)
    assert found.resolution.height == height
    assert found.fps == (None if fps is None else Fraction(fps))
    assert (found.codec, found.live) == (codec, live)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("720p30-h26", "720p30-h264"), ("4k-h2645", "4K-h264"), ("live-1080", "live-1080p"), ("nonsense", "720p30-h264")],
)
def test_an_unknown_scenario_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(errors.InvalidInput) as raised:
        scenarios.parse(name)
    assert raised.value.code == "unknown_scenario"
    assert nearest in str(raised.value)


def test_every_name_that_is_offered_is_understood() -> None:
    for name in scenarios.known():
        scenarios.parse(name)
