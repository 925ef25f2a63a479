"""What becomes of colour and HDR: carried, labelled, or tone-mapped to SDR. Pure; the verdict expects what is planned here.

HDR stays HDR where the codec is known to carry it with its metadata and the pixel format has ten bits: a picture of PQ or HLG
with less shows bands, and one whose labels are lost looks grey. Else it is tone-mapped to BT.709.
"""

import msgspec

from ffrtmp.domain import codecs, errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import Codec, Hdr, PixelFormat, Spec
from ffrtmp.media.arguments import number
from ffrtmp.media.inspection import Colour, LightLevel, Mastering, VideoStream

BT709 = Colour(primaries="bt709", transfer="bt709", matrix="bt709", range="tv")
_BT601_525 = Colour(primaries="smpte170m", transfer="smpte170m", matrix="smpte170m", range="")
_BT601_625 = Colour(primaries="bt470bg", transfer="smpte170m", matrix="bt470bg", range="")
#: above either side players take an unlabelled picture for HD
_SD_WIDTH, _SD_HEIGHT = 1024, 576
_LINES_OF_625 = (288, 576)

#: pixel formats without colours
_GREY = ("gray", "ya8", "ya16", "mono")

#: cd/m² of SDR's white, against which the `tonemap` filter counts
_SDR_WHITE = 100
#: a PQ picture that says nothing of its brightness was most likely graded on such a display
_USUAL_PEAK = 1000
#: the only dynamic metadata whose base layer is no picture by itself
_DOLBY_WITHOUT_BASE = 5


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    changes: tuple[str, ...] = ()  #: filters that change the pixels
    labels: tuple[str, ...] = ()  #: filters that only say what they mean
    colour: Colour = Colour()  #: of the output; an empty field is not checked
    mastering: Mastering | None = None
    light_level: LightLevel | None = None
    notes: tuple[str, ...] = ()  #: for the attempt's log

    @property
    def filters(self) -> tuple[str, ...]:
        return (*self.changes, *self.labels)


def plan(spec: Spec, source: VideoStream, pixel_format: PixelFormat, height: int) -> Plan:
    """`height`: of the output. Raises TaskError(stream_unsuitable) where HDR must be kept but cannot, and for Dolby Vision
    without a base layer."""
    made = _plan(spec, source, pixel_format, height)
    if spec.codec is not Codec.VP8:
        return made
    # VP8 has no label of its own (RFC 6386 §9.2): decoders say BT.601, whatever the container says
    return msgspec.structs.replace(made, colour=msgspec.structs.replace(made.colour, matrix="", range=""))


def _plan(spec: Spec, source: VideoStream, made: PixelFormat, height: int) -> Plan:
    notes: tuple[str, ...] = ()
    if source.dolby_vision == _DOLBY_WITHOUT_BASE:
        raise errors.TaskError(
            Code.STREAM_UNSUITABLE,
            "the picture is Dolby Vision of profile 5, which only a Dolby decoder shows in its true colours; "
            "give a version with an HDR10, HLG or SDR base layer (profile 7, 8 or 10)",
        )
    if source.dolby_vision is not None:
        notes = (f"Dolby Vision: its base layer is taken ({source.colour.hdr or 'SDR'}), its own metadata is not",)
    kind = source.colour.hdr
    if kind is None:
        return _sdr(source, height, notes)
    able = spec.codec in codecs.HDR_CODECS and made.bits == 10
    if spec.hdr is Hdr.KEEP and not able:
        raise errors.TaskError(Code.STREAM_UNSUITABLE, f"hdr is keep, but {spec.codec} in {made} cannot hold {kind}")
    if able and spec.hdr is not Hdr.TONEMAP:
        return _kept(source, kind, (*notes, f"HDR: {kind} is kept"))
    why = "as asked" if spec.hdr is Hdr.TONEMAP else f"{spec.codec} in {made} does not hold it"
    return Plan(
        changes=tonemapping(source, made),
        colour=BT709,
        notes=(*notes, f"HDR: {kind} is tone-mapped to SDR BT.709 ({why})"),
    )


def _kept(source: VideoStream, kind: str, notes: tuple[str, ...]) -> Plan:
    said = source.colour
    colour = msgspec.structs.replace(said, primaries=said.primaries or "bt2020", matrix=said.matrix or "bt2020nc")
    return Plan(
        labels=() if colour == said else (_label(colour),),
        colour=colour,
        mastering=source.mastering if kind == "PQ" else None,
        light_level=source.light_level if kind == "PQ" else None,
        notes=notes,
    )


