import json

import pytest

from ffrtmp.domain import encoders, errors, spec
from ffrtmp.media import choice, gst_encoders
from ffrtmp.planning import resolve, unsupported
from ffrtmp.protocol import bodies


def _resolve(parameters: dict[str, object], **outer: object) -> spec.Spec:
    body = json.dumps({**outer, "parameters": parameters}).encode()
    return resolve.resolve(bodies.parse(bodies.SubmitBody, body))


def _faults(parameters: dict[str, object], **outer: object) -> dict[str, str]:
    """path → code of what is refused"""
    with pytest.raises(errors.InvalidInput) as raised:
        _resolve(parameters, **outer)
    return {fault.path: fault.code for fault in raised.value.faults}


def test_parameters_go_over_the_scenario_and_defaults_under_it() -> None:
    what = _resolve({"duration": "2:00", "bitrate": "2M", "fps": 25}, scenario="720p30-h264")
    assert what.codec is spec.Codec.H264
    assert what.container is spec.Container.MP4
    assert what.rate == spec.Rate(mode=spec.RateMode.BITRATE, bitrate_bps=2_000_000)
    assert (what.duration, what.fps, str(what.resolution)) == (120.0, "25", "720p")
    assert what.input.kind is spec.InputKind.GENERATE
    assert what.requires.generates_input
    assert any("container: mp4" in decision for decision in what.decisions)


def test_limits_are_kept_in_bytes_and_percent() -> None:
    limits = {"max_cpu_percent": 250, "max_memory_mb": 512, "max_disk_mb": 100, "timeout_sec": 60}
    assert _resolve({"codec": "h264", "resource_limits": limits}).limits == spec.Limits(
        max_cpu_percent=250, max_memory_bytes=512 << 20, max_disk_bytes=100 << 20, timeout_seconds=60.0
    )


def test_the_container_follows_from_the_output_or_the_codec() -> None:
    assert _resolve({"codec": "vp9"}).container is spec.Container.WEBM
    assert _resolve({"codec": "vp9", "output": "a/b.mkv"}).container is spec.Container.MKV
    assert _resolve({"codec": "h264", "output": "a.bin", "container": "ts"}).container is spec.Container.TS


