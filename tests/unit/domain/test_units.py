from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.domain import units


@pytest.mark.parametrize(
    ("text", "bps"),
    [
        ("2M", 2_000_000),
        ("2000k", 2_000_000),
        ("2000000", 2_000_000),
        (2_000_000, 2_000_000),
        ("2.5 Mbit/s", 2_500_000),
    ],
)
def test_a_bitrate_is_read_in_its_usual_spellings(text: object, bps: int) -> None:
    assert units.bitrate_bps(text) == bps


@pytest.mark.parametrize(
    "text", ["abc", "", "-2M", 0, "0", True, None, float("nan"), float("inf"), "2M; rm", "2X", "9" * 400]
)
def test_what_is_not_a_bitrate_is_refused_with_examples(text: object) -> None:
    with pytest.raises(ValueError, match="write it like 2M"):
        units.bitrate_bps(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), (90, 90), ("1:30", 90), ("0:01:30.5", 90.5), ("90s", 90), ("1h30m", 5400), ("7d", 604800), (0, 0)],
)
def test_a_time_is_read_in_its_usual_spellings(text: object, seconds: float) -> None:
    assert units.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "abc", "1:2:3:4", True, None, "1h30", float("inf"), 10**400, -(10**400)])
def test_what_is_not_a_time_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        units.seconds(text)


@pytest.mark.parametrize("text", [-5, "-5", "-0.1"])
def test_a_negative_time_is_named_as_such(text: object) -> None:
    with pytest.raises(ValueError, match="is negative"):
        units.seconds(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        (30, Fraction(30)),
        ("29.97", Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("25fps", Fraction(25)),
        (12.5, Fraction(25, 2)),
    ],
)
def test_a_frame_rate_is_exact(text: object, rate: Fraction) -> None:
    assert units.frame_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "1/0", "abc", -25, "1e99", "1e999999999", None, 2000])
def test_what_is_not_a_frame_rate_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"frame rate"):
        units.frame_rate(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1280x720", (1280, 720)),
        ("720p", (None, 720)),
        (720, (None, 720)),
        ("4K", (None, 2160)),
        ("640×360", (640, 360)),
    ],
)
def test_a_resolution_is_read_in_its_usual_spellings(text: object, size: tuple[int | None, int]) -> None:
    assert units.resolution(text) == units.Resolution(*size)


@pytest.mark.parametrize("text", ["", "x720", "1280x", "99999x99999", 8, "0x0", None, "12.5p"])
def test_what_is_not_a_resolution_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"resolution|out of range"):
        units.resolution(text)


@pytest.mark.parametrize(("text", "size"), [("700M", 700_000_000), ("1.5GiB", 1_610_612_736), ("1k", 1000), (5, 5)])
def test_a_size_knows_decimal_and_binary_units(text: object, size: int) -> None:
    assert units.size_bytes(text) == size


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans()))
def test_any_value_is_parsed_or_refused_with_a_sentence(value: object) -> None:
    for parse in (units.bitrate_bps, units.size_bytes, units.seconds, units.frame_rate, units.resolution):
        refusal = None
        try:
            parse(value)
        except ValueError as error:
            refusal = str(error)
        assert refusal is None or repr(value) in refusal


@pytest.mark.parametrize(("duration", "text"), [(0.42, "0.4s"), (93.4, "1:33"), (7384, "2:03:04")])
def test_times_are_shown_as_people_write_them(duration: float, text: str) -> None:
    assert units.human_seconds(duration) == text


@pytest.mark.parametrize(("size", "text"), [(999, "999 B"), (1_536_000, "1.5 MB"), (3e12, "3.0 TB")])
def test_sizes_are_shown_as_people_write_them(size: float, text: str) -> None:
    assert units.human_bytes(size) == text
