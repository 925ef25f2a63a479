"""What is asked of a GPU that was named, against what its encoders can do."""

from ffrtmp.domain import hardware, spec
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies


def check(given: bodies.ParametersBody, codec: spec.Codec, rate: spec.Rate, faults: Faults) -> spec.Hwaccel | None:
    """The family that the job requires; None: it requires none."""
    named = given.hwaccel if given.hwaccel in spec.HARDWARE else None
    by_encoder = hardware.family_of(given.requires.encoder or "")
    if named is not None and given.requires.encoder is not None and by_encoder is not named:
        faults.add(
            "requires.encoder",
            f"{given.requires.encoder} is not of hwaccel {named}; leave one of them out",
            "conflicting_fields",
            requires__encoder=None,
        )
    if given.hwaccel is spec.Hwaccel.NONE and by_encoder is not None:
        faults.add(
            "hwaccel",
            f"none does not go with requires.encoder {given.requires.encoder}",
            "conflicting_fields",
            hwaccel="auto",
        )
    family = named or by_encoder
    if family is None:
        return None
    field, why = hardware.cannot(
        family,
        codec,
        two_pass=rate.mode is spec.RateMode.TWO_PASS,
        tune=given.tune,
        profile=given.profile,
        pixel_format=given.pixel_format,
    )
    if field:
        faults.add(
            field,
            f"{why}; leave it out, or let hwaccel be auto: what no GPU can do software does",
            "unsupported_combination",
            hwaccel="auto",
        )
    return named
