"""Encoders and decoders of GPUs: how FFmpeg is told to use each. Options as FFmpeg 9.0.2 lists them (`ffmpeg -h encoder=NAME`).

NVENC takes frames from memory; QSV and VAAPI take them from their device, to which a filter uploads them. Decoders give frames
back into memory, where the same filters are applied as for software: a cut, a rotation and a size come out the same. See
docs/media.md.
"""

from collections.abc import Callable, Mapping

import msgspec

from ffrtmp.domain.spec import Codec, Hwaccel, PixelFormat, Preset, Rate, RateMode
from ffrtmp.media.arguments import opt
from ffrtmp.media.codecs import Encoder, cap

#: how commands name their devices: VAAPI's, and Quick Sync's, which on Linux stands on one of VAAPI
_VAAPI, _QSV = "va", "qs"
#: what a decoder may hold back, beside what the encoder looks ahead: more than FFmpeg's own default of none
_EXTRA_FRAMES = 64
#: libav's names of what a GPU may decode, in 4:2:0 only: anything else decodes in software
DECODABLE: dict[str, Codec] = {"h264": Codec.H264, "hevc": Codec.H265, "vp9": Codec.VP9, "av1": Codec.AV1}


def device_arguments(family: Hwaccel, device: str) -> list[str]:
    """Before the inputs: the device that frames are uploaded to. NVENC needs none."""
    if family is Hwaccel.NVENC:
        return []
    vaapi = ["-init_hw_device", f"vaapi={_VAAPI}:{device}"]
    if family is Hwaccel.QSV:
        return [*vaapi, "-init_hw_device", f"qsv={_QSV}@{_VAAPI}", "-filter_hw_device", _QSV]
    return [*vaapi, "-filter_hw_device", _VAAPI]


def decode_arguments(family: Hwaccel, device: str) -> list[str]:
    """Before the input that is decoded. Frames come back into memory. Where Quick Sync encodes VAAPI decodes: FFmpeg's
    `-hwaccel qsv` decodes nothing."""
    if family is Hwaccel.NVENC:
        return ["-hwaccel", "cuda", "-hwaccel_device", device]
    return ["-hwaccel", "vaapi", "-hwaccel_device", _VAAPI]


def _steps(flag: str, steps: tuple[str, ...]) -> Callable[[Preset, bool], list[str]]:
    """Nine steps, from ultrafast to veryslow."""
    table = dict(zip(Preset, steps, strict=True))
    return lambda preset, _two_pass: [flag, table[preset]]


