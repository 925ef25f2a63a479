"""One table of GStreamer's encoder elements: how each takes a preset, a rate, threads and a pass. Tried with 1.22, whose
properties are not FFmpeg's options; see docs/media.md.

What an element cannot do stands in `domain.gstreamer`.
"""

from collections.abc import Callable

import msgspec

from ffrtmp.domain.spec import Codec, Container, Hwaccel, PixelFormat, Preset, RateMode, Spec
from ffrtmp.media.arguments import number, pairs

MUXERS: dict[Container, tuple[str, ...]] = {
    Container.MP4: ("mp4mux", "faststart=true", "faststart-file=faststart"),
    Container.MKV: ("matroskamux",),
    Container.WEBM: ("webmmux",),
    Container.TS: ("mpegtsmux",),
    Container.FLV: ("flvmux", "streamable=true"),
}
#: sound that a container takes, and its muxer here does not
UNCOPIED: dict[Container, frozenset[str]] = {
    Container.MP4: frozenset({"eac3", "flac"}),
    Container.TS: frozenset({"eac3"}),
    Container.MKV: frozenset({"truehd"}),
}
#: what stands between an encoder and a muxer
PARSERS: dict[Codec, tuple[str, ...]] = {
    Codec.H264: ("h264parse",),
    Codec.H265: ("h265parse",),
    Codec.VP8: (),
    Codec.VP9: ("vp9parse",),
    Codec.AV1: ("av1parse",),
}
#: ours → GStreamer's name in caps
FORMATS: dict[PixelFormat, str] = {
    PixelFormat.YUV420P: "I420",
    PixelFormat.YUV422P: "Y42B",
    PixelFormat.YUV444P: "Y444",
    PixelFormat.YUV420P10: "I420_10LE",
}
#: profiles of H.264 beyond these follow from the pixel format, and the element takes none that is more than it needs
_H264_PROFILES = frozenset({"baseline", "main", "high"})
_PROFILES: dict[tuple[Codec, str], str] = {
    (Codec.H265, "main10"): "main-10",
    (Codec.H265, "main422-10"): "main-422-10",
    (Codec.H265, "main444-8"): "main-444",
}
#: frames between key frames where none was asked, as FFmpeg's encoders have it (x264enc's own is two seconds)
_GOP = 250
#: bits per second, far above what any picture takes: the quantizer alone decides
_UNCAPPED = 100_000_000
#: two seconds of the cap, as FFmpeg is told
_BUFFER_MS = 2000
_PSY = frozenset({"film", "animation", "grain", "psnr", "ssim"})
#: names of what a first pass leaves for the second, in scratch
_PASSLOG = "passes"


class Encoder(msgspec.Struct, frozen=True, kw_only=True):
    """How an element is told. `options` gets the spec, the frames of a GOP, threads, and which of two passes it is (0: one)."""

    name: str
    codec: Codec
    options: Callable[[Spec, int, int | None, int], list[str]]
    hwaccel: Hwaccel | None = None  #: all are software


#: vp9enc 1.22 loses up to nine frames at the end of the stream when it looks ahead
_VP9 = ("row-mt=true", "lag-in-frames=0")


def _kilobits(bps: int) -> int:
    return max(1, round(bps / 1000))


def _set(**values: object) -> list[str]:
    """`key_int_max=50` → `key-int-max=50`; None is left out."""
    return [f"{name.replace('_', '-')}={number(value)}" for name, value in values.items() if value is not None]


def _x264(spec: Spec, gop: int, threads: int | None, which: int) -> list[str]:
    rate = spec.rate
    made = ["speed-preset=" + spec.preset.value]
    if spec.tune in _PSY:
        made.append("psy-tune=" + spec.tune)
    elif spec.tune is not None:
        made.append("tune=" + spec.tune)
    # a buffer of nothing turns x264's rate limit off; the element cannot do without the number of it
    if rate.mode is RateMode.CRF:
        made += _set(**{"pass": "qual", "quantizer": rate.crf})
        most = rate.max_bitrate_bps
        made += _set(bitrate=_kilobits(most) if most else None, vbv_buf_capacity=_BUFFER_MS if most else 0)
    else:
        made += _set(**{"pass": f"pass{which}" if which else "cbr"}, bitrate=_kilobits(rate.bitrate_bps or 0))
        made += _set(vbv_buf_capacity=_BUFFER_MS if rate.max_bitrate_bps else 0)
        made += _set(multipass_cache_file=_PASSLOG if which else None)
    return [*made, *_set(key_int_max=gop, threads=threads)]


def _x265(spec: Spec, gop: int, threads: int | None, which: int) -> list[str]:
    rate = spec.rate
    made = ["speed-preset=" + spec.preset.value]
    if spec.tune is not None:
        made.append("tune=" + spec.tune)
    options: list[tuple[str, object]] = []
    if rate.mode is RateMode.CRF:
        options.append(("crf", rate.crf))
    else:
        made += _set(bitrate=_kilobits(rate.bitrate_bps or 0))
    if rate.max_bitrate_bps:
        cap = _kilobits(rate.max_bitrate_bps)
        options += [("vbv-maxrate", cap), ("vbv-bufsize", 2 * cap)]
    if which:
        options += [("pass", which), ("stats", _PASSLOG)]
    if threads is not None:
        options.append(("pools", threads))
    return [*made, *_set(key_int_max=gop), *([f"option-string={pairs(options)}"] if options else [])]