@pytest.mark.parametrize(
    ("parameters", "path", "code"),
    [
        ({}, "parameters.codec", "missing_field"),
        ({"codec": "h264", "input": "../x.mp4"}, "parameters.input", "forbidden_path"),
        ({"codec": "h264", "output": "a/../../x.mp4"}, "parameters.output", "forbidden_path"),
        ({"codec": "h264", "input": "-x.mp4"}, "parameters.input", "forbidden_path"),
        ({"codec": "h264", "output": "dir/"}, "parameters.output", "invalid_value"),
        ({"codec": "h264", "output": "a.xyz"}, "parameters.output", "invalid_value"),
        ({"codec": "h264", "output": "a.webm"}, "parameters.output", "unsupported_combination"),
        ({"codec": "vp8", "container": "mp4"}, "parameters.container", "unsupported_combination"),
        ({"codec": "h264", "container": "mkv", "output": "a.mp4"}, "parameters.container", "invalid_value"),
        ({"codec": "vp9", "audio": "aac"}, "parameters.audio.codec", "unsupported_combination"),
        (
            {"codec": "h264", "input": "a.mp4", "start": 1, "audio": "copy"},
            "parameters.audio.codec",
            "unsupported_combination",
        ),
        (
            {"codec": "h264", "input": "upload:1", "duration": 1, "audio": "copy"},
            "parameters.audio.codec",
            "unsupported_combination",
        ),
        (
            {"codec": "h264", "container": "ts", "audio": {"codec": "opus", "channels": 7}},
            "parameters.audio.channels",
            "unsupported_combination",
        ),
        ({"codec": "h264", "crf": 60}, "parameters.crf", "invalid_value"),
        ({"codec": "h264", "crf": 20, "bitrate": "1M"}, "parameters.bitrate", "conflicting_fields"),
        ({"codec": "h264", "two_pass": True}, "parameters.two_pass", "missing_field"),
        ({"codec": "h264", "bitrate": "2M", "max_bitrate": "1M"}, "parameters.max_bitrate", "invalid_value"),
        ({"codec": "vp9", "tune": "film"}, "parameters.tune", "invalid_value"),
        ({"codec": "h264", "profile": "main10"}, "parameters.profile", "invalid_value"),
        ({"codec": "h264", "profile": "main", "pixel_format": "yuv444p"}, "parameters.profile", "invalid_value"),
        ({"codec": "av1", "pixel_format": "yuv444p"}, "parameters.pixel_format", "invalid_value"),
        ({"codec": "h264", "resolution": "641x360"}, "parameters.resolution", "invalid_value"),
        ({"codec": "h264", "input": "rtmp://host/app"}, "parameters.input", "not_supported_yet"),
        ({"codec": "h264", "output": "s3://bucket/a.mp4"}, "parameters.output", "not_supported_yet"),
        ({"codec": "vp9", "hwaccel": "nvenc"}, "parameters.hwaccel", "unsupported_combination"),
        ({"codec": "h264", "hwaccel": "nvenc", "tune": "film"}, "parameters.tune", "unsupported_combination"),
        ({"codec": "h264", "hwaccel": "qsv", "profile": "high10"}, "parameters.profile", "unsupported_combination"),
        (
            {"codec": "h264", "hwaccel": "vaapi", "pixel_format": "yuv444p"},
            "parameters.pixel_format",
            "unsupported_combination",
        ),
        (
            {"codec": "av1", "hwaccel": "nvenc", "bitrate": "2M", "two_pass": True},
            "parameters.two_pass",
            "unsupported_combination",
        ),
        (
            {"codec": "h264", "hwaccel": "nvenc", "requires": {"encoder": "h264_qsv"}},
            "parameters.requires.encoder",
            "conflicting_fields",
        ),
        (
            {"codec": "h264", "hwaccel": "none", "requires": {"encoder": "h264_qsv"}},
            "parameters.hwaccel",
            "conflicting_fields",
        ),
        ({"codec": "h265", "requires": {"encoder": "libx264"}}, "parameters.requires.encoder", "conflicting_fields"),
        ({"codec": "h264", "requires": {"encoder": "vah264enc"}}, "parameters.requires.encoder", "invalid_value"),
        (
            {"codec": "h264", "engine": "ffmpeg", "requires": {"encoder": "x264enc"}},
            "parameters.requires.encoder",
            "conflicting_fields",
        ),
        (
            {"codec": "h264", "crf": 23.5, "requires": {"encoder": "x264enc"}},
            "parameters.crf",
            "unsupported_combination",
        ),
        ({"codec": "h264", "hwaccel": "quantum"}, "parameters.hwaccel", "invalid_value"),
        ({"codec": "h264", "chunking": "on"}, "parameters.chunking", "not_supported_yet"),
        ({"codec": "h264", "input": "upload:../x"}, "parameters.input", "invalid_value"),
        ({"codec": "h264", "input": "a.mp4", "hdr": "keep"}, "parameters.hdr", "unsupported_combination"),
        (
            {"codec": "h265", "input": "a.mp4", "hdr": "keep", "pixel_format": "yuv420p"},
            "parameters.hdr",
            "unsupported_combination",
        ),
        (
            {"codec": "h265", "input": "a.mp4", "hdr": "keep", "profile": "main"},
            "parameters.hdr",
            "unsupported_combination",
        ),
        ({"codec": "h265", "hdr": "tonemap"}, "parameters.hdr", "conflicting_fields"),
        ({"codec": "h264", "deinterlace": "field"}, "parameters.deinterlace", "conflicting_fields"),
        ({"codec": "h264", "deinterlace": "maybe"}, "parameters.deinterlace", "invalid_value"),
        ({"codec": "h264", "audio": {"tracks": "all"}}, "parameters.audio.tracks", "conflicting_fields"),
        ({"codec": "h264", "audio": {"tracks": ["english"]}}, "parameters.audio.tracks", "invalid_value"),
        ({"codec": "h264", "audio": {"tracks": [0]}}, "parameters.audio.tracks", "invalid_value"),
        (
            {"codec": "h264", "input": "a.mp4", "audio": {"codec": "copy", "loudness": "r128"}},
            "parameters.audio.loudness",
            "conflicting_fields",
        ),
        ({"codec": "h264", "audio": {"loudness": "loud"}}, "parameters.audio.loudness", "invalid_value"),
        ({"codec": "h264", "audio": {"loudness": -90}}, "parameters.audio.loudness.integrated", "invalid_value"),
        ({"codec": "h264", "subtitles": []}, "parameters.subtitles", "invalid_value"),
        ({"codec": "h264", "metadata": "some"}, "parameters.metadata", "invalid_value"),
    ],
)
def test_what_cannot_be_is_refused_by_field(parameters: dict[str, object], path: str, code: str) -> None:
    assert _faults(parameters)[path] == code


