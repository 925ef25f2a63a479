"""The bodies that people write, read by pydantic so that all faults come back at once, each with its path.

Strict: a field is spelt as documented or refused by name. `planning.resolve` turns a `SubmitBody` into a `Spec`.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import pydantic_core
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from ffrtmp.domain import errors, spec, units
from ffrtmp.protocol import picks

#: no spelling of a quantity is longer
_LONGEST_QUANTITY = 64
#: faults of a body that are told one by one; finding the nearest name for each of a hundred thousand would stop everything else
_MOST_FAULTS = 50
_LONGEST_MESSAGE = 500
#: fields of `parameters` that hold a stream key, or may: nothing repeats what was written there
SECRETS = frozenset({"rtmp_url", "rtmp_urls", "stream_key"})


def _parsed(parse: Callable[[object], Any], *examples: str) -> Any:
    def bounded(value: object) -> Any:
        if isinstance(value, str) and len(value) > _LONGEST_QUANTITY:
            raise ValueError(f"{value[:20]!r}… is too long to be a quantity; write it like {', '.join(examples)}")
        return parse(value)

    return [
        BeforeValidator(bounded),
        pydantic.WithJsonSchema({"type": ["string", "number"], "examples": list(examples)}),
    ]


def _no_control_characters(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("must not contain control characters")
    return text


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _codec(value: object) -> object:
    aliases = {
        "hevc": "h265",
        "x265": "h265",
        "h.265": "h265",
        "x264": "h264",
        "avc": "h264",
        "h.264": "h264",
    }
    lowered = _lower(value)
    return aliases.get(lowered, lowered) if isinstance(lowered, str) else lowered


def _output_mode(value: object) -> object:
    """The reference's other name of `rtmp` is taken too."""
    lowered = _lower(value)
    return "rtmp" if lowered == "stream" else lowered


Bitrate = Annotated[int, *_parsed(units.bitrate_bps, "2M", "2500k", "2000000"), Field(ge=1_000, le=10_000_000_000)]
Size = Annotated[int, *_parsed(units.size_bytes, "25MB", "25MiB", "700k"), Field(ge=1_000, le=1 << 50)]
Seconds = Annotated[float, *_parsed(units.seconds, "90", "1:30", "1h30m"), Field(le=30 * 86400)]
PositiveSeconds = Annotated[float, *_parsed(units.seconds, "90", "1:30", "1h30m"), Field(gt=0, le=30 * 86400)]
FrameRate = Annotated[Fraction, *_parsed(units.frame_rate, "30", "29.97", "30000/1001")]
Resolution = Annotated[units.Resolution, *_parsed(units.resolution, "1280x720", "720p", "720")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_no_control_characters)]
Label = Annotated[str, StringConstraints(max_length=256), AfterValidator(_no_control_characters)]
AudioTracks = Annotated[
    spec.Tracks,
    BeforeValidator(picks.parser(spec.Pick.AUTO, spec.Pick.ALL, auto="default")),
    pydantic.WithJsonSchema(picks.schema("default", "all", [1, "eng"])),
]
SubtitleTracks = Annotated[
    spec.Tracks,
    BeforeValidator(picks.parser(spec.Pick.AUTO, spec.Pick.ALL, spec.Pick.NONE)),
    pydantic.WithJsonSchema(picks.schema("auto", "all", "none", [1, "eng"])),
]
Codec = Annotated[spec.Codec, BeforeValidator(_codec)]
OutputMode = Annotated[spec.OutputMode, BeforeValidator(_output_mode)]


B = TypeVar("B", bound="Body")


