"""Every combination of what a job may ask: taken, and then a command line can be made of it; or refused, with the nearest that is
taken. What the source alone tells is not asked here."""

import functools
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ffrtmp.domain import codecs as rules
from ffrtmp.domain import errors, node, spec
from ffrtmp.media import choice, codecs, ffmpeg, gst_encoders, gstreamer, hardware, inspection, tools, verify
from ffrtmp.planning import resolve
from ffrtmp.protocol import bodies

_NEAREST = re.compile(r"\(nearest that works: ([^()]+)\)")
#: what one offer leaves may be wrong in another way, but not for ever
_MOST_REFUSALS = 2
_CODECS = [codec.value for codec in spec.Codec]
_PROFILES = sorted({name for codec in rules.RULES.values() for name in codec.profiles})
_RATES: tuple[dict[str, Any], ...] = (
    {},
    {"crf": 20},
    {"crf": 60},
    {"crf": 20, "max_bitrate": "2M"},
    {"bitrate": "1M"},
    {"bitrate": "1M", "max_bitrate": "2M"},
    {"bitrate": "1M", "two_pass": True},
    {"two_pass": True},
    {"crf": 20, "bitrate": "1M"},
    {"bitrate": "2M", "max_bitrate": "1M"},
)
#: what a job may ask, with a spread of values; None: it says nothing. `rate` stands for several fields
FIELDS: dict[str, tuple[Any, ...]] = {
    "codec": tuple(_CODECS),
    "container": (None, *(one.value for one in spec.Container)),
    "output": (None, "a.mp4", "a.mkv", "a.webm", "a.ts", "a.mov"),
    "audio.codec": (None, *(one.value for one in spec.AudioCodec)),
    "audio.channels": (None, 2, 8),
    "audio.bitrate": (None, "96k", "2M"),
    "audio.tracks": (None, "all", "eng"),
    "audio.loudness": (None, "r128"),
    "hdr": (None, *(one.value for one in spec.Hdr)),
    "subtitles": (None, "none", "all", "eng"),
    "pixel_format": (None, *(one.value for one in spec.PixelFormat)),
    "profile": (None, *_PROFILES),
    "tune": (None, "film", "zerolatency"),
    "preset": (None, "ultrafast", "veryslow"),
    "rate": _RATES,
    "hwaccel": (None, *(one.value for one in spec.Hwaccel)),
    "engine": (None, "ffmpeg", "gstreamer"),
    "deinterlace": (None, *(one.value for one in spec.Deinterlace)),
    "resolution": (None, "1280x720", "1281x721", "16x16", "720p"),
    "fps": (None, "25", "1000"),
    "start": (None, 1),
    "metadata": (None, "strip"),
    "verify.level": (None, "full", "quality"),
    "input": ("a.mkv", None),
}


def _body(asked: dict[str, Any]) -> bodies.SubmitBody:
    parameters: dict[str, Any] = {}
    for field, value in {**asked, **asked.get("rate", {})}.items():
        outer, _, inner = field.partition(".")
        if value is None or field in ("rate", "engine"):
            continue
        if inner:
            parameters.setdefault(outer, {})[inner] = value
        else:
            parameters[field] = value
    body = {"parameters": parameters, "engine": asked.get("engine") or "auto"}
    return bodies.parse(bodies.SubmitBody, json.dumps(body).encode())


def _applied(asked: dict[str, Any], faults: tuple[errors.Fault, ...]) -> dict[str, Any]:
    """With what the refusals offer, read from their text as a person would."""
    changed = {**asked, **asked.get("rate", {}), "rate": {}}
    for fault in faults:
        found = _NEAREST.search(fault.message)
        assert found, f"{asked}: {fault.path} {fault.message} names no nearest combination"
        for change in found[1].split(", "):
            field, _, value = change.partition(" ")
            if field == "no":
                field, value = value, ""
            changed[field] = value or None
    return {
        field: float(value) if field == "crf" else int(value) if field == "audio.channels" else value
        for field, value in changed.items()
        if value is not None
    }


def _settled(asked: dict[str, Any], most: int = _MOST_REFUSALS) -> tuple[spec.Spec, int]:
    """What it becomes, after so many refusals whose offers were taken."""
    for refusals in itertools.count():
        try:
            return resolve.resolve(_body(asked)), refusals
        except errors.InvalidInput as error:
            if refusals == most:
                raise AssertionError(f"{asked} is still refused: {error.faults}") from error
            asked = _applied(asked, error.faults)
    raise AssertionError


def _stream(**parts: Any) -> inspection.VideoStream:
    usual = {
        "index": 0,
        "codec": "h264",
        "width": 1280,
        "height": 720,
        "pixel_format": "yuv420p",
        "time_base": "1/1000",
        "frames": 250,
        "first_pts": 0.0,
        "last_pts": 9.96,
        "last_duration": 0.04,
        "rate": "25",
        "constant_rate": True,
        "colour": inspection.Colour(primaries="bt709", transfer="bt709", matrix="bt709", range="tv"),
    }
    return inspection.VideoStream(**{**usual, **parts})


_HDR = _stream(
    bits=10,
    pixel_format="yuv420p10le",
    colour=inspection.Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc", range="tv"),
)


