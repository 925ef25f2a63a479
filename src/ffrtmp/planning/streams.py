"""A job that streams: where to, and what of its parameters RTMP can carry."""

from ffrtmp.domain import errors, spec, streaming, units
from ffrtmp.planning import scenarios
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies

#: height → bits per second at up to 30 frames, as streaming services recommend for H.264; half as much again for more frames
_BITRATES = ((240, 400_000), (360, 800_000), (480, 1_500_000), (720, 3_000_000), (1080, 4_500_000), (1440, 9_000_000))
_MOST_BITRATE = 16_000_000
#: for a size that is the input's, and not known yet
_USUAL_BITRATE = 4_000_000


def target(given: bodies.ParametersBody, faults: Faults) -> streaming.Target | None:
    """None: it makes a file, or what was given is no target."""
    streams = given.output_mode is spec.OutputMode.RTMP
    if given.rtmp_url is None:
        if streams:
            faults.add("rtmp_url", "is missing; output_mode rtmp needs rtmp://host/application/key", "missing_field")
        for field, value in (("stream_key", given.stream_key), ("reconnect_seconds", given.reconnect_seconds)):
            if value is not None and not streams:
                faults.add(field, "goes with rtmp_url; give that too", "missing_field")
        return None
    if "output_mode" in given.model_fields_set and not streams:
        message = f"does not go with output_mode {given.output_mode}; submit a job for each"
        faults.add("rtmp_url", message, "conflicting_fields", output_mode=None)
        return None
    seconds = streaming.GIVE_UP_SECONDS if given.reconnect_seconds is None else given.reconnect_seconds
    try:
        return streaming.parse(given.rtmp_url, given.stream_key, seconds)
    except ValueError as error:
        faults.add("rtmp_url", str(error))
        return None


def is_asked(given: bodies.ParametersBody) -> bool:
    named = "output_mode" in given.model_fields_set
    return given.output_mode is spec.OutputMode.RTMP or (given.rtmp_url is not None and not named)


def formats(
    given: bodies.ParametersBody,
    scenario: scenarios.Scenario | None,
    _output: str | None,
    faults: Faults,
    *,
    named: bool,
) -> tuple[spec.Codec | None, spec.Container | None, list[str]]:
    """H.264 in FLV: what every RTMP server takes. As `formats.choose` for files."""
    if named and scenario is None and given.codec is None and faults.found:
        return None, None, []  # a scenario that is not known
    codec = given.codec or (scenario.codec if scenario else None)
    if codec not in (None, spec.Codec.H264):
        what = f"{codec} is not streamed over RTMP: most servers take h264 only" + errors.nearest({"codec": "h264"})
        path = "parameters.codec" if given.codec else "scenario"
        faults.found.append(errors.Fault(path, what, "unsupported_combination"))
    if given.container not in (None, spec.Container.FLV):
        message = f"{given.container} is not what RTMP carries; leave it out"
        faults.add("container", message, "unsupported_combination", container=None)
    decisions = ["codec: h264, which every RTMP server takes"] if codec is None else []
    decisions.append("container: flv, as RTMP carries it; it is streamed in real time, and no file is made")
    if given.preset is None:
        decisions.append(f"preset: {scenarios.LIVE_PRESET}, because a stream must keep up with the clock")
    if given.gop_seconds is None:
        decisions.append(
            f"gop_seconds: {scenarios.LIVE_GOP_SECONDS:g}, because a viewer who joins waits for a key frame"
        )
    return spec.Codec.H264, spec.Container.FLV, decisions


def check(given: bodies.ParametersBody, source: spec.Input, faults: Faults) -> None:
    """What cannot be streamed, and what would have to be a file."""

    def refuse(field: str, message: str, code: str = "unsupported_combination", nearest: str | None = None) -> None:
        faults.add(field, message, code, **{field.replace(".", "__"): nearest})

    if given.output is not None:
        refuse(
            "output", "does not go with rtmp_url: a stream makes no file; submit a job for each", "conflicting_fields"
        )
    if given.overwrite:
        refuse("overwrite", "does not go with rtmp_url: a stream makes no file", "conflicting_fields")
    if given.ladder is not None:
        refuse(
            "ladder", "does not go with rtmp_url: a stream has one size; submit a job for each", "conflicting_fields"
        )
    for field in ("target_size", "target_vmaf"):
        if getattr(given, field) is not None:
            refuse(field, "is reached by encodes before the one that counts, and a stream has one; use bitrate")
    if given.two_pass:
        refuse("two_pass", "needs the whole input before its first frame; leave it out for a stream")
    if given.pixel_format not in (None, spec.PixelFormat.YUV420P):
        refuse("pixel_format", f"{given.pixel_format} is not shown by players of streams", nearest="yuv420p")
    if given.profile not in (None, "baseline", "main", "high"):
        refuse(
            "profile",
            f"{given.profile} is not shown by players of streams; baseline, main and high are",
            nearest="high",
        )
    if given.subtitles.pick in (spec.Pick.ALL, spec.Pick.NAMED):
        refuse("subtitles", "are not carried by RTMP", nearest="none")
    if given.audio is not None and (given.audio.tracks.pick is spec.Pick.ALL or len(given.audio.tracks.named) > 1):
        refuse("audio.tracks", "RTMP carries one track; name one")
    if given.verify.level is not spec.VerifyLevel.STANDARD:
        refuse("verify.level", f"{given.verify.level} reads a file back, and a stream makes none", nearest="standard")
    if source.kind is spec.InputKind.GENERATE and given.duration is None:
        refuse("duration", "is missing: a generated stream needs one", "missing_field", nearest="60")
    limit = given.resource_limits.timeout_sec
    if limit is not None and given.duration is not None and limit <= given.duration:
        refuse(
            "resource_limits.timeout_sec",
            f"{limit:g} s end a stream of {given.duration:g} s before its end; allow more, or leave it out",
            "conflicting_fields",
        )


def rate(
    chosen: spec.Rate,
    resolution: units.Resolution | None,
    fps: float | None,
    given: bodies.ParametersBody,
    told: list[str],
) -> spec.Rate:
    """A stream must fit through its line at every moment: each rate gets a cap, over a buffer of two seconds."""
    if chosen.mode is not spec.RateMode.CRF:
        cap = chosen.max_bitrate_bps or chosen.bitrate_bps
        return spec.Rate(mode=chosen.mode, bitrate_bps=chosen.bitrate_bps, max_bitrate_bps=cap)
    if chosen.max_bitrate_bps is not None:
        return chosen
    usual = _usual(resolution, fps)
    size = str(resolution) if resolution else "an input whose size is not known yet"
    if given.crf is not None:
        told.append(f"max_bitrate: {usual // 1000}k, usual for a stream of {size}")
        return spec.Rate(mode=chosen.mode, crf=chosen.crf, max_bitrate_bps=usual)
    told[:] = [one for one in told if not one.startswith("rate: ")]
    told.append(f"rate: {usual // 1000}k, constant, usual for a stream of {size}")
    return spec.Rate(mode=spec.RateMode.BITRATE, bitrate_bps=usual, max_bitrate_bps=usual)


def _usual(resolution: units.Resolution | None, fps: float | None) -> int:
    if resolution is None:
        return _USUAL_BITRATE
    usual = next((bps for height, bps in _BITRATES if resolution.lines <= height), _MOST_BITRATE)
    return usual * 3 // 2 if fps is not None and fps > 30 else usual