class Body(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


class LoudnessBody(Body):
    """A target of EBU R128."""

    integrated: Annotated[float, Field(ge=-70, le=-5)] = -23.0
    true_peak: Annotated[float, Field(ge=-9, le=0)] = -1.0
    range: Annotated[float, Field(ge=1, le=50)] | None = None


def _loudness(value: object) -> object:
    """`r128` for its defaults, or the integrated loudness alone."""
    if not isinstance(value, str | int | float):
        return value
    if isinstance(value, str) and _lower(value) == "r128":
        return {}
    try:
        return {"integrated": float(value)}
    except ValueError:
        raise ValueError("must be r128, a loudness in LUFS such as -16, or an object with `integrated`") from None


class AudioBody(Body):
    codec: spec.AudioCodec = spec.AudioCodec.AUTO
    bitrate: Bitrate | None = None
    channels: Annotated[int, Field(ge=1, le=8)] | None = None
    tracks: AudioTracks = Field(default_factory=spec.Tracks)
    loudness: Annotated[LoudnessBody, BeforeValidator(_loudness)] | None = None


Score = Annotated[float, Field(ge=0, le=100)]
#: equal pictures have 97 to 100; below 20 nothing is left to be seen
TargetScore = Annotated[float, Field(ge=20, le=99)]
Every = Annotated[int, Field(ge=1, le=1000)]


class VerifyBody(Body):
    level: Annotated[spec.VerifyLevel, BeforeValidator(_lower)] = spec.VerifyLevel.STANDARD
    vmaf_min: Score | None = None
    subsample: Every | None = None

    @pydantic.field_validator("level")
    @classmethod
    def _not_none(cls, level: spec.VerifyLevel) -> spec.VerifyLevel:
        if level is spec.VerifyLevel.NONE:
            raise ValueError("must be standard, full or quality: every output is verified")
        return level


class MeasureBody(Body):
    """What makes a job measure `input` against a reference, instead of encoding it."""

    reference: Text
    reference_start: Seconds | None = None
    metrics: Annotated[list[Annotated[spec.Metric, BeforeValidator(_lower)]], Field(min_length=1, max_length=3)] = [
        *spec.Metric
    ]
    subsample: Every = 1
    frames: bool = False


_MOST_MEGABYTES = 1 << 30  # 1 PiB
_LEAST_MEMORY_MEGABYTES = 16  # no engine starts with less


class LimitsBody(Body):
    """The reference's `resource_limits`."""

    max_cpu_percent: Annotated[int, Field(ge=1, le=100 * 4096)] | None = None
    max_memory_mb: Annotated[int, Field(ge=_LEAST_MEMORY_MEGABYTES, le=_MOST_MEGABYTES)] | None = None
    max_disk_mb: Annotated[int, Field(ge=1, le=_MOST_MEGABYTES)] | None = None
    timeout_sec: Annotated[float, Field(gt=0, le=30 * 86400)] | None = None


class RequiresBody(Body):
    labels: dict[Label, Label] = Field(default={}, max_length=32)
    encoder: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{2,40}$")] | None = None
    min_threads: Annotated[int, Field(ge=0, le=4096)] = 0
    min_memory_mb: Annotated[int, Field(ge=0, le=_MOST_MEGABYTES)] = 0


def _one_word(field: str, model: type[Body]) -> BeforeValidator:
    """Text stands for an object with nothing but this field."""
    return BeforeValidator(
        lambda value: {field: value} if isinstance(value, str) else value, json_schema_input_type=model | str
    )


_MOST_RUNGS = 12


class RungBody(Body):
    resolution: Resolution
    crf: Annotated[float, Field(ge=0, le=63)] | None = None
    bitrate: Bitrate | None = None
    max_bitrate: Bitrate | None = None


class LadderBody(Body):
    """`auto`, `720p,360p:800k`, or a list of rungs."""

    rungs: list[RungBody] = Field(default=[], max_length=_MOST_RUNGS)


class ThumbnailsBody(Body):
    interval: Annotated[float, *_parsed(units.seconds, "10", "1:00"), Field(ge=0.5, le=3600)] = 10.0
    width: Annotated[int, Field(ge=32, le=640, multiple_of=2)] = 160


def _rung(text: str) -> dict[str, object]:
    size, colon, bitrate = text.strip().partition(":")
    return {"resolution": size, "bitrate": bitrate} if colon else {"resolution": size}


def _ladder(value: object) -> object:
    if isinstance(value, str):
        lowered = value.strip().lower()
        return {} if lowered == "auto" else {"rungs": [_rung(part) for part in lowered.split(",")]}
    if isinstance(value, list):
        if not value:
            raise ValueError("has no rung; write auto, or name a size: 720p")
        return {"rungs": [_rung(part) if isinstance(part, str) else part for part in value]}
    return value


def _thumbnails(value: object) -> object:
    if isinstance(value, bool):
        return {} if value else None
    return {"interval": value} if isinstance(value, int | float | str) else value


class ParametersBody(Body):
    """`parameters` of a submission; `docs/job-spec.md` explains each."""

    input: Text | None = None
    start: Seconds = 0.0
    duration: PositiveSeconds | None = None
    output: Text | None = None
    outputs: Any = None
    overwrite: bool = False
    output_mode: OutputMode = spec.OutputMode.FILE
    rtmp_url: Text | None = None
    rtmp_urls: Any = None
    stream_key: Text | None = None
    reconnect_seconds: (
        Annotated[float, *_parsed(units.seconds, "90", "1:30", "1h30m"), Field(ge=0, le=86400)] | None
    ) = None
    codec: Codec | None = None
    container: Annotated[spec.Container, BeforeValidator(_lower)] | None = None
    bitrate: Bitrate | None = None
    max_bitrate: Bitrate | None = None
    crf: Annotated[float, Field(ge=0, le=63)] | None = None
    target_vmaf: TargetScore | None = None
    target_size: Size | None = None
    two_pass: bool = False
    preset: Annotated[spec.Preset, BeforeValidator(_lower)] | None = None
    tune: Annotated[str, BeforeValidator(_lower)] | None = None
    profile: Annotated[str, BeforeValidator(_lower)] | None = None
    pixel_format: Annotated[spec.PixelFormat, BeforeValidator(_lower)] | None = None
    resolution: Resolution | None = None
    fps: FrameRate | None = None
    gop_seconds: Annotated[float, Field(gt=0, le=60)] | None = None
    hwaccel: Annotated[spec.Hwaccel, BeforeValidator(_lower)] = spec.Hwaccel.AUTO
    deinterlace: Annotated[spec.Deinterlace, BeforeValidator(_lower)] = spec.Deinterlace.AUTO
    hdr: Annotated[spec.Hdr, BeforeValidator(_lower)] = spec.Hdr.AUTO
    measure: MeasureBody | None = None
    audio: Annotated[AudioBody, _one_word("codec", AudioBody)] | None = None
    subtitles: SubtitleTracks = Field(default_factory=spec.Tracks)
    metadata: Annotated[Literal["keep", "strip"], BeforeValidator(_lower)] = "keep"
    thumbnails: Annotated[
        ThumbnailsBody | None,
        BeforeValidator(_thumbnails, json_schema_input_type=ThumbnailsBody | bool | float | str | None),
    ] = None
    ladder: Annotated[
        LadderBody | None,
        BeforeValidator(_ladder, json_schema_input_type=LadderBody | list[RungBody | str] | str | None),
    ] = None
    segment_seconds: Annotated[float, Field(ge=1, le=30)] | None = None
    segments: Annotated[spec.Segments, BeforeValidator(_lower)] = spec.Segments.AUTO
    chunking: Annotated[str, BeforeValidator(_lower)] = "auto"
    verify: Annotated[VerifyBody, _one_word("level", VerifyBody)] = VerifyBody()
    resource_limits: LimitsBody = LimitsBody()
    requires: RequiresBody = RequiresBody()
    deadline: Any = None
    webhook: Any = None
    tags: dict[Label, Label] = Field(default={}, max_length=32)
    engine: Annotated[spec.Engine, BeforeValidator(_lower)] | None = None  #: the reference's CLI sends it here too


class SubmitBody(Body):
    """`POST /jobs`. All optional but one of `scenario` and `parameters.codec`."""

    scenario: Annotated[str, StringConstraints(max_length=100)] = ""
    confidence: Annotated[str, StringConstraints(max_length=100), AfterValidator(_no_control_characters)] = "auto"
    engine: Annotated[spec.Engine, BeforeValidator(_lower)] = spec.Engine.AUTO
    queue: Annotated[spec.Queue, BeforeValidator(_lower)] = spec.Queue.DEFAULT
    priority: Annotated[spec.Priority, BeforeValidator(_lower)] = spec.Priority.MEDIUM
    parameters: ParametersBody = Field(default_factory=ParametersBody)
    max_retries: Annotated[int, Field(ge=0, le=100)] | None = None


class BatchBody(Body):
    jobs: list[SubmitBody] = Field(min_length=1, max_length=1000)


def parse(model: type[B], raw: bytes) -> B:
    """Read a JSON body; every fault of it is in the InvalidInput that this raises."""
    if not raw.strip():
        raise errors.InvalidInput(
            "The body is empty; send a JSON object.", code="empty_body", faults=[errors.Fault("", "is empty")]
        )
    try:
        return model.model_validate_json(raw)
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        faults = [_fault(item, model) for item in found[:_MOST_FAULTS]]
        if len(found) > _MOST_FAULTS:
            faults.append(errors.Fault("", f"has {len(found) - _MOST_FAULTS} more faults"))
        raise errors.InvalidInput(faults=faults) from None


def _fault(item: pydantic_core.ErrorDetails, model: type[Body]) -> errors.Fault:
    path = ".".join(str(part) for part in item["loc"])
    kind = item["type"]
    if kind == "extra_forbidden":
        return errors.Fault(
            path[:_LONGEST_MESSAGE], f"is not a known field{_nearest(item['loc'], model)}", "unknown_field"
        )
    if kind == "json_invalid":
        return errors.Fault(path, f"is not JSON: {item['msg'].removeprefix('Invalid JSON: ')}", "invalid_json")
    message = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    value = item.get("input")
    secret = not SECRETS.isdisjoint(map(str, item["loc"]))
    if isinstance(value, str | int | float) and not secret and repr(value)[:80] not in message:
        message += f" (got {repr(value)[:80]})"
    return errors.Fault(path[:_LONGEST_MESSAGE], message[:_LONGEST_MESSAGE])


def _nearest(location: tuple[int | str, ...], model: type[Body]) -> str:
    import difflib

    fields = model.model_fields
    for part in location[:-1]:
        annotation = fields[str(part)].annotation if str(part) in fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)):
            break
        fields = annotation.model_fields
    near = difflib.get_close_matches(str(location[-1])[:_LONGEST_QUANTITY], fields, n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""
