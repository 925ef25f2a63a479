"""What is asked of the picture, against what the codec can do."""

from ffrtmp.domain import codecs, spec, units
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies

#: pixel format → what is nearest to it where it cannot be
_NEAREST = {
    spec.PixelFormat.YUV422P: (spec.PixelFormat.YUV444P, spec.PixelFormat.YUV420P),
    spec.PixelFormat.YUV444P: (spec.PixelFormat.YUV420P,),
    spec.PixelFormat.YUV420P10: (spec.PixelFormat.YUV420P,),
    spec.PixelFormat.YUV422P10: (spec.PixelFormat.YUV420P10, spec.PixelFormat.YUV420P),
    spec.PixelFormat.YUV444P10: (spec.PixelFormat.YUV420P10, spec.PixelFormat.YUV420P),
}


def check(given: bodies.ParametersBody, codec: spec.Codec, kind: spec.InputKind, faults: Faults) -> None:
    rules = codecs.RULES[codec]
    for field, value, known in (("tune", given.tune, rules.tunes), ("profile", given.profile, rules.profiles)):
        if value is not None and value not in known:
            offer = f"choose one of {', '.join(sorted(known))}" if known else f"leave it out: {codec} has none"
            faults.add(field, f"{value!r} is not a {field} of {codec}; {offer}", **{field: None})
    pixel_format = given.pixel_format
    if pixel_format is not None and pixel_format not in rules.pixel_formats:
        offer = ", ".join(sorted(rules.pixel_formats))
        best = next(one for one in _NEAREST[pixel_format] if one in rules.pixel_formats)
        faults.add("pixel_format", f"{codec} does not take {pixel_format}; choose one of {offer}", pixel_format=best)
    elif given.profile in rules.profiles and pixel_format is not None:
        carried = codecs.carried(codec, given.profile or "")
        if pixel_format not in carried:
            offer = ", ".join(sorted(carried)) or "another profile"
            able = [name for name in sorted(rules.profiles) if pixel_format in codecs.carried(codec, name)]
            faults.add(
                "profile",
                f"{given.profile} cannot carry {pixel_format}; it carries {offer}",
                profile=able[0] if able else None,
            )
    size: units.Resolution | None = given.resolution
    if size is not None and (size.height % 2 or (size.width or 0) % 2):
        even = units.Resolution(size.width and size.width & ~1, size.height & ~1)
        faults.add("resolution", f"{size} has an odd side, which 4:2:0 video cannot have", resolution=even)
    if given.hdr is spec.Hdr.KEEP:
        _keep_hdr(given, codec, faults)
    if kind is spec.InputKind.GENERATE:
        for field, asked in (("deinterlace", given.deinterlace), ("hdr", given.hdr)):
            if asked not in ("auto", "off"):
                faults.add(
                    field, f"{asked}: a generated clip is progressive SDR", "conflicting_fields", **{field: None}
                )


def _keep_hdr(given: bodies.ParametersBody, codec: spec.Codec, faults: Faults) -> None:
    """Ten bits and a codec that carries the labels."""
    if codec not in codecs.HDR_CODECS:
        able = ", ".join(sorted(codecs.HDR_CODECS))
        faults.add(
            "hdr",
            f"{codec} does not keep HDR; {able} do",
            "unsupported_combination",
            hdr="tonemap",
        )
        return
    ten = spec.PixelFormat.YUV420P10
    if given.pixel_format is not None and given.pixel_format.bits < 10:
        faults.add(
            "hdr",
            f"keep needs ten bits, and {given.pixel_format} has eight; use hdr tonemap, or ten bits",
            "unsupported_combination",
            pixel_format=ten,
        )
    carried = codecs.carried(codec, given.profile or "")
    if given.profile in codecs.RULES[codec].profiles and not any(one.bits == 10 for one in carried):
        offer = next(name for name in sorted(codecs.RULES[codec].profiles) if ten in codecs.carried(codec, name))
        faults.add(
            "hdr",
            f"keep needs ten bits, which profile {given.profile} does not have; use hdr tonemap, or another profile",
            "unsupported_combination",
            profile=offer,
        )
