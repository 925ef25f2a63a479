"""What the encoders of GPUs take, as far as a submission can be judged without one. `media.hardware` tells FFmpeg.

From NVIDIA's Video Codec SDK, Intel's oneVPL and VA-API's tables of what their hardware has in common; a single GPU may have
less (then its encoder fails, and is followed by software) or more.
"""

import msgspec

from ffrtmp.domain.spec import HARDWARE, Codec, Hwaccel, PixelFormat, RateMode, Spec

_EIGHT = frozenset({PixelFormat.YUV420P})
_TEN = frozenset({PixelFormat.YUV420P, PixelFormat.YUV420P10})
_FULL = frozenset({PixelFormat.YUV444P})


class HardwareRules(msgspec.Struct, frozen=True, kw_only=True):
    """No GPU has two passes over a file, nor another tune."""

    profiles: frozenset[str]
    pixel_formats: frozenset[PixelFormat]
    tunes: frozenset[str] = frozenset({"zerolatency"})


RULES: dict[tuple[Hwaccel, Codec], HardwareRules] = {
    (Hwaccel.NVENC, Codec.H264): HardwareRules(
        profiles=frozenset({"baseline", "main", "high", "high444"}), pixel_formats=_EIGHT | _FULL
    ),
    (Hwaccel.NVENC, Codec.H265): HardwareRules(
        profiles=frozenset({"main", "main10", "main444-8"}), pixel_formats=_TEN | _FULL
    ),
    (Hwaccel.NVENC, Codec.AV1): HardwareRules(profiles=frozenset({"main"}), pixel_formats=_TEN),
    (Hwaccel.QSV, Codec.H264): HardwareRules(profiles=frozenset({"baseline", "main", "high"}), pixel_formats=_EIGHT),
    (Hwaccel.QSV, Codec.H265): HardwareRules(profiles=frozenset({"main", "main10"}), pixel_formats=_TEN),
    (Hwaccel.QSV, Codec.AV1): HardwareRules(profiles=frozenset({"main"}), pixel_formats=_TEN),
    (Hwaccel.VAAPI, Codec.H264): HardwareRules(profiles=frozenset({"baseline", "main", "high"}), pixel_formats=_EIGHT),
    (Hwaccel.VAAPI, Codec.H265): HardwareRules(profiles=frozenset({"main", "main10"}), pixel_formats=_TEN),
    (Hwaccel.VAAPI, Codec.AV1): HardwareRules(profiles=frozenset({"main"}), pixel_formats=_TEN),
}


def cannot(
    family: Hwaccel,
    codec: Codec,
    *,
    two_pass: bool = False,
    tune: str | None = None,
    profile: str | None = None,
    pixel_format: PixelFormat | None = None,
) -> tuple[str, str]:
    """Which parameter a family lacks, and how to say so; ("", ""): none."""
    rules = RULES.get((family, codec))
    if rules is None:
        able = ", ".join(known.value for of, known in RULES if of is family)
        return "hwaccel", f"{family} encodes {able}, not {codec}"
    if two_pass:
        return "two_pass", f"{family} has no two passes"
    if tune is not None and tune not in rules.tunes:
        return "tune", f"{family} has no tune {tune}"
    if profile is not None and profile not in rules.profiles:
        return "profile", f"{family} has no profile {profile} of {codec}"
    if pixel_format is not None and pixel_format not in rules.pixel_formats:
        return "pixel_format", f"{family} does not take {pixel_format} for {codec}"
    return "", ""


def spec_cannot(family: Hwaccel, spec: Spec, made: PixelFormat) -> str:
    """The same of a spec whose picture is known."""
    return cannot(
        family,
        spec.codec,
        two_pass=spec.rate.mode is RateMode.TWO_PASS,
        tune=spec.tune,
        profile=spec.profile,
        pixel_format=made,
    )[1]


def family_of(encoder: str) -> Hwaccel | None:
    """`h264_nvenc` → NVENC; None: software."""
    return next((family for family in HARDWARE if encoder.endswith(f"_{family}")), None)
