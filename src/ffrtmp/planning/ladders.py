"""Ladders and packages: the sizes that were named, and what goes with playlists."""

from ffrtmp.domain import codecs, spec
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies

SEGMENT_SECONDS = 4.0
#: what CMAF has a binding for, and players take
_PACKAGEABLE = frozenset({spec.Codec.H264, spec.Codec.H265, spec.Codec.VP9, spec.Codec.AV1})


#: of libx265, and more than any use
_LEAST_LINES = 16


def packaged(given: bodies.ParametersBody) -> bool:
    return given.output_mode in (spec.OutputMode.HLS, spec.OutputMode.DASH)


def many(given: bodies.ParametersBody) -> bool:
    """Whether several files come out, in a directory."""
    return packaged(given) or given.ladder is not None


def choose(
    given: bodies.ParametersBody,
    codec: spec.Codec,
    container: spec.Container,
    faults: Faults,
    decisions: list[str],
) -> spec.Ladder | None:
    _check(given, codec, container, faults)
    if given.ladder is None:
        return None
    rungs = [_rung(index, rung, codec, faults) for index, rung in enumerate(given.ladder.rungs)]
    seen: set[int] = set()
    for index, rung in enumerate(rungs):
        side = rung.resolution.lines
        if side in seen:
            faults.add(f"ladder.rungs.{index}", f"a rung of {side} lines is named twice; leave one out")
        seen.add(side)
    if not rungs:
        decisions.append("ladder: auto, chosen on the node from the source's size, rate and content")
    return spec.Ladder(rungs=sorted(rungs, key=lambda rung: -rung.resolution.lines))


def _check(given: bodies.ParametersBody, codec: spec.Codec, container: spec.Container, faults: Faults) -> None:
    if packaged(given):
        mode = given.output_mode
        if codec not in _PACKAGEABLE:
            faults.add(
                "codec",
                f"{codec} does not go into {mode}, which has no binding for it",
                "unsupported_combination",
                codec="vp9",
            )
        elif container is not spec.Container.MP4:
            faults.add(
                "container",
                f"{container} does not go with output_mode {mode}, whose media is fragmented mp4; leave it out",
                "unsupported_combination",
                container=None,
            )
        if given.gop_seconds is not None:
            faults.add(
                "gop_seconds",
                f"does not go with output_mode {mode}: a segment is a group of pictures; use segment_seconds",
                "conflicting_fields",
                gop_seconds=None,
            )
    else:
        for field, value in (
            ("thumbnails", given.thumbnails),
            ("segment_seconds", given.segment_seconds),
            ("segments", None if given.segments is spec.Segments.AUTO else given.segments),
        ):
            if value is not None:
                message = "goes with output_mode hls or dash; set one of them, or leave it out"
                faults.add(field, message, "unsupported_combination", **{field: None})
    if given.two_pass and many(given):
        faults.add(
            "two_pass",
            "does not go with a ladder or a package, which decode once; a crf with max_bitrate does",
            "unsupported_combination",
            two_pass=None,
        )
    for target in ("target_vmaf", "target_size"):
        if many(given) and getattr(given, target) is not None:
            faults.add(
                target,
                "is aimed at by jobs that make one file, not by a ladder or a package; a crf with max_bitrate does there",
                "unsupported_combination",
                **{target: None},
            )
    if given.ladder is not None and given.resolution is not None:
        faults.add(
            "resolution",
            "does not go with ladder, whose rungs have sizes of their own",
            "conflicting_fields",
            resolution=None,
        )
    if given.ladder is not None and given.bitrate is not None:
        faults.add("bitrate", "does not go with ladder; give it to a rung: 720p:3M", "conflicting_fields", bitrate=None)


def _rung(index: int, given: bodies.RungBody, codec: spec.Codec, faults: Faults) -> spec.Rung:
    where = f"ladder.rungs.{index}"
    size = given.resolution
    if size.height % 2 or (size.width or 0) % 2:
        faults.add(f"{where}.resolution", f"{size} has an odd side, which 4:2:0 video cannot have")
    if size.lines < _LEAST_LINES:
        faults.add(f"{where}.resolution", f"{size} is smaller than {_LEAST_LINES} pixels, which not all encoders take")
    most = codecs.RULES[codec].crf_max
    if given.crf is not None and given.crf > most:
        faults.add(f"{where}.crf", f"{given.crf:g} is out of range; {codec} takes 0 to {most:g}")
    elif given.crf is not None and codecs.RULES[codec].crf_whole and given.crf != round(given.crf):
        faults.add(f"{where}.crf", f"{given.crf:g} is not a whole number, as {codec} takes it")
    if given.crf is not None and given.bitrate is not None:
        faults.add(f"{where}.bitrate", "cannot be combined with crf; use max_bitrate", "conflicting_fields")
    if given.max_bitrate and given.bitrate and given.max_bitrate < given.bitrate:
        faults.add(f"{where}.max_bitrate", f"{given.max_bitrate} is below bitrate {given.bitrate}")
    return spec.Rung(resolution=size, rate=_rate(given, codec))


def _rate(given: bodies.RungBody, codec: spec.Codec) -> spec.Rate | None:
    cap = given.max_bitrate
    if given.bitrate is not None:
        return spec.Rate(mode=spec.RateMode.BITRATE, bitrate_bps=given.bitrate, max_bitrate_bps=cap)
    if given.crf is None and cap is None:
        return None
    crf = codecs.RULES[codec].crf_default if given.crf is None else given.crf
    return spec.Rate(mode=spec.RateMode.CRF, crf=crf, max_bitrate_bps=cap)


def thumbnails(given: bodies.ParametersBody) -> spec.Thumbnails | None:
    asked = given.thumbnails
    return None if asked is None else spec.Thumbnails(interval_seconds=asked.interval, width=asked.width)
