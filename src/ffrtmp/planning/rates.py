"""How many bits: a quality, a bitrate, or a bitrate in two passes."""

from ffrtmp.domain import codecs, spec
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies


def choose(given: bodies.ParametersBody, codec: spec.Codec, faults: Faults, decisions: list[str]) -> spec.Rate:
    rules = codecs.RULES[codec]
    if given.crf is not None and given.crf > rules.crf_max:
        faults.add("crf", f"{given.crf:g} is out of range; {codec} takes 0 to {rules.crf_max:g}")
    if given.crf is not None and given.bitrate is not None:
        faults.add("bitrate", "cannot be combined with crf; to cap a crf encode use max_bitrate", "conflicting_fields")
    if given.two_pass and given.bitrate is None:
        faults.add("two_pass", "needs a bitrate to aim at; set bitrate", "missing_field")
    if given.max_bitrate and given.bitrate and given.max_bitrate < given.bitrate:
        faults.add("max_bitrate", f"{given.max_bitrate} is below bitrate {given.bitrate}")
    if given.bitrate is not None:
        mode = spec.RateMode.TWO_PASS if given.two_pass else spec.RateMode.BITRATE
        return spec.Rate(mode=mode, bitrate_bps=given.bitrate, max_bitrate_bps=given.max_bitrate)
    if given.crf is None:
        decisions.append(f"rate: crf {rules.crf_default:g}, the default for {codec}")
    crf = rules.crf_default if given.crf is None else given.crf
    return spec.Rate(mode=spec.RateMode.CRF, crf=crf, max_bitrate_bps=given.max_bitrate)
