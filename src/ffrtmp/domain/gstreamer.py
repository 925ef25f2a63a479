"""What the GStreamer engine cannot do, as far as a spec alone tells. A submission that names it is refused for these; with engine
`auto` FFmpeg is chosen for them.

Each limit is one of an element of GStreamer 1.22 or of `gst-launch-1.0` (docs/media.md).
"""

from collections.abc import Callable

from ffrtmp.domain.codecs import usual_format
from ffrtmp.domain.errors import Fault, nearest
from ffrtmp.domain.spec import (
    HARDWARE,
    AudioCodec,
    Codec,
    Container,
    Deinterlace,
    InputKind,
    Pick,
    PixelFormat,
    Rate,
    RateMode,
    Spec,
)

#: the encoder whose limits count
_ELEMENTS = {
    Codec.H264: "x264enc",
    Codec.H265: "x265enc",
    Codec.VP8: "vp8enc",
    Codec.VP9: "vp9enc",
    Codec.AV1: "av1enc",
}
_TRIED = frozenset({PixelFormat.YUV420P, PixelFormat.YUV422P, PixelFormat.YUV444P, PixelFormat.YUV420P10})
#: what each encodes; a source with ten bits becomes one of these
PIXEL_FORMATS: dict[Codec, frozenset[PixelFormat]] = {
    Codec.H264: _TRIED,
    Codec.H265: _TRIED,
    Codec.VP8: frozenset({PixelFormat.YUV420P}),
    Codec.VP9: frozenset({PixelFormat.YUV420P, PixelFormat.YUV444P, PixelFormat.YUV420P10}),
    Codec.AV1: frozenset({PixelFormat.YUV420P}),
}
#: x265enc takes options as libx265 itself does; the others have a property of whole numbers
_FRACTIONAL_CRF = frozenset({Codec.H265})
_X264_MOST_CRF = 50
_INSTEAD = "use engine ffmpeg or auto"
#: of every refusal
_NEAREST = nearest({"engine": "auto"})


def refusals(spec: Spec) -> list[Fault]:
    """Each names its field below `parameters`, and the nearest that works."""
    faults: list[Fault] = []

    def refuse(field: str, message: str) -> None:
        faults.append(Fault(f"parameters.{field}", message + _NEAREST, "unsupported_combination"))

    if spec.packaged:
        refuse("output_mode", f"{spec.output_mode} is nothing that GStreamer makes here; {_INSTEAD}")
    if spec.ladder is not None:
        refuse("ladder", f"is nothing that GStreamer makes here: it makes one file; name one resolution, or {_INSTEAD}")
    if spec.input.kind is not InputKind.GENERATE:
        for field, value in (("start", spec.start or None), ("duration", spec.duration)):
            if value is not None:
                refuse(field, f"{value:g} s cannot be cut exactly by GStreamer; {_INSTEAD}")
        if spec.deinterlace in (Deinterlace.ON, Deinterlace.FIELD):
            refuse("deinterlace", f"{spec.deinterlace} is nothing that GStreamer does; {_INSTEAD}")
        if spec.subtitles.pick is Pick.NAMED:
            refuse("subtitles", f"are not carried by GStreamer; set it to none, or {_INSTEAD}")
    if spec.hwaccel in HARDWARE:
        refuse(
            "hwaccel",
            f"{spec.hwaccel} is not used by GStreamer, which encodes in software; leave it out, or {_INSTEAD}",
        )
    if spec.audio.loudness is not None:
        refuse("audio.loudness", f"is not measured by GStreamer; leave it out, or {_INSTEAD}")
    if spec.audio.codec is not AudioCodec.NONE and len(spec.audio.tracks.named) > 1:
        refuse(
            "audio.tracks", f"GStreamer makes one track, not {len(spec.audio.tracks.named)}; name one, or {_INSTEAD}"
        )
    if not spec.keep_metadata:
        refuse("metadata", f"cannot be dropped by GStreamer; {_INSTEAD}")
    made = spec.pixel_format or usual_format(spec.codec, spec.profile, 8)
    if made not in PIXEL_FORMATS[spec.codec]:
        able = ", ".join(sorted(PIXEL_FORMATS[spec.codec]))
        refuse(
            "pixel_format" if spec.pixel_format else "profile",
            f"{made} is not taken by {_ELEMENTS[spec.codec]}: it takes {able}; {_INSTEAD}",
        )
    if spec.audio.codec is AudioCodec.OPUS and spec.container is Container.MP4:
        refuse("audio.codec", f"opus in mp4 is written wrong by mp4mux: use aac, or mkv; or {_INSTEAD}")
    if spec.rate.target_bytes is not None:
        refuse("target_size", f"{spec.rate.target_bytes} bytes are not aimed at with GStreamer; {_INSTEAD}")
    if spec.rate.target_vmaf is not None:
        refuse("target_vmaf", f"{spec.rate.target_vmaf:g} is not searched for with GStreamer; {_INSTEAD}")
    _rate(spec.codec, spec.rate, refuse)
    return faults


def _rate(codec: Codec, rate: Rate, refuse: Callable[[str, str], None]) -> None:
    element = _ELEMENTS[codec]
    if rate.crf is not None and codec not in _FRACTIONAL_CRF:
        whole = round(rate.crf)
        if codec is Codec.H264 and rate.crf > _X264_MOST_CRF:
            refuse("crf", f"{rate.crf:g} is more than {element} takes; nearest is {_X264_MOST_CRF}")
        elif whole != rate.crf:
            refuse("crf", f"{rate.crf:g} is not a whole number, as {element} takes it; nearest is {whole}")
    if rate.mode is RateMode.TWO_PASS and codec is Codec.AV1:
        refuse("two_pass", f"{element} has no second pass; leave it out, or {_INSTEAD}")
    if rate.max_bitrate_bps is None or rate.max_bitrate_bps == rate.bitrate_bps:
        return
    if rate.mode is RateMode.CRF:
        if codec is Codec.AV1:
            refuse(
                "max_bitrate", f"{rate.max_bitrate_bps} cannot cap a crf with {element}; leave it out, or {_INSTEAD}"
            )
    elif codec is not Codec.H265:
        refuse(
            "max_bitrate",
            f"{rate.max_bitrate_bps} cannot differ from bitrate with {element}; set it to {rate.bitrate_bps}, leave it out, "
            f"or {_INSTEAD}",
        )
