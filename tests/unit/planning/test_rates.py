"""Targets and rates, as a submission may name them."""

import json

import pytest

from ffrtmp.domain import errors, spec
from ffrtmp.planning import library, resolve
from ffrtmp.protocol import bodies


def _resolve(parameters: dict[str, object], **outer: object) -> spec.Spec:
    usual = {**({} if "scenario" in outer else {"codec": "h264"}), "input": "a.mp4", **parameters}
    body = json.dumps({**outer, "parameters": usual}).encode()
    made = resolve.resolve(bodies.parse(bodies.SubmitBody, body), library.shipped())
    assert isinstance(made, spec.Spec)
    return made


def _refused(parameters: dict[str, object], **outer: object) -> dict[str, tuple[str, str]]:
    with pytest.raises(errors.InvalidInput) as raised:
        _resolve(parameters, **outer)
    return {fault.path: (fault.code, fault.message) for fault in raised.value.faults}


@pytest.mark.parametrize(
    ("said", "size"),
    [("25MB", 25_000_000), ("25MiB", 25 << 20), ("700k", 700_000), ("1.5G", 1_500_000_000), (123_456, 123_456)],
)
def test_a_size_as_people_write_it(said: object, size: int) -> None:
    made = _resolve({"target_size": said})
    assert made.rate == spec.Rate(mode=spec.RateMode.TWO_PASS, target_bytes=size)
    assert any(text.startswith("rate: two passes at the bitrate that fills") for text in made.decisions)


@pytest.mark.parametrize(
    "parameters",
    [{"two_pass": False}, {"hwaccel": "nvenc"}, {"requires": {"encoder": "h264_vaapi"}}],
    ids=str,
)
def test_a_size_in_one_pass(parameters: dict[str, object]) -> None:
    assert _resolve({"target_size": "1MB", **parameters}).rate.mode is spec.RateMode.BITRATE


def test_a_vmaf_needs_a_node_that_measures_it() -> None:
    made = _resolve({"target_vmaf": 93, "max_bitrate": "6M"})
    assert made.rate == spec.Rate(mode=spec.RateMode.CRF, target_vmaf=93.0, max_bitrate_bps=6_000_000)
    assert made.requires.metrics == [spec.Metric.VMAF]
    assert any(text.startswith("rate: the crf that gives a VMAF of 93") for text in made.decisions)


def test_a_target_counts_more_than_a_presets_rate() -> None:
    made = _resolve({"target_vmaf": 90}, scenario="web-720p-h264")
    assert (made.rate.crf, made.rate.max_bitrate_bps, made.rate.target_vmaf) == (None, None, 90.0)


@pytest.mark.parametrize(
    ("parameters", "path", "code", "part"),
    [
        ({"target_size": "1MB", "crf": 20}, "target_size", "conflicting_fields", "combined with crf"),
        ({"target_size": "1MB", "bitrate": "1M"}, "target_size", "conflicting_fields", "combined with bitrate"),
        (
            {"target_size": "1MB", "target_vmaf": 90, "crf": 20},
            "target_size",
            "conflicting_fields",
            "combined with target_vmaf and crf",
        ),
        ({"target_vmaf": 90, "crf": 20}, "target_vmaf", "conflicting_fields", "combined with crf"),
        ({"target_vmaf": 90, "two_pass": True}, "two_pass", "conflicting_fields", "works: no two_pass"),
        ({"target_vmaf": 90, "input": "generate"}, "target_vmaf", "unsupported_combination", "use crf"),
        ({"target_vmaf": 90, "ladder": "auto"}, "target_vmaf", "unsupported_combination", "one file"),
        ({"target_size": "9MB", "output_mode": "hls"}, "target_size", "unsupported_combination", "one file"),
        ({"target_vmaf": 100}, "target_vmaf", "invalid_value", "99"),
        ({"target_size": "25 bananas"}, "target_size", "invalid_value", "700M"),
        ({"target_size": 10}, "target_size", "invalid_value", "1000"),
        ({"two_pass": True}, "two_pass", "missing_field", "bitrate or target_size"),
        ({"codec": "av1", "crf": 30.4}, "crf", "invalid_value", "works: crf 30"),
        ({"codec": "vp9", "crf": 30.6}, "crf", "invalid_value", "works: crf 31"),
    ],
    ids=str,
)
def test_what_does_not_go_together(parameters: dict[str, object], path: str, code: str, part: str) -> None:
    found = _refused(parameters)
    assert found[f"parameters.{path}"][0] == code
    assert part in found[f"parameters.{path}"][1]


def test_fractions_where_the_encoder_takes_them() -> None:
    assert _resolve({"crf": 21.5}).rate.crf == 21.5
    assert _resolve({"codec": "h265", "crf": 21.5}).rate.crf == 21.5


@pytest.mark.parametrize("target", [{"target_vmaf": 93}, {"target_size": "1MB"}], ids=str)
def test_gstreamer_has_no_targets(target: dict[str, object]) -> None:
    found = _refused({**target, "subtitles": "none"}, engine="gstreamer")
    [(path, (code, message))] = found.items()
    assert path == f"parameters.{next(iter(target))}"
    assert (code, "works: engine auto" in message) == ("unsupported_combination", True)