def test_tracks_are_named_by_word_number_or_language() -> None:
    def tracks(value: object) -> spec.Tracks:
        return _resolve({"codec": "h264", "input": "a.mkv", "audio": {"tracks": value}}).audio.tracks

    assert tracks("default") == spec.Tracks()
    assert tracks("all") == spec.Tracks(pick=spec.Pick.ALL)
    assert tracks("eng,2") == tracks(["ENG", 2]) == spec.Tracks(pick=spec.Pick.NAMED, named=["eng", 2])
    subtitles = _resolve({"codec": "h264", "input": "a.mkv", "subtitles": "none", "metadata": "strip"})
    assert subtitles.subtitles.pick is spec.Pick.NONE
    assert not subtitles.keep_metadata


def test_a_loudness_is_a_word_a_number_or_all_of_it() -> None:
    def loudness(value: object) -> spec.Loudness | None:
        return _resolve({"codec": "h264", "input": "a.mkv", "audio": {"loudness": value}}).audio.loudness

    assert loudness("r128") == spec.Loudness()
    assert loudness(-16) == loudness("-16") == spec.Loudness(integrated_lufs=-16.0)
    full = {"integrated": -24, "true_peak": -2, "range": 7}
    assert loudness(full) == spec.Loudness(integrated_lufs=-24.0, true_peak_db=-2.0, range_lu=7.0)


def test_all_faults_are_told_at_once() -> None:
    found = _faults({"codec": "h264", "crf": 60, "tune": "x", "webhook": "x", "input": "../x"}, scenario="nope")
    assert set(found) == {"parameters.crf", "parameters.tune", "parameters.webhook", "parameters.input", "scenario"}


@pytest.mark.parametrize("field", sorted(unsupported.FIELDS))
def test_each_field_to_come_is_refused_as_such(field: str) -> None:
    *outer, name = field.split(".")
    value: object = "x" if name != "vmaf_min" else 1
    parameters: dict[str, object] = {name: value}
    for part in reversed(outer):
        parameters = {part: parameters}
    assert _faults({"codec": "h264", **parameters})[f"parameters.{field}"] == "not_supported_yet"


def test_equal_requirements_are_one_class() -> None:
    one = _resolve({"codec": "h264", "input": "a.mp4", "requires": {"labels": {"b": "1", "a": "2"}}})
    two = _resolve({"codec": "h264", "input": "b.mp4", "bitrate": "2M", "requires": {"labels": {"a": "2", "b": "1"}}})
    assert one.requires.key() == two.requires.key()


