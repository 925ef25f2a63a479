"""What a submission that streams becomes, and what of it is refused."""

import json
from typing import Any

import pytest

from ffrtmp.domain import errors, spec, streaming
from ffrtmp.planning import library, resolve
from ffrtmp.protocol import bodies

URL = "rtmp://live.example/app"


def resolved(outer: dict[str, Any] | None = None, **parameters: Any) -> spec.Spec:
    body = json.dumps({**(outer or {}), "parameters": {"rtmp_url": URL, "stream_key": "sesame", **parameters}}).encode()
    made = resolve.resolve(bodies.parse(bodies.SubmitBody, body), library.shipped())
    assert isinstance(made, spec.Spec)
    return made


@pytest.mark.parametrize("mode", [{}, {"output_mode": "rtmp"}, {"output_mode": "STREAM"}])
def test_a_file_is_streamed_with_what_servers_ask_for(mode):
    made = resolved(input="in.mp4", **mode)
    assert made.target == streaming.parse(URL, "sesame")
    assert (made.codec, made.container) == (spec.Codec.H264, spec.Container.FLV)
    assert (made.preset, made.gop_seconds) == (spec.Preset.VERYFAST, 2.0)
    assert made.rate == spec.Rate(mode=spec.RateMode.BITRATE, bitrate_bps=4_000_000, max_bitrate_bps=4_000_000)
    told = " ".join(made.decisions)
    for word in ("codec: h264", "container: flv", "preset: veryfast", "gop_seconds: 2", "rate: 4000k"):
        assert word in told
    assert "sesame" not in told
    assert made.requires.local_path


@pytest.mark.parametrize(
    ("parameters", "bitrate", "cap", "crf"),
    [
        ({"resolution": "720p"}, 3_000_000, 3_000_000, None),
        ({"resolution": "1920x1080", "fps": 60}, 6_750_000, 6_750_000, None),
        ({"resolution": "720x1280"}, 3_000_000, 3_000_000, None),
        ({"resolution": "2160p"}, 16_000_000, 16_000_000, None),
        ({"bitrate": "2M"}, 2_000_000, 2_000_000, None),
        ({"bitrate": "2M", "max_bitrate": "3M"}, 2_000_000, 3_000_000, None),
        ({"crf": 21, "resolution": "360p"}, None, 800_000, 21),
        ({"crf": 21, "max_bitrate": "5M"}, None, 5_000_000, 21),
        ({"max_bitrate": "5M"}, None, 5_000_000, 23),
    ],
)
def test_each_rate_has_a_cap(parameters, bitrate, cap, crf):
    rate = resolved(input="in.mp4", **parameters).rate
    assert (rate.bitrate_bps, rate.max_bitrate_bps, rate.crf) == (bitrate, cap, crf)


def test_what_is_named_counts():
    made = resolved(
        {"scenario": "720p30-h264", "queue": "live"},
        duration=60,
        preset="fast",
        gop_seconds=1,
        reconnect_seconds="5:00",
    )
    assert (made.preset, made.gop_seconds, made.duration, made.fps) == (spec.Preset.FAST, 1.0, 60.0, "30")
    assert made.target is not None
    assert made.target.give_up_seconds == 300.0
    assert resolved({"scenario": "web-720p-h264"}, input="in.mp4").container is spec.Container.FLV


@pytest.mark.parametrize(
    ("parameters", "path", "code"),
    [
        ({"codec": "h265"}, "parameters.codec", "unsupported_combination"),
        ({"codec": "av1"}, "parameters.codec", "unsupported_combination"),
        ({"container": "mp4"}, "parameters.container", "unsupported_combination"),
        ({"output": "a.mp4"}, "parameters.output", "conflicting_fields"),
        ({"overwrite": True}, "parameters.overwrite", "conflicting_fields"),
        ({"ladder": {"rungs": []}}, "parameters.ladder", "conflicting_fields"),
        ({"bitrate": "2M", "two_pass": True}, "parameters.two_pass", "unsupported_combination"),
        ({"pixel_format": "yuv422p"}, "parameters.pixel_format", "unsupported_combination"),
        ({"profile": "high422"}, "parameters.profile", "unsupported_combination"),
        ({"subtitles": "eng"}, "parameters.subtitles", "unsupported_combination"),
        ({"audio": "opus"}, "parameters.audio.codec", "unsupported_combination"),
        ({"audio": {"tracks": "all"}}, "parameters.audio.tracks", "unsupported_combination"),
        ({"audio": {"channels": 6}}, "parameters.audio.channels", "unsupported_combination"),
        ({"verify": {"level": "full"}}, "parameters.verify.level", "unsupported_combination"),
        ({"input": "generate"}, "parameters.duration", "missing_field"),
        ({"duration": 60, "resource_limits": {"timeout_sec": 30}}, "parameters.resource_limits.timeout_sec", "conflicting_fields"),
        ({"output_mode": "file"}, "parameters.rtmp_url", "conflicting_fields"),
        ({"rtmp_url": "http://live.example/app"}, "parameters.rtmp_url", "invalid_value"),
        ({"rtmp_url": None}, "parameters.stream_key", "missing_field"),
        ({"rtmp_url": None, "output_mode": "rtmp", "stream_key": None}, "parameters.rtmp_url", "missing_field"),
        ({"rtmp_urls": [URL]}, "parameters.rtmp_urls", "not_supported_yet"),
        ({"stream_key": 5}, "parameters.stream_key", "invalid_value"),
        ({"stream_key": "sesame\n"}, "parameters.stream_key", "invalid_value"),
        ({"stream_key": "sesame " * 9}, "parameters.rtmp_url", "invalid_value"),
        ({"reconnect_seconds": -1}, "parameters.reconnect_seconds", "invalid_value"),
    ],
)  # fmt: skip
def test_what_cannot_be_streamed_is_refused_by_name_and_without_the_key(parameters, path, code):
    with pytest.raises(errors.InvalidInput) as raised:
        resolved(**{"input": "in.mp4", "codec": "h264", **parameters})
    assert {fault.path: fault.code for fault in raised.value.faults} == {path: code}
    assert "sesame" not in str(raised.value) + str(raised.value.faults)


def test_a_scenario_of_another_codec_is_refused_as_the_scenario():
    with pytest.raises(errors.InvalidInput) as raised:
        resolved({"scenario": "720p30-h265"}, input="in.mp4")
    assert [fault.path for fault in raised.value.faults] == ["scenario"]
    with pytest.raises(errors.InvalidInput) as raised:
        resolved({"scenario": "no-such"}, input="in.mp4")
    assert [fault.code for fault in raised.value.faults] == ["unknown_scenario"]


def test_flv_is_no_file():
    with pytest.raises(errors.InvalidInput) as raised:
        resolved(rtmp_url=None, stream_key=None, codec="h264", container="flv")
    assert [fault.path for fault in raised.value.faults] == ["parameters.container"]


def test_a_server_as_the_output_is_told_where_it_belongs():
    body = json.dumps({"parameters": {"codec": "h264", "output": f"{URL}/sesame"}}).encode()
    with pytest.raises(errors.InvalidInput) as raised:
        resolve.resolve(bodies.parse(bodies.SubmitBody, body))
    [fault] = raised.value.faults
    assert "give it as rtmp_url" in fault.message
    assert "sesame" not in fault.message
