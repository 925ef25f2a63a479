"""What decoded frames say of themselves: interlaced or not, colour, and what HDR carries beside the picture."""

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, cast

from av.sidedata.sidedata import Type as Side
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ffrtmp.media.inspection import Colour, LightLevel, Mastering

#: code points of ITU-T H.273 (tables 2 to 4) → FFmpeg's names; 2 and what is reserved mean "not said"
PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
TRANSFERS = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    11: "smpte2085",
    12: "chroma-derived-nc",
    13: "chroma-derived-c",
    14: "ictcp",
}
RANGES = {1: "tv", 2: "pc"}
#: AVFieldOrder of libavcodec/defs.h
_FIELD_ORDERS = {1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}
#: libav has encoders and decoders for interlaced pictures of these only as separate fields, or not at all
_PROGRESSIVE = frozenset({"hevc", "av1", "vp8", "vp9", "theora"})

_FIRST_LOOK_FRAMES = 16
_LATER_LOOK_FRAMES = 4
#: more packets than any decoder holds back before its first frame
_MOST_PACKETS_OF_A_LOOK = 256
_FIRST_LATER_LOOK = 64  #: packets after the beginning; each later look is twice as far

_CHROMATICITY = 50_000
_LUMINANCE = 10_000


class Glances:
    """Which packets of a video are decoded while the rest is only counted: the first frames, then a few at keyframes ever
    further apart, because a film's progressive titles may stand before an interlaced programme."""

    def __init__(self, codec: str) -> None:
        self.looked_at = 0
        self.interlaced = 0
        self._packets = 0
        self._next_look = None if codec in _PROGRESSIVE else _FIRST_LATER_LOOK
        self._frames_left = 1 if codec in _PROGRESSIVE else _FIRST_LOOK_FRAMES
        self._packets_left = _MOST_PACKETS_OF_A_LOOK
        self.begins = False  #: this packet begins a later look: the decoder must forget what it had

    def wants(self, keyframe: bool) -> bool:
        """Asked once for each packet."""
        self._packets += 1
        self.begins = False
        if self._next_look is not None and keyframe and self._packets > self._next_look:
            self._next_look = 2 * self._packets
            self._frames_left, self._packets_left = _LATER_LOOK_FRAMES, _MOST_PACKETS_OF_A_LOOK
            self.begins = True
        self._packets_left -= 1
        return self._frames_left > 0 and self._packets_left >= 0

    def add(self, frame: VideoFrame) -> None:
        self.looked_at += 1
        self.interlaced += frame.interlaced_frame
        self._frames_left -= 1


def field_order(context: VideoCodecContext) -> str:
    return _FIELD_ORDERS.get(context.field_order, "")


def colour(frame: VideoFrame | None, context: VideoCodecContext) -> Colour:
    """As the frame says, else as the container."""
    sources = (context,) if frame is None else (frame, context)

    def said(attribute: str, names: dict[int, str]) -> str:
        return next((names[value] for source in sources if (value := getattr(source, attribute)) in names), "")

    pixels = context.pix_fmt if frame is None else frame.format.name
    full = (pixels or "").startswith("yuvj")
    return Colour(
        primaries=said("color_primaries", PRIMARIES),
        transfer=said("color_trc", TRANSFERS),
        matrix=said("colorspace", MATRICES),
        range="pc" if full else said("color_range", RANGES),
    )


def _side(frame: VideoFrame, kind: Side) -> bytes | None:
    try:
        found = cast(Mapping[Side, Any], frame.side_data).get(kind)
    except ValueError:  # a frame with a kind of side data that PyAV does not know cannot be asked for any
        return None
    return None if found is None else bytes(found)


def mastering(frame: VideoFrame) -> Mastering | None:
    """AVMasteringDisplayMetadata of libavutil: ten rationals, then two flags that say which are given."""
    data = _side(frame, Side.MASTERING_DISPLAY_METADATA)
    if data is None or len(data) < 88:
        return None
    *numbers, has_primaries, has_luminance = struct.unpack_from("=22i", data)
    if not has_primaries or not has_luminance or 0 in numbers[1::2]:
        return None
    values = [Fraction(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    points = [round(value * _CHROMATICITY) for value in values[:8]]
    low, high = (round(value * _LUMINANCE) for value in values[8:])
    if not all(0 <= point <= _CHROMATICITY for point in points) or not 0 <= low < high < 1 << 31:
        return None
    red, green, blue, white = zip(points[::2], points[1::2], strict=True)
    return Mastering(red=red, green=green, blue=blue, white=white, max_luminance=high, min_luminance=low)


def light_level(frame: VideoFrame) -> LightLevel | None:
    """AVContentLightMetadata of libavutil: two numbers."""
    data = _side(frame, Side.CONTENT_LIGHT_LEVEL)
    if data is None or len(data) < 8:
        return None
    content, average = struct.unpack_from("=2I", data)
    return LightLevel(max_content=content, max_average=average) if max(content, average) <= 65535 else None


def dolby_vision(frame: VideoFrame, codec_tag: str) -> int | None:
    """Its profile, as FFmpeg guesses it from the metadata of a frame (ff_dovi_guess_profile_hevc); 8 stands for every one
    whose base layer is an ordinary picture. The sample entries dvh1, dvhe and dav1 promise no such base layer."""
    data = _side(frame, Side.DOVI_METADATA)
    if data is None or len(data) < 8:
        return 5 if codec_tag in ("dvh1", "dvhe", "dav1") else None
    (header,) = struct.unpack_from("=Q", data)  # AVDOVIMetadata begins with the offset of its AVDOVIRpuDataHeader
    if len(data) < header + 10:
        return None
    profile, full_range = data[header + 4], data[header + 9]
    return 5 if profile == 0 and full_range else 8
