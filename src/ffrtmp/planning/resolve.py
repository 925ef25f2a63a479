"""What a submission becomes: scenario, then parameters over it, then defaults. One typed Spec, or every fault at once."""

import os
import posixpath
from collections.abc import Callable
from typing import TypeVar

from ffrtmp.domain import codecs, errors, spec, units
from ffrtmp.planning import scenarios, unsupported
from ffrtmp.protocol import bodies

#: a synthetic input without a duration lasts this long
GENERATED_SECONDS = 10.0
_GENERATE = frozenset({"generate", "generate://"})
T = TypeVar("T")


class _Faults:
    """Collects faults, so that all of them are told at once."""

    def __init__(self) -> None:
        self.found: list[errors.Fault] = []

    def add(self, field: str, message: str, code: str = "invalid_value") -> None:
        self.found.append(errors.Fault(f"parameters.{field}", message, code))

    def catch(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except errors.InvalidInput as error:
            self.found += error.faults
            return None


def resolve(body: bodies.SubmitBody) -> spec.Spec:
    """Raises InvalidInput with every fault of the body."""
    given = body.parameters
    faults = _Faults()
    faults.found += unsupported.faults(given)
    if body.engine is spec.Engine.GSTREAMER or given.engine is spec.Engine.GSTREAMER:
        faults.found.append(
            errors.Fault("engine", "gstreamer is not supported yet; `auto` and `ffmpeg` work", unsupported.CODE)
        )
    scenario = faults.catch(lambda: scenarios.parse(body.scenario)) if body.scenario else None
    source = _input(given, faults)
    output = _output(given, faults)
    codec, container, decisions = _format(given, scenario, output, faults, named=bool(body.scenario))
    if codec is None or container is None:
        raise errors.InvalidInput(_SUMMARY if len(faults.found) > 1 else None, faults=faults.found)
    rate = _rate(given, codec, faults, decisions)
    _picture(given, codec, faults)
    audio = _audio(given, container, source.kind, faults)
    if faults.found:
        raise errors.InvalidInput(_SUMMARY if len(faults.found) > 1 else None, faults=faults.found)

    resolution = given.resolution or (scenario.resolution if scenario else None)
    fps = given.fps or (scenario.fps if scenario else None)
    generated = source.kind is spec.InputKind.GENERATE
    duration = given.duration
    if generated and duration is None:
        duration = GENERATED_SECONDS
        decisions.append(f"duration: {GENERATED_SECONDS:g} s, because the input is generated and none was given")
    live = scenario is not None and scenario.live
    zero_latency = "zerolatency" in codecs.RULES[codec].tunes
    decisions.append("chunking: off, " + ("as asked" if given.chunking == "off" else "files are encoded whole"))
    return spec.Spec(
        input=source,
        codec=codec,
        container=container,
        rate=rate,
        output=output,
        overwrite=given.overwrite,
        start=given.start,
        duration=duration,
        preset=given.preset or (spec.Preset.VERYFAST if live else spec.Preset.MEDIUM),
        tune=given.tune or ("zerolatency" if live and zero_latency else None),
        profile=given.profile,
        pixel_format=given.pixel_format,
        resolution=resolution,
        fps=str(fps) if fps else None,
        gop_seconds=given.gop_seconds or (2.0 if live else None),
        hwaccel=spec.Hwaccel(given.hwaccel),
        audio=audio,
        verify=spec.VerifyLevel(given.verify.level),
        limits=spec.Limits(
            timeout_seconds=given.resource_limits.timeout_sec,
            max_disk_bytes=_megabytes(given.resource_limits.max_disk_mb),
        ),
        requires=spec.Requires(
            engine=engine(body),
            codec=codec,
            container=container,
            encoder=given.requires.encoder,
            labels=dict(given.requires.labels),
            min_threads=given.requires.min_threads,
            min_memory_bytes=given.requires.min_memory_mb * 1024 * 1024,
            generates_input=generated,
            local_path=source.kind is spec.InputKind.FILE or output is not None,
        ),
        decisions=decisions,
    )


_SUMMARY = "Several fields are wrong; each is listed under `errors`."


def _megabytes(value: int | None) -> int | None:
    return None if value is None else value * 1024 * 1024


def engine(body: bodies.SubmitBody) -> spec.Engine:
    """The reference's CLI sends `parameters.engine` beside `engine`; the outer one counts unless it says nothing."""
    return body.engine if body.engine is not spec.Engine.AUTO else body.parameters.engine or spec.Engine.AUTO


def _local(location: str, field: str, faults: _Faults) -> str | None:
    if scheme := unsupported.scheme(location):
        faults.add(field, f"{scheme}:// is not supported yet; give a path on the node", unsupported.CODE)
        return None
    path = location.removeprefix("file://")
    if ".." in path.split("/"):
        faults.add(field, f"{location!r} has a `..` in it; give the path without it", "forbidden_path")
    elif path.startswith("-"):
        faults.add(field, f"{location!r} begins with `-` like an option; write ./{path}", "forbidden_path")
    elif path.endswith("/") or not posixpath.basename(path):
        faults.add(field, f"{location!r} names a directory; give a file")
    else:
        return path
    return None


def _input(given: bodies.ParametersBody, faults: _Faults) -> spec.Input:
    if given.input is None or given.input in _GENERATE:
        return spec.Input(kind=spec.InputKind.GENERATE)
    if given.input.startswith("upload:"):
        upload_id = given.input.removeprefix("upload:")
        if not upload_id.replace("-", "").isalnum():
            faults.add("input", f"{given.input!r} is not an upload; write upload:ID with the id of a finished upload")
        return spec.Input(kind=spec.InputKind.UPLOAD, upload_id=upload_id)
    return spec.Input(kind=spec.InputKind.FILE, path=_local(given.input, "input", faults))


def _output(given: bodies.ParametersBody, faults: _Faults) -> str | None:
    return None if given.output is None else _local(given.output, "output", faults)


def _format(
    given: bodies.ParametersBody,
    scenario: scenarios.Scenario | None,
    output: str | None,
    faults: _Faults,
    *,
    named: bool,
) -> tuple[spec.Codec | None, spec.Container | None, list[str]]:
    """Codec and container: what was named, else what follows from the other."""
    decisions: list[str] = []
    codec = given.codec or (scenario.codec if scenario else None)
    container = given.container
    if output is not None:
        extension = os.path.splitext(output)[1].lower()
        implied = spec.EXTENSIONS.get(extension)
        if container is None:
            container = implied
            if implied is None:
                known = ", ".join(spec.EXTENSIONS)
                faults.add("output", f"{output!r} has no known extension; use one of {known}, or set container")
                return codec, None, decisions
            decisions.append(f"container: {implied}, from the extension of the output")
        elif implied not in (None, container):
            faults.add("container", f"{container} does not go with the output's extension {extension}")
    if codec is None:
        if not named:
            faults.add("codec", "is missing; give a codec (h264, h265, vp8, vp9, av1) or a scenario", "missing_field")
        return None, container, decisions
    if container is None:
        container = codecs.RULES[codec].container
        decisions.append(f"container: {container}, the usual one for {codec}")
    if codec not in spec.CONTAINER_VIDEO[container]:
        able = ", ".join(name for name, taken in spec.CONTAINER_VIDEO.items() if codec in taken)
        usual = codecs.RULES[codec].container
        faults.add(
            "output" if given.container is None else "container",  # what named it
            f"{container} cannot hold {codec}; it goes into {able} (nearest that works: {codec} in {usual})",
            "unsupported_combination",
        )
    return codec, container, decisions


def _rate(given: bodies.ParametersBody, codec: spec.Codec, faults: _Faults, decisions: list[str]) -> spec.Rate:
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


def _picture(given: bodies.ParametersBody, codec: spec.Codec, faults: _Faults) -> None:
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


def _audio(
    given: bodies.ParametersBody, container: spec.Container, kind: spec.InputKind, faults: _Faults
) -> spec.Audio:
    asked = given.audio or bodies.AudioBody()
    taken = spec.CONTAINER_AUDIO[container]
    encoded = {spec.AudioCodec.AAC, spec.AudioCodec.OPUS}
    if asked.codec in encoded and asked.codec not in taken:
        able = ", ".join(sorted(taken))
        faults.add("audio.codec", f"{container} cannot hold {asked.codec}; it holds {able}", "unsupported_combination")
    cut = kind is not spec.InputKind.GENERATE and (given.start > 0 or given.duration is not None)
    if asked.codec is spec.AudioCodec.COPY and cut:
        faults.add(
            "audio.codec",
            "copied audio cannot be cut exactly at start and duration; leave it out (auto), or name a codec",
            "unsupported_combination",
        )
    most = spec.CONTAINER_CHANNELS[container]
    if asked.channels is not None and asked.channels > most:
        faults.add(
            "audio.channels",
            f"{container} takes at most {most} channels, not {asked.channels}",
            "unsupported_combination",
        )
    if asked.codec in (spec.AudioCodec.COPY, spec.AudioCodec.NONE) and (asked.bitrate or asked.channels):
        faults.add("audio", f"bitrate and channels do not go with codec {asked.codec}", "conflicting_fields")
    if asked.bitrate is not None and not 6_000 <= asked.bitrate <= 1_024_000:
        faults.add("audio.bitrate", f"{asked.bitrate} is out of range; audio takes 6k to 1024k")
    return spec.Audio(codec=asked.codec, bitrate_bps=asked.bitrate, channels=asked.channels)
