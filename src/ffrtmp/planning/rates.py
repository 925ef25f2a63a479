"""How many bits: a quality, a bitrate, a bitrate in two passes, or a target for which the node finds one of these."""

from ffrtmp.domain import codecs, hardware, spec, units
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies

#: what each says alone: how many bits
_GOALS = ("target_size", "target_vmaf", "crf", "bitrate")


def choose(
    given: bodies.ParametersBody, codec: spec.Codec, source: spec.Input, faults: Faults, decisions: list[str]
) -> spec.Rate:
    rules = codecs.RULES[codec]
    _check(given, codec, source, faults)
    if given.target_size is not None:
        return _size(given, given.target_size, decisions)
    if given.target_vmaf is not None:
        decisions.append(f"rate: the crf that gives a VMAF of {given.target_vmaf:g}, searched on samples by the node")
        return spec.Rate(
            mode=spec.RateMode.CRF, max_bitrate_bps=given.max_bitrate, target_vmaf=round(given.target_vmaf, 3)
        )
    if given.bitrate is not None:
        mode = spec.RateMode.TWO_PASS if given.two_pass else spec.RateMode.BITRATE
        return spec.Rate(mode=mode, bitrate_bps=given.bitrate, max_bitrate_bps=given.max_bitrate)
    if given.crf is None:
        decisions.append(f"rate: crf {rules.crf_default:g}, the default for {codec}")
    crf = rules.crf_default if given.crf is None else given.crf
    return spec.Rate(mode=spec.RateMode.CRF, crf=crf, max_bitrate_bps=given.max_bitrate)


def _check(given: bodies.ParametersBody, codec: spec.Codec, source: spec.Input, faults: Faults) -> None:
    rules = codecs.RULES[codec]
    goals = [name for name in _GOALS if getattr(given, name) is not None]
    if goals == ["crf", "bitrate"]:
        faults.add(
            "bitrate",
            "cannot be combined with crf; to cap a crf encode use max_bitrate",
            "conflicting_fields",
            bitrate=None,
            two_pass=None,
        )
    elif len(goals) > 1:
        faults.add(
            goals[0],
            f"cannot be combined with {' and '.join(goals[1:])}: each says how many bits; leave all but one out",
            "conflicting_fields",
            **dict.fromkeys(goals[1:]),
        )
    if given.crf is not None and given.crf > rules.crf_max:
        faults.add("crf", f"{given.crf:g} is out of range; {codec} takes 0 to {rules.crf_max:g}", crf=rules.crf_max)
    elif given.crf is not None and rules.crf_whole and given.crf != round(given.crf):
        faults.add("crf", f"{given.crf:g} is not a whole number, as {codec} takes it", crf=round(given.crf))
    if given.two_pass and given.target_vmaf is not None:
        faults.add(
            "two_pass",
            "does not go with target_vmaf, which ends in one pass at a crf",
            "conflicting_fields",
            two_pass=None,
        )
    elif given.two_pass and given.bitrate is None and given.target_size is None:
        faults.add("two_pass", "needs a bitrate to aim at; set bitrate or target_size", "missing_field", two_pass=None)
    if given.max_bitrate and given.bitrate and given.max_bitrate < given.bitrate:
        faults.add("max_bitrate", f"{given.max_bitrate} is below bitrate {given.bitrate}", max_bitrate=given.bitrate)
    if given.target_vmaf is not None and source.kind is spec.InputKind.GENERATE:
        faults.add(
            "target_vmaf",
            "is measured against the input, and this one is generated; use crf, or give an input",
            "unsupported_combination",
            target_vmaf=None,
        )


def _size(given: bodies.ParametersBody, size: int, decisions: list[str]) -> spec.Rate:
    """Two passes, unless a GPU was named, which has none, or one pass was."""
    named = given.hwaccel in spec.HARDWARE or hardware.family_of(given.requires.encoder or "") is not None
    one_pass = not given.two_pass and (named or "two_pass" in given.model_fields_set)
    how = "one pass" if one_pass else "two passes"
    decisions.append(
        f"rate: {how} at the bitrate that fills {units.human_bytes(size)}, worked out by the node from the duration"
    )
    return spec.Rate(
        mode=spec.RateMode.BITRATE if one_pass else spec.RateMode.TWO_PASS,
        max_bitrate_bps=given.max_bitrate,
        target_bytes=size,
    )
