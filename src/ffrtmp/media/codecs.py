"""The software encoders: how each takes a preset, a rate, threads and a pass. Tried with FFmpeg 9.0.2; see docs/media.md.

What a user may ask of a codec (ranges, tunes, profiles) stands in `domain.codecs`, what GPUs have in `hardware`, and which
encoder a job gets in `choice`.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from ffrtmp.domain import codecs as rules
from ffrtmp.domain.spec import Codec, Container, Hwaccel, PixelFormat, Preset, Rate, RateMode, Spec
from ffrtmp.media.arguments import opt, pairs

#: container → FFmpeg's muxer
MUXERS: dict[Container, str] = {
    Container.MP4: "mp4",
    Container.MKV: "matroska",
    Container.WEBM: "webm",
    Container.TS: "mpegts",
    Container.FLV: "flv",
}
#: container → a part of libav's name for its demuxer
DEMUXERS: dict[Container, str] = {
    Container.MP4: "mp4",
    Container.MKV: "matroska",
    Container.WEBM: "webm",
    Container.TS: "mpegts",
    Container.FLV: "flv",
}
#: VP8 has no mode without a target; this one is far above what any picture takes, so the CRF alone decides
_VP8_UNCAPPED = 100_000_000


Params = Sequence[tuple[str, object]]


class Encoder(msgspec.Struct, frozen=True, kw_only=True):
    """How FFmpeg is told to use one encoder."""

    name: str
    codec: Codec
    preset: Callable[[Preset, bool], list[str]]  #: (preset, two passes) → arguments
    rate: Callable[[Rate], list[str]]
    threads: Callable[[int], list[str]] = lambda count: opt("-threads", count)
    params: tuple[str, tuple[tuple[str, object], ...]] | None = (
        None  #: the flag of its own parameters, and what is always set
    )
    thread_param: str | None = None  #: its own parameter for threads, instead of `-threads`
    env: dict[str, str] = {}
    hwaccel: Hwaccel | None = None  #: None: software
    #: what of a tune, a profile or a pixel format it has, and how it is told; None: everything, by our names
    tunes: Mapping[str, tuple[str, ...]] | None = None
    profiles: Mapping[str, str] | None = None  #: "": without saying so
    pixel_formats: Mapping[PixelFormat, str] | None = None
    upload: str | None = None  #: the filter that brings frames to its device; None: it takes them from memory

    def tune(self, name: str | None) -> list[str]:
        if name is None:
            return []
        return ["-tune", name] if self.tunes is None else list(self.tunes[name])

    def profile(self, name: str | None) -> list[str]:
        said = name if name is None or self.profiles is None else self.profiles[name] or None
        return opt("-profile:v", said)

    def picture(self, made: PixelFormat) -> tuple[list[str], list[str]]:
        """Filters and arguments that give it this pixel format."""
        said = made.value if self.pixel_formats is None else self.pixel_formats[made]
        return ([f"format={said}", self.upload], []) if self.upload else ([], ["-pix_fmt", said])


def _named(preset: Preset, _two_pass: bool) -> list[str]:
    return ["-preset", preset.value]


def _scale(flag: str, steps: tuple[int, ...], *more: str) -> Callable[[Preset, bool], list[str]]:
    """Nine steps, from ultrafast to veryslow."""
    table = dict(zip(Preset, steps, strict=True))
    return lambda preset, _two_pass: [flag, str(table[preset]), *more]


#: nine steps, from ultrafast to veryslow
_SVT = dict(zip(Preset, (9, 9, 9, 9, 9, 8, 6, 4, 2), strict=True))
#: preset 9 dies of SIGSEGV in the first of two passes on small pictures (192x108: 19 of 32 runs, 4 to 8: none of 96; FFmpeg 9.0.2)
_SVT_FASTEST_OF_TWO_PASSES = 8


def _svt(preset: Preset, two_pass: bool) -> list[str]:
    step = _SVT[preset]
    return ["-preset", str(min(step, _SVT_FASTEST_OF_TWO_PASSES) if two_pass else step)]


def _vpx(fast: tuple[int, int, int], good: tuple[int, ...], *more: str) -> Callable[[Preset, bool], list[str]]:
    """The three fastest steps use libvpx's real-time mode, which has no second pass; there they are the fastest good one."""
    realtime = dict(zip(Preset, fast, strict=False))
    table = dict(zip(list(Preset)[3:], good, strict=True))

    def arguments(preset: Preset, two_pass: bool) -> list[str]:
        if preset in realtime and not two_pass:
            return ["-deadline", "realtime", "-cpu-used", str(realtime[preset]), *more]
        return ["-deadline", "good", "-cpu-used", str(table.get(preset, good[0])), *more]

    return arguments