def tonemapping(source: VideoStream, made: PixelFormat) -> tuple[str, ...]:
    """To linear light, to BT.709's primaries, the bright end bent (Hable's curve), to BT.709."""
    said = source.colour
    peak = _USUAL_PEAK
    if said.hdr == "PQ" and source.light_level is not None and source.light_level.max_content:
        peak = source.light_level.max_content
    elif said.hdr == "PQ" and source.mastering is not None:
        peak = round(source.mastering.max_luminance / 10_000)
    origin = f"tin={said.transfer}:pin={said.primaries or 'bt2020'}:min={said.matrix or 'bt2020nc'}"
    return (
        f"zscale={origin}:rin={said.range or 'tv'}:transfer=linear:npl={_SDR_WHITE}",
        "format=gbrpf32le",
        "zscale=primaries=bt709",
        f"tonemap=tonemap=hable:desat=0:peak={number(max(peak, _SDR_WHITE) / _SDR_WHITE)}",
        "zscale=transfer=bt709:matrix=bt709:range=tv",
        f"format={made.value}",
        "sidedata=mode=delete:type=MASTERING_DISPLAY_METADATA",
        "sidedata=mode=delete:type=CONTENT_LIGHT_LEVEL",
    )


def _sdr(source: VideoStream, height: int, notes: tuple[str, ...]) -> Plan:
    said, width = source.colour, source.width
    if source.pixel_format.startswith(("gbr", "rgb", "bgr", "argb", "abgr", "pal8")):
        # what is YUV afterwards must not be called RGB
        target = msgspec.structs.replace(said, matrix="bt709", range="tv")
        return Plan(
            changes=("scale=out_color_matrix=bt709:out_range=tv",), labels=(_label(target),), colour=target, notes=notes
        )
    if source.pixel_format.startswith(_GREY):
        # which is full range, whatever the file says, until it gets its colours
        target = msgspec.structs.replace(said, range="tv")
        return Plan(changes=("scale=out_range=tv",), labels=(_label(target),), colour=target, notes=notes)
    small = width <= _SD_WIDTH and source.height <= _SD_HEIGHT
    if said.matrix or small == (height <= _SD_HEIGHT):
        return Plan(colour=said, notes=notes)
    # players would take an unlabelled picture for what is usual at its new size
    usual = BT709
    if small:
        usual = _BT601_625 if source.height in _LINES_OF_625 else _BT601_525
    colour = Colour(
        primaries=said.primaries or usual.primaries,
        transfer=said.transfer or usual.transfer,
        matrix=usual.matrix,
        range=said.range,
    )
    note = (
        f"colour: the input does not say; labelled {colour.matrix}, which is usual at its size, since the size changes"
    )
    return Plan(labels=(_label(colour),), colour=colour, notes=(*notes, note))


def _label(colour: Colour) -> str:
    parts = (
        ("color_primaries", colour.primaries),
        ("color_trc", colour.transfer),
        ("colorspace", colour.matrix),
        ("range", colour.range),
    )
    return "setparams=" + ":".join(f"{name}={value}" for name, value in parts if value)


def encoder_params(made: Plan, encoder: str) -> tuple[tuple[str, object], ...]:
    """What an encoder's own parameter list must say of HDR: libav hands it over by itself only in newer versions."""
    display, light = made.mastering, made.light_level
    if encoder == "libx265":
        values: list[tuple[str, object]] = []
        if display is not None:
            values.append(("master-display", _x265_display(display)))
        if light is not None:
            values.append(("max-cll", f"{light.max_content},{light.max_average}"))
        return tuple(values)
    if encoder == "libsvtav1":
        values = []
        if display is not None:
            values.append(("mastering-display", _svt_display(display)))
        if light is not None:
            values.append(("content-light", f"{light.max_content},{light.max_average}"))
        return tuple(values)
    return ()


def _x265_display(display: Mastering) -> str:
    points = zip(["G", "B", "R", "WP"], (display.green, display.blue, display.red, display.white), strict=True)
    colours = "".join(f"{name}({x},{y})" for name, (x, y) in points)
    return f"{colours}L({display.max_luminance},{display.min_luminance})"


def _svt_display(display: Mastering) -> str:
    points = zip(["G", "B", "R", "WP"], (display.green, display.blue, display.red, display.white), strict=True)
    colours = "".join(f"{name}({number(x / 50_000)},{number(y / 50_000)})" for name, (x, y) in points)
    return f"{colours}L({number(display.max_luminance / 10_000)},{number(display.min_luminance / 10_000)})"