_NVENC_PRESETS = _steps("-preset", ("p1", "p1", "p2", "p3", "p4", "p4", "p5", "p6", "p7"))
_QSV_PRESETS = _steps(
    "-preset", ("veryfast", "veryfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
)


def _no_presets(_preset: Preset, _two_pass: bool) -> list[str]:
    """What speeds a driver has, and which number means which, differs from one to the next."""
    return []


def _scaled(codec: Codec, crf: float | None, top: int) -> int:
    """A CRF on a scale that ends at `top`. AV1's own ends at 63, those of H.264 and H.265 at 51."""
    whole = 63 if codec is Codec.AV1 else 51
    return max(1, round((crf or 0.0) * top / whole))


def _rate_nvenc(rate: Rate) -> list[str]:
    if rate.mode is RateMode.CRF:
        return ["-rc", "vbr", *opt("-cq", max(rate.crf or 0.0, 1.0)), "-b:v", "0", *cap(rate.max_bitrate_bps)]
    return ["-rc", "vbr", *opt("-b:v", rate.bitrate_bps), *cap(rate.max_bitrate_bps)]


def _rate_qsv(codec: Codec) -> Callable[[Rate], list[str]]:
    def arguments(rate: Rate) -> list[str]:
        """`global_quality` alone is ICQ, with a bitrate and a cap QVBR (1 is the best, 51 the worst)."""
        if rate.mode is RateMode.CRF:
            target = [] if rate.max_bitrate_bps is None else opt("-b:v", rate.max_bitrate_bps)
            return [*opt("-global_quality", _scaled(codec, rate.crf, 51)), *target, *cap(rate.max_bitrate_bps)]
        return [*opt("-b:v", rate.bitrate_bps), *cap(rate.max_bitrate_bps)]

    return arguments


def _rate_vaapi(codec: Codec) -> Callable[[Rate], list[str]]:
    def arguments(rate: Rate) -> list[str]:
        """A constant quantiser is the one mode that all drivers have; the cap takes one that not all do (QVBR)."""
        top = 255 if codec is Codec.AV1 else 51
        if rate.mode is RateMode.CRF and rate.max_bitrate_bps is None:
            return ["-rc_mode", "CQP", *opt("-global_quality", _scaled(codec, rate.crf, top))]
        if rate.mode is RateMode.CRF:
            quality = opt("-global_quality", _scaled(codec, rate.crf, top))
            return ["-rc_mode", "QVBR", *quality, *opt("-b:v", rate.max_bitrate_bps), *cap(rate.max_bitrate_bps)]
        return ["-rc_mode", "VBR", *opt("-b:v", rate.bitrate_bps), *cap(rate.max_bitrate_bps)]

    return arguments


#: profile as users name it → as the encoder does
_PROFILES: dict[Codec, Mapping[str, str]] = {
    Codec.H264: {"main": "main", "high": "high"},
    Codec.H265: {"main": "main", "main10": "main10"},
    Codec.AV1: {"main": "main"},
}
_NV12 = {PixelFormat.YUV420P: "nv12"}
_NV12_P010 = {**_NV12, PixelFormat.YUV420P10: "p010le"}


def _encoder(family: Hwaccel, codec: Codec, name: str) -> Encoder:
    tens = _NV12 if codec is Codec.H264 else _NV12_P010  # no GPU that is about encodes H.264 in 10 bits
    profiles = dict(_PROFILES[codec])
    if family is Hwaccel.NVENC:
        if codec is Codec.H264:
            profiles |= {"baseline": "baseline", "high444": "high444p"}
        if codec is Codec.H265:
            profiles |= {"main444-8": "rext"}
        if codec is Codec.AV1:
            profiles = {"main": ""}  # its only one: there is no option
        full = {} if codec is Codec.AV1 else {PixelFormat.YUV444P: "yuv444p"}
        return Encoder(
            name=name,
            codec=codec,
            hwaccel=family,
            preset=_NVENC_PRESETS,
            rate=_rate_nvenc,
            threads=_no_threads,
            tunes={"zerolatency": ("-tune", "ll", "-zerolatency", "1", "-delay", "0")},
            profiles=profiles,
            pixel_formats={**tens, **full},
        )
    if family is Hwaccel.QSV:
        if codec is Codec.H264:
            profiles["baseline"] = "baseline"
        return Encoder(
            name=name,
            codec=codec,
            hwaccel=family,
            preset=_QSV_PRESETS,
            rate=_rate_qsv(codec),
            threads=_no_threads,
            tunes={"zerolatency": ("-async_depth", "1", "-bf", "0")},
            profiles=profiles,
            pixel_formats=tens,
            upload=f"hwupload=extra_hw_frames={_EXTRA_FRAMES}",
        )
    if codec is Codec.H264:
        profiles["baseline"] = "constrained_baseline"
    return Encoder(
        name=name,
        codec=codec,
        hwaccel=family,
        preset=_no_presets,
        rate=_rate_vaapi(codec),
        threads=_no_threads,
        tunes={"zerolatency": ("-async_depth", "1", "-bf", "0")},
        profiles=profiles,
        pixel_formats=tens,
        upload="hwupload",
    )


def _no_threads(_count: int) -> list[str]:
    return []


#: in the order in which they are preferred
ENCODERS: tuple[Encoder, ...] = tuple(
    _encoder(family, codec, f"{name}_{family.value}")
    for family in (Hwaccel.NVENC, Hwaccel.QSV, Hwaccel.VAAPI)
    for codec, name in ((Codec.H264, "h264"), (Codec.H265, "hevc"), (Codec.AV1, "av1"))
)


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What of a GPU an encode uses."""

    device: str  #: an index for nvenc, a render node for qsv and vaapi
    decode: bool = False  #: its decoder too
    low_power: bool = False


def encode_arguments(encoder: Encoder, use: Use) -> list[str]:
    """What the encoder itself is told of the GPU."""
    which = ["-gpu", use.device] if encoder.hwaccel is Hwaccel.NVENC else []
    return which + (["-low_power", "1"] if use.low_power else [])
