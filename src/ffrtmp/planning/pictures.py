"""What is asked of the picture, against what the codec can do."""

from ffrtmp.domain import codecs, spec, units
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies


def check(given: bodies.ParametersBody, codec: spec.Codec, kind: spec.InputKind, faults: Faults) -> None:
    rules = codecs.RULES[codec]
    for field, value, known in (("tune", given.tune, rules.tunes), ("profile", given.profile, rules.profiles)):
        if value is not None and value not in known:
            offer = f"choose one of {', '.join(sorted(known))}" if known else f"leave it out: {codec} has none"
            faults.add(field, f"{value!r} is not a {field} of {codec}; {offer}")
    pixel_format = given.pixel_format
    if pixel_format is not None and pixel_format not in rules.pixel_formats:
        offer = ", ".join(sorted(rules.pixel_formats))
        faults.add("pixel_format", f"{codec} does not take {pixel_format}; choose one of {offer}")
    elif given.profile in rules.profiles and pixel_format is not None:
        carried = codecs.PROFILE_FORMATS.get(given.profile or "", frozenset({spec.PixelFormat.YUV420P}))
        if pixel_format not in carried:
            offer = ", ".join(sorted(carried)) or "another profile"
            faults.add("profile", f"{given.profile} cannot carry {pixel_format}; it carries {offer}")
    size: units.Resolution | None = given.resolution
    if size is not None and (size.height % 2 or (size.width or 0) % 2):
        even = units.Resolution(size.width and size.width & ~1, size.height & ~1)
        faults.add("resolution", f"{size} has an odd side, which 4:2:0 video cannot have; nearest is {even}")
    if given.hdr is spec.Hdr.KEEP:
        _keep_hdr(given, codec, faults)
    if kind is spec.InputKind.GENERATE:
        for field, asked in (("deinterlace", given.deinterlace), ("hdr", given.hdr)):
            if asked not in ("auto", "off"):
                faults.add(field, f"{asked}: a generated clip is progressive SDR; leave it out", "conflicting_fields")


def _keep_hdr(given: bodies.ParametersBody, codec: spec.Codec, faults: Faults) -> None:
    """Ten bits and a codec that carries the labels."""
    if codec not in codecs.HDR_CODECS:
        able = ", ".join(sorted(codecs.HDR_CODECS))
        faults.add(
            "hdr",
            f"{codec} does not keep HDR; {able} do (nearest that works: h265, or hdr tonemap with {codec})",
            "unsupported_combination",
        )
        return
    ten = spec.PixelFormat.YUV420P10
    if given.pixel_format not in (None, ten):
        faults.add(
            "hdr",
            f"keep needs ten bits, and {given.pixel_format} has eight; use pixel_format {ten}, or hdr tonemap",
            "unsupported_combination",
        )
    carried = codecs.PROFILE_FORMATS.get(given.profile or "", frozenset({spec.PixelFormat.YUV420P}))
    if codec is not spec.Codec.AV1 and given.profile in codecs.RULES[codec].profiles and ten not in carried:
        offer = next(name for name in codecs.RULES[codec].profiles if ten in codecs.PROFILE_FORMATS.get(name, ()))
        faults.add(
            "hdr",
            f"keep needs ten bits, which profile {given.profile} does not have; use profile {offer}, or hdr tonemap",
            "unsupported_combination",
        )
