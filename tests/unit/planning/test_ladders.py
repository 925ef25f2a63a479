import json

import pytest

from ffrtmp.domain import errors, spec
from ffrtmp.domain.units import Resolution
from ffrtmp.planning import resolve
from ffrtmp.protocol import bodies


def resolved(parameters: dict[str, object]) -> spec.Spec:
    body = json.dumps({"parameters": {"codec": "h264", **parameters}}).encode()
    return resolve.resolve(bodies.parse(bodies.SubmitBody, body))


def test_a_package_is_described_whole() -> None:
    what = resolved(
        {
            "output_mode": "HLS",
            "ladder": [{"resolution": "1080p", "crf": 20, "max_bitrate": "6M"}, "360p:800k"],
            "output": "shows/one/",
            "thumbnails": True,
            "segment_seconds": 6,
        }
    )
    assert what.output == "shows/one"
    assert what.output_mode is spec.OutputMode.HLS
    assert what.ladder == spec.Ladder(
        rungs=[
            spec.Rung(
                resolution=Resolution(None, 1080),
                rate=spec.Rate(mode=spec.RateMode.CRF, crf=20, max_bitrate_bps=6_000_000),
            ),
            spec.Rung(
                resolution=Resolution(None, 360), rate=spec.Rate(mode=spec.RateMode.BITRATE, bitrate_bps=800_000)
            ),
        ]
    )
    assert (what.segment_seconds, what.thumbnails) == (6.0, spec.Thumbnails())


@pytest.mark.parametrize("given", ["auto", {}])
def test_a_ladder_is_left_to_the_node(given: object) -> None:
    what = resolved({"ladder": given})
    assert what.ladder is not None
    assert what.ladder.auto
    assert any(decision.startswith("ladder: auto") for decision in what.decisions)


def test_a_ladder_on_one_line() -> None:
    ladder = resolved({"ladder": "360p, 720p:3M"}).ladder
    assert ladder is not None
    assert [str(rung.resolution) for rung in ladder.rungs] == ["720p", "360p"]


def test_packages_of_vp9_are_mp4() -> None:
    assert resolved({"codec": "vp9", "output_mode": "dash"}).container is spec.Container.MP4


@pytest.mark.parametrize(
    ("parameters", "path", "code"),
    [
        ({"codec": "vp8", "output_mode": "hls"}, "codec", "unsupported_combination"),
        ({"container": "mkv", "output_mode": "hls"}, "container", "unsupported_combination"),
        ({"ladder": "auto", "output": "show.mp4"}, "output", "invalid_value"),
        ({"output_mode": "hls", "gop_seconds": 2}, "gop_seconds", "conflicting_fields"),
        ({"output_mode": "hls", "bitrate": "2M", "two_pass": True}, "two_pass", "unsupported_combination"),
        ({"ladder": "auto", "resolution": "720p"}, "resolution", "conflicting_fields"),
        ({"ladder": "auto", "bitrate": "2M"}, "bitrate", "conflicting_fields"),
        ({"thumbnails": True}, "thumbnails", "unsupported_combination"),
        ({"segments": "files"}, "segments", "unsupported_combination"),
        ({"segment_seconds": 2}, "segment_seconds", "unsupported_combination"),
        ({"ladder": []}, "ladder", "invalid_value"),
        ({"ladder": "720p,720p:1M"}, "ladder.rungs.1", "invalid_value"),
        ({"ladder": "720x"}, "ladder.rungs.0.resolution", "invalid_value"),
        ({"ladder": [{"resolution": "720p", "crf": 60}]}, "ladder.rungs.0.crf", "invalid_value"),
        ({"ladder": [{"resolution": "721p"}]}, "ladder.rungs.0.resolution", "invalid_value"),
        ({"ladder": "720p,8p"}, "ladder.rungs.1.resolution", "invalid_value"),
        ({"ladder": [{"resolution": "720p", "crf": 20.5}], "codec": "vp9"}, "ladder.rungs.0.crf", "invalid_value"),
        (
            {"ladder": [{"resolution": "720p", "crf": 20, "bitrate": "1M"}]},
            "ladder.rungs.0.bitrate",
            "conflicting_fields",
        ),
        ({"ladder": [{"resolution": "720p", "speed": 2}]}, "ladder.rungs.0.speed", "unknown_field"),
    ],
)
def test_what_cannot_be_is_refused_by_field(parameters: dict[str, object], path: str, code: str) -> None:
    with pytest.raises(errors.InvalidInput) as raised:
        resolved(parameters)
    assert {fault.path: fault.code for fault in raised.value.faults}[f"parameters.{path}"] == code


def test_a_scenarios_size_gives_way_to_a_ladder() -> None:
    body = json.dumps({"scenario": "720p30-h264", "parameters": {"ladder": "360p"}}).encode()
    what = resolve.resolve(bodies.parse(bodies.SubmitBody, body))
    assert isinstance(what, spec.Spec)
    assert (what.resolution, what.fps) == (None, "30")
    assert "resolution: not the scenario's 720p, as the ladder has sizes of its own" in what.decisions


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"output_mode": "hls"}, "output_mode"), ({"output_mode": "dash"}, "output_mode"), ({"ladder": "auto"}, "ladder")],
)
def test_gstreamer_that_is_named_makes_neither(parameters: dict[str, object], field: str) -> None:
    with pytest.raises(errors.InvalidInput) as refused:
        resolved({**parameters, "engine": "gstreamer"})
    [fault] = refused.value.faults
    assert fault.path == f"parameters.{field}"
    assert "use engine ffmpeg or auto" in fault.message


def test_a_codec_without_a_package_is_one_fault() -> None:
    with pytest.raises(errors.InvalidInput) as refused:
        resolved({"output_mode": "dash", "codec": "vp8"})
    assert [fault.path for fault in refused.value.faults] == ["parameters.codec"]


def test_a_directory_may_be_named_like_a_file_if_it_says_that_it_is_one() -> None:
    assert resolved({"ladder": "auto", "output": "show.mp4/"}).output == "show.mp4"


def test_rungs_are_in_the_order_of_their_lines() -> None:
    """Each is scaled from the one before."""
    ladder = resolved({"ladder": "720x1280,1080p,360p"}).ladder
    assert ladder is not None
    assert [str(rung.resolution) for rung in ladder.rungs] == ["1080p", "720x1280", "360p"]