#: in bits; FFmpeg's options take no more
_LARGEST_BUFFER = (1 << 31) - 1


def cap(max_bps: int | None) -> list[str]:
    """A buffer of two seconds of the cap: the usual choice for files that are streamed."""
    return [] if max_bps is None else ["-maxrate", str(max_bps), "-bufsize", str(min(2 * max_bps, _LARGEST_BUFFER))]


def _rate_x26x(rate: Rate) -> list[str]:
    goal = opt("-crf", rate.crf) if rate.mode is RateMode.CRF else opt("-b:v", rate.bitrate_bps)
    return goal + cap(rate.max_bitrate_bps)


def _rate_svt(rate: Rate) -> list[str]:
    if rate.mode is RateMode.CRF:
        # FFmpeg takes 0 for "not given"
        return opt("-crf", max(rate.crf or 0.0, 1.0)) + cap(rate.max_bitrate_bps)
    return opt("-b:v", rate.bitrate_bps)  # a cap is its own parameter, see `private`


def _rate_vpx(rate: Rate) -> list[str]:
    """With `-crf`, `-b:v` is the cap and 0 means none."""
    if rate.mode is RateMode.CRF:
        return [*opt("-crf", rate.crf), "-b:v", str(rate.max_bitrate_bps or 0)]
    return opt("-b:v", rate.bitrate_bps) + cap(rate.max_bitrate_bps)


def _rate_vp8(rate: Rate) -> list[str]:
    if rate.mode is RateMode.CRF:
        cap = rate.max_bitrate_bps or _VP8_UNCAPPED
        return [*opt("-crf", rate.crf), "-qmin", "0", "-qmax", "63", "-b:v", str(cap)]
    return _rate_vpx(rate)


#: in the order in which they are preferred
ENCODERS: tuple[Encoder, ...] = (
    Encoder(name="libx264", codec=Codec.H264, preset=_named, rate=_rate_x26x),
    Encoder(
        name="libx265",
        codec=Codec.H265,
        preset=_named,
        rate=_rate_x26x,
        params=("-x265-params", (("log-level", "error"),)),
        thread_param="pools",
    ),
    Encoder(
        name="libsvtav1",
        codec=Codec.AV1,
        preset=_svt,
        rate=_rate_svt,
        params=("-svtav1-params", ()),
        thread_param="lp",
        env={"SVT_LOG": "1"},
    ),
    Encoder(
        name="libaom-av1",
        codec=Codec.AV1,
        preset=_scale("-cpu-used", (8, 8, 7, 6, 6, 5, 4, 3, 2), "-row-mt", "1"),
        rate=_rate_vpx,
    ),
    Encoder(name="libvpx", codec=Codec.VP8, preset=_vpx((12, 10, 8), (5, 4, 3, 2, 1, 0)), rate=_rate_vp8),
    Encoder(
        name="libvpx-vp9",
        codec=Codec.VP9,
        preset=_vpx((8, 7, 6), (5, 4, 3, 2, 1, 0), "-row-mt", "1"),
        rate=_rate_vpx,
    ),
)


def private(encoder: Encoder, spec: Spec, threads: int | None, more: Params = ()) -> list[str]:
    """The encoder's own parameter list, with `more` in it, and its threads."""
    if encoder.params is None:
        return [] if threads is None else encoder.threads(threads)
    flag, fixed = encoder.params
    values: list[tuple[str, object]] = list(fixed)
    if threads is not None and encoder.thread_param is not None:
        values.append((encoder.thread_param, threads))
    rate = spec.rate
    if encoder.name == "libsvtav1" and rate.mode is not RateMode.CRF and rate.bitrate_bps and rate.max_bitrate_bps:
        # SVT-AV1 refuses -maxrate outside CRF; this bounds a section in percent of the target
        values.append(("maxsection-pct", max(100, round(100 * rate.max_bitrate_bps / rate.bitrate_bps))))
    values += more
    return [flag, pairs(values)] if values else []


def pixel_format(spec: Spec, source_bits: int) -> PixelFormat:
    """What is encoded: what was asked, else the usual."""
    return spec.pixel_format or rules.usual_format(spec.codec, spec.profile, source_bits)