GSTREAMER = {"engine": "gstreamer"}
COMBINATION = "unsupported_combination"


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"codec": "h264", "input": "a.mp4", "start": 1}, "parameters.start"),
        ({"codec": "h264", "input": "a.mp4", "duration": 1}, "parameters.duration"),
        ({"codec": "h264", "input": "a.mp4", "deinterlace": "on"}, "parameters.deinterlace"),
        ({"codec": "h264", "input": "a.mp4", "deinterlace": "field"}, "parameters.deinterlace"),
        ({"codec": "h264", "input": "a.mp4", "subtitles": ["eng"]}, "parameters.subtitles"),
        ({"codec": "h264", "input": "a.mp4", "audio": {"tracks": [1, 2]}}, "parameters.audio.tracks"),
        ({"codec": "h264", "input": "a.mp4", "audio": {"loudness": "r128"}}, "parameters.audio.loudness"),
        ({"codec": "h264", "metadata": "strip"}, "parameters.metadata"),
        ({"codec": "h264", "hwaccel": "nvenc"}, "parameters.hwaccel"),
        ({"codec": "h264", "crf": 21.5}, "parameters.crf"),
        ({"codec": "h264", "crf": 51}, "parameters.crf"),
        ({"codec": "vp9", "pixel_format": "yuv422p"}, "parameters.pixel_format"),
        ({"codec": "h264", "audio": "opus"}, "parameters.audio.codec"),
        ({"codec": "av1", "pixel_format": "yuv420p10le"}, "parameters.pixel_format"),
        ({"codec": "av1", "bitrate": "1M", "two_pass": True}, "parameters.two_pass"),
        ({"codec": "av1", "crf": 30, "max_bitrate": "1M"}, "parameters.max_bitrate"),
        ({"codec": "vp8", "bitrate": "1M", "max_bitrate": "2M"}, "parameters.max_bitrate"),
    ],
)
def test_what_gstreamer_cannot_do_is_refused_where_it_is_named(parameters: dict[str, object], path: str) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        _resolve({**parameters, **GSTREAMER})
    assert {fault.path: fault.code for fault in caught.value.faults} == {path: COMBINATION}
    assert _resolve(parameters).requires.engine is spec.Engine.AUTO


@pytest.mark.parametrize(
    "parameters",
    [
        {"codec": "h264"},
        {"codec": "h264", "crf": 50, "max_bitrate": "1M"},
        {"codec": "h265", "crf": 21.5, "max_bitrate": "1M"},
        {"codec": "h265", "bitrate": "1M", "max_bitrate": "2M", "two_pass": True},
        {"codec": "vp9", "bitrate": "1M", "max_bitrate": "1M"},
        {"codec": "av1", "crf": 30},
        {"codec": "h264", "duration": 2},
    ],
)
def test_what_gstreamer_can_do_is_taken(parameters: dict[str, object]) -> None:
    made = _resolve({**parameters, **GSTREAMER})
    assert made.requires.engine is spec.Engine.GSTREAMER


def test_the_sound_that_a_node_must_have_is_required_of_gstreamer_only() -> None:
    asked: dict[str, object] = {"codec": "h264", "container": "mkv", "audio": "opus"}
    assert _resolve({**asked, **GSTREAMER}).requires.audio is spec.AudioCodec.OPUS
    assert _resolve(asked).requires.audio is None
    assert _resolve({"codec": "h264", "audio": "copy", **GSTREAMER}).requires.audio is None


def test_profile_main_of_av1_has_ten_bits_and_the_one_of_h265_has_not() -> None:
    assert _resolve({"codec": "av1", "profile": "main", "pixel_format": "yuv420p10le"}).profile == "main"
    assert _resolve({"codec": "av1", "profile": "main", "hdr": "keep", "input": "a.mkv"}).hdr is spec.Hdr.KEEP
    assert "parameters.profile" in _faults({"codec": "h265", "profile": "main", "pixel_format": "yuv420p10le"})


def test_the_container_that_is_offered_holds_the_sound_that_was_named() -> None:
    with pytest.raises(errors.InvalidInput, match=r"\(nearest that works: container mp4\)"):
        _resolve({"codec": "vp9", "container": "ts", "audio": "aac"})
    with pytest.raises(errors.InvalidInput, match=r"\(nearest that works: output b/a.mkv\)"):
        _resolve({"codec": "vp8", "output": "b/a.mp4", "audio": "aac"})


def test_every_encoder_that_a_job_may_name_is_one_of_an_engine() -> None:
    ours = {one.name: (one.codec, spec.Engine.FFMPEG) for one in choice.ENCODERS}
    theirs = {one.name: (one.codec, spec.Engine.GSTREAMER) for one in gst_encoders.ENCODERS}
    assert {**ours, **theirs} == encoders.NAMED


def test_an_encoder_of_the_wrong_codec_is_told_with_those_that_would_do() -> None:
    body = bodies.parse(bodies.SubmitBody, b'{"parameters": {"codec": "vp9", "requires": {"encoder": "libx264"}}}')
    with pytest.raises(errors.InvalidInput) as caught:
        resolve.resolve(body)
    [fault] = caught.value.faults
    assert fault.message == "libx264 makes h264, not vp9; for vp9 there are libvpx-vp9, vp9enc"