def _source(container: spec.Container, video: inspection.VideoStream, cut: bool) -> inspection.Inspection:
    """With sound and subtitles that the container takes."""
    webm, ts = container is spec.Container.WEBM, container is spec.Container.TS
    heard = inspection.AudioStream(
        index=1,
        codec="opus" if webm else "aac",
        sample_rate=48000,
        channels=2,
        layout="stereo",
        default=True,
        language="eng",
        packets=400,
        first_pts=0.0,
        end_pts=10.0,
        window=(1.0, 10.0) if cut else None,
    )
    read = inspection.SubtitleStream(
        index=2, codec="dvb_subtitle" if ts else "subrip", language="eng", events=3, window_events=2
    )
    window = inspection.Window(start=1.0, duration=None, frames=225, first_pts=1.0, last_pts=9.96, last_duration=0.04)
    return inspection.Inspection(
        container="matroska,webm",
        size_bytes=1,
        video=[video],
        audio=[heard],
        subtitles=[read],
        window=window if cut else None,
    )


_WORKING = [
    *(node.Encoder(name=one.name, codec=one.codec, engine=spec.Engine.FFMPEG, works=True) for one in codecs.ENCODERS),
    *(
        node.Encoder(
            name=one.name,
            codec=one.codec,
            engine=spec.Engine.FFMPEG,
            works=True,
            hwaccel=one.hwaccel,
            devices=["0"],
        )
        for one in hardware.ENCODERS
    ),
    *(
        node.Encoder(name=one.name, codec=one.codec, engine=spec.Engine.GSTREAMER, works=True)
        for one in gst_encoders.ENCODERS
    ),
]
_TOOLS = tools.Tools(ffmpeg="/usr/bin/ffmpeg", gst_launch="/usr/bin/gst-launch-1.0")
_SEEN: set[str] = set()


def _build(what: spec.Spec) -> None:
    """All of the node's plans and command lines. Raises TaskError."""
    generated = what.input.kind is spec.InputKind.GENERATE
    by_gstreamer = what.requires.engine is spec.Engine.GSTREAMER
    if by_gstreamer:  # which says of a source that it carries no subtitles, when it sees them
        what = type(what)(
            **{**{n: getattr(what, n) for n in what.__struct_fields__}, "subtitles": spec.Tracks(pick=spec.Pick.NONE)}
        )
    offer = choice.Offer(encoders=_WORKING)
    table = gst_encoders.ENCODERS if by_gstreamer else choice.ENCODERS
    for video in (_stream(), *(() if by_gstreamer else (_HDR,))):
        source = None if generated else _source(what.container, video, what.start > 0)
        verify.expect(what, source)
        where: dict[str, Any] = {
            "tools": _TOOLS,
            "input_path": None if generated else Path("/in"),
            "output_path": Path("/out"),
            "scratch": Path("/scratch"),
        }
        for one in choice.candidates(what, None if generated else video, offer, table):
            if by_gstreamer:
                assert gstreamer.build(what, source, encoder=one.encoder.name, **where)
            else:
                assert ffmpeg.build(what, source, encoder=one.encoder.name, use=one.use, **where)


def _check(asked: dict[str, Any]) -> int:
    what, refusals = _settled(asked)
    key = repr(type(what)(**{**{n: getattr(what, n) for n in what.__struct_fields__}, "decisions": []}))
    if key not in _SEEN:
        _SEEN.add(key)
        try:
            _build(what)
        except errors.TaskError as error:
            raise AssertionError(f"{asked} was taken, but the node refuses it: {error}") from error
    return refusals


def _all(*fields: str) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*(FIELDS[field] for field in fields)):
        yield {"input": "a.mkv", **dict(zip(fields, values, strict=True))}


@functools.cache
def _pairs() -> list[tuple[str, str]]:
    return list(itertools.combinations([field for field in FIELDS if field != "codec"], 2))


@pytest.mark.parametrize("codec", _CODECS)
def test_each_pair_of_fields_is_taken_or_its_refusal_names_what_is(codec: str) -> None:
    refused = 0
    for fields in _pairs():
        for asked in _all(*fields):
            refusals = _check({**asked, "codec": codec})
            # GStreamer's own limits are looked at last
            assert refusals <= (2 if asked.get("engine") == "gstreamer" else 1), asked
            refused += refusals > 0
    assert refused > 0


@pytest.mark.parametrize("codec", _CODECS)
def test_picture_and_sound_and_container_in_all_combinations(codec: str) -> None:
    for asked in _all("container", "audio.codec", "hdr", "pixel_format", "subtitles"):
        _check({**asked, "codec": codec})


@pytest.mark.parametrize("codec", _CODECS)
def test_rates_and_engines_and_hardware_in_all_combinations(codec: str) -> None:
    for asked in _all("rate", "hwaccel", "engine", "pixel_format"):
        _check({**asked, "codec": codec})
    for asked in _all("profile", "pixel_format", "hwaccel", "hdr"):
        _check({**asked, "codec": codec})


#: ways of a job to make several files, a stream, or what is aimed at
WAYS: tuple[dict[str, Any], ...] = (
    {"output_mode": "hls"},
    {"output_mode": "dash"},
    {"ladder": "auto"},
    {"ladder": "720p:2M,360p", "output_mode": "hls"},
    {"rtmp_url": "rtmp://live.example/app/key"},
    {"target_vmaf": 93},
    {"target_size": "25MB"},
)
_BESIDE: dict[str, tuple[Any, ...]] = {
    **FIELDS,
    "thumbnails": (True,),
    "segments": ("files",),
    "segment_seconds": (2,),
    "gop_seconds": (1,),
    "overwrite": (True,),
}


@pytest.mark.parametrize("codec", _CODECS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_each_field_beside_a_ladder_a_package_a_stream_or_a_target(way: dict[str, Any], codec: str) -> None:
    usual = {"input": "a.mkv", "codec": codec}
    for field, values in _BESIDE.items():
        for value in values:
            what, _ = _settled({**usual, **way, field: value})
            assert what.rate.mode is not None
    for other in WAYS:
        _settled({**usual, **way, **other}, most=_MOST_REFUSALS + 1)  # one of the ways goes first