def _constant(crf: float | None) -> list[str]:
    """A CRF for encoders whose quality level gives way to the bitrate: a quantizer that never changes."""
    return _set(min_quantizer=crf, max_quantizer=crf)


def _vpx(
    fast: tuple[int, int, int], good: tuple[int, ...], *more: str
) -> Callable[[Spec, int, int | None, int], list[str]]:
    """`deadline` is in microseconds: 1 is real time, a second is the `good` of libvpx's own programs."""
    realtime = dict(zip(Preset, fast, strict=False))
    table = dict(zip(list(Preset)[3:], good, strict=True))

    def options(spec: Spec, gop: int, threads: int | None, which: int) -> list[str]:
        rate = spec.rate
        if spec.preset in realtime and not which:
            made = _set(deadline=1, cpu_used=realtime[spec.preset])
        else:
            made = _set(deadline=1_000_000, cpu_used=table.get(spec.preset, good[0]))
        if rate.mode is RateMode.CRF:
            capped = _set(end_usage="cq", cq_level=rate.crf, target_bitrate=rate.max_bitrate_bps)
            free = _set(end_usage="vbr", target_bitrate=_UNCAPPED) + _constant(rate.crf)
            made += capped if rate.max_bitrate_bps else free
        else:
            made += _set(end_usage="vbr", target_bitrate=rate.bitrate_bps)
        if which:
            made += _set(multipass_mode="first-pass" if which == 1 else "last-pass", multipass_cache_file=_PASSLOG)
        return [*made, *more, *_set(keyframe_max_dist=gop, threads=threads)]

    return options


_AOM_SPEED = dict(zip(Preset, (8, 8, 7, 6, 6, 5, 4, 3, 2), strict=True))


def _aom(spec: Spec, gop: int, threads: int | None, _which: int) -> list[str]:
    rate = spec.rate
    made = _set(cpu_used=_AOM_SPEED[spec.preset])
    if rate.mode is RateMode.CRF:
        made += _set(end_usage="q") + _constant(rate.crf)
    else:
        made += _set(end_usage="vbr", target_bitrate=_kilobits(rate.bitrate_bps or 0), max_quantizer=63)
    return [*made, *_set(keyframe_max_dist=gop, threads=threads)]


_SVT_SPEED = dict(zip(Preset, (9, 9, 9, 9, 9, 8, 6, 4, 2), strict=True))


def _svt(spec: Spec, gop: int, threads: int | None, _which: int) -> list[str]:
    rate = spec.rate
    made = _set(preset=_SVT_SPEED[spec.preset])
    if rate.mode is RateMode.CRF:
        made += _set(crf=max(rate.crf or 0.0, 1.0))
    else:
        made += _set(crf=-1, target_bitrate=_kilobits(rate.bitrate_bps or 0))
    return [*made, *_set(intra_period_length=gop - 1, logical_processors=threads)]


#: in the order in which they are preferred
ENCODERS: tuple[Encoder, ...] = (
    Encoder(name="x264enc", codec=Codec.H264, options=_x264),
    Encoder(name="x265enc", codec=Codec.H265, options=_x265),
    Encoder(name="vp8enc", codec=Codec.VP8, options=_vpx((12, 10, 8), (5, 4, 3, 2, 1, 0))),
    Encoder(name="vp9enc", codec=Codec.VP9, options=_vpx((8, 7, 6), (5, 4, 3, 2, 1, 0), *_VP9)),
    Encoder(name="av1enc", codec=Codec.AV1, options=_aom),
    Encoder(name="svtav1enc", codec=Codec.AV1, options=_svt),
)
BY_NAME = {encoder.name: encoder for encoder in ENCODERS}
#: tried and shown; jobs are encoded in software
HARDWARE: tuple[tuple[str, Codec, Hwaccel], ...] = tuple(
    (f"{prefix}{suffix}enc", codec, family)
    for prefix, family in (("nv", Hwaccel.NVENC), ("qsv", Hwaccel.QSV), ("va", Hwaccel.VAAPI))
    for suffix, codec in (("h264", Codec.H264), ("h265", Codec.H265), ("av1", Codec.AV1))
)


def caps(spec: Spec) -> str | None:
    """The profile that an encoder is told by what its output must be. VP9's and AV1's follow from the pixel format."""
    if spec.profile is None or spec.codec not in (Codec.H264, Codec.H265):
        return None
    if spec.codec is Codec.H264 and spec.profile not in _H264_PROFILES:
        return None
    kind = "video/x-h264" if spec.codec is Codec.H264 else "video/x-h265"
    return f"{kind},profile={_PROFILES.get((spec.codec, spec.profile), spec.profile)}"


def gop_frames(spec: Spec, rate: float) -> int:
    return _GOP if spec.gop_seconds is None else max(1, round(spec.gop_seconds * rate))
