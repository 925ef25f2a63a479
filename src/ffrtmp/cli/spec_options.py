"""The options that say what to make: one table, used by `jobs submit` and `transcode`.

Values go to the master as they were written (`2M`, `1:30`, `29.97`): it reads them, and names each that is wrong. Its faults
come back with JSON paths; `as_options` turns these into the options that a person typed.
"""

import dataclasses
import re
from typing import Any

import click

from ffrtmp.cli import base, names, parameters
from ffrtmp.domain import errors

INPUT, VIDEO, AUDIO, CHECKING, RUNNING = (
    "Input",
    "Picture",
    "Audio, subtitles, tags",
    "How it is checked",
    "How it runs",
)


@dataclasses.dataclass(frozen=True)
class Field:
    """`path`: where the value stands in `parameters` of the body."""

    flag: str
    path: str
    help: str
    section: str
    type: Any = None
    multiple: bool = False
    switch: bool = False
    complete: Any = None  #: of what a shell completes

    @property
    def name(self) -> str:
        return "spec_" + self.flag.removeprefix("--").replace("-", "_")

    def option(self) -> base.Option:
        settings: dict[str, Any] = {"help": self.help, "section": self.section, "shell_complete": self.complete}
        if self.switch:
            settings["is_flag"] = True
        elif self.multiple:
            settings.update(multiple=True, type=self.type)
        else:
            settings["type"] = self.type or click.STRING
            if settings["type"] is click.STRING:
                settings["metavar"] = "VALUE"
        return base.Option([self.flag, self.name], **settings)


def _choice(*names: str) -> Any:
    return click.Choice(names, case_sensitive=False)


FIELDS: tuple[Field, ...] = (
    Field("--start", "start", "Begin here: 90, 1:30, 0:01:30.5.", INPUT),
    Field("--duration", "duration", "Take this much: 120, 2:00, 1h30m.", INPUT),
    Field("--codec", "codec", "Video codec; hevc is h265.", VIDEO, _choice("h264", "h265", "hevc", "vp8", "vp9", "av1")),
    Field("--container", "container", "Default: from the file name, else the codec's usual one.", VIDEO,
          _choice("mp4", "mkv", "webm", "ts")),
    Field("--crf", "crf", "Constant quality: 0 best; h264 and h265 to 51, others to 63.", VIDEO, click.FLOAT),
    Field("--target-vmaf", "target_vmaf", "The CRF that gives this quality, searched on samples: 93.", VIDEO, click.FLOAT),
    Field("--target-size", "target_size", "The file is at most so large: 25MB, 25MiB, 700k; two passes.", VIDEO),
    Field("--bitrate", "bitrate", "Average bitrate: 2M, 2500k.", VIDEO),
    Field("--max-bitrate", "max_bitrate", "Cap for the bitrate, with --crf or --bitrate.", VIDEO),
    Field("--two-pass", "two_pass", "Two passes: hits --bitrate better, takes longer.", VIDEO, switch=True),
    Field("--preset", "preset", "Speed against size, in x264's words for every codec. Default: medium.", VIDEO,
          _choice("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")),
    Field("--tune", "tune", "What the codec tunes for: film, animation, grain, zerolatency...", VIDEO),
    Field("--profile", "profile", "Codec profile: main, high, main10...", VIDEO),
    Field("--pixel-format", "pixel_format", "Pixel format. Default: 4:2:0; ten bits stay ten, but in h264.", VIDEO,
          _choice("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")),
    Field("--resolution", "resolution", "Picture size: 1280x720, or a height, 720p; the width follows.", VIDEO),
    Field("--deinterlace", "deinterlace", "auto: where the input is interlaced; field: one frame for each field.", VIDEO,
          _choice("auto", "on", "off", "field")),
    Field("--hdr", "hdr", "auto: kept where codec and pixel format can, else tone-mapped to SDR.", VIDEO,
          _choice("auto", "keep", "tonemap")),
    Field("--fps", "fps", "Frame rate: 30, 29.97, 30000/1001.", VIDEO),
    Field("--gop-seconds", "gop_seconds", "Longest time between keyframes.", VIDEO, click.FLOAT),
    Field("--ladder", "ladder", "Several sizes in one go: auto, or 1080p,720p:3M,360p. OUT is a directory.", VIDEO),
    Field("--output-mode", "output_mode", "hls and dash make a package with playlists for both; rtmp streams to a server.",
          VIDEO, _choice("file", "hls", "dash", "rtmp", "stream")),
    Field("--segment-seconds", "segment_seconds", "How long segments are. Default: 4.", VIDEO, click.FLOAT),
    Field("--segments", "segments", "Segments as files, or as ranges of one file per size.", VIDEO,
          _choice("auto", "ranges", "files")),
    Field("--thumbnails", "thumbnails", "Pictures for a player's seek bar, one every so many seconds: 10.", VIDEO),
    Field("--hwaccel", "hwaccel", "auto takes a GPU where one does it, else software; a named one is required.",
          VIDEO, _choice("auto", "none", "nvenc", "qsv", "vaapi")),
    Field("--audio", "audio.codec", "auto copies where it can; none drops it.", AUDIO,
          _choice("auto", "copy", "aac", "opus", "none")),
    Field("--audio-bitrate", "audio.bitrate", "Audio bitrate: 128k.", AUDIO),
    Field("--audio-channels", "audio.channels", "1 mono, 2 stereo, 6 5.1.", AUDIO, click.IntRange(1, 8)),
    Field("--audio-tracks", "audio.tracks", "default, all, or numbers and languages: eng,2.", AUDIO),
    Field("--loudness", "audio.loudness", "EBU R128 in two passes: r128 (-23 LUFS), or a target: -16.", AUDIO),
    Field("--subtitles", "subtitles", "auto: all that the container can hold; none, all, or eng,2.", AUDIO),
    Field("--metadata", "metadata", "keep, or strip titles, tags, chapters and covers.", AUDIO, _choice("keep", "strip")),
    Field("--verify", "verify.level", "How far the output is checked; quality sets a floor for VMAF. Default: standard.",
          CHECKING, _choice("standard", "full", "quality")),
    Field("--vmaf-min", "verify.vmaf_min", "With --verify quality: the lowest mean VMAF that passes. Default: 80.", CHECKING,
          click.FLOAT),
    Field("--vmaf-subsample", "verify.subsample", "With --verify quality: look at one of so many frames. Default: 1.",
          CHECKING, click.IntRange(1, 1000)),
    Field("--require-label", "requires.labels", "Only nodes with this label (may be repeated).", RUNNING,
          parameters.LABEL, multiple=True),
    Field("--require-encoder", "requires.encoder", "Only nodes where this encoder works, e.g. libsvtav1.", RUNNING),
    Field("--min-threads", "requires.min_threads", "Only nodes with so many CPU threads.", RUNNING, click.IntRange(0)),
    Field("--min-memory", "requires.min_memory_mb", "Only nodes with so much memory, in MiB.", RUNNING, click.IntRange(0)),
    Field("--time-limit", "resource_limits.timeout_sec", "End an attempt that takes longer than this.", RUNNING,
          parameters.DURATION),
    Field("--max-disk", "resource_limits.max_disk_mb", "Most disk space an attempt may use, in MiB.", RUNNING,
          click.IntRange(1)),
    Field("--max-cpu", "resource_limits.max_cpu_percent", "Most CPU its engine may use, in percent of one core: 150.", RUNNING,
          click.IntRange(1)),
    Field("--max-memory", "resource_limits.max_memory_mb", "Most memory its engine may use, in MiB; more ends it.", RUNNING,
          click.IntRange(16)),
    Field("--tag", "tags", "key=value to find the job by (may be repeated).", RUNNING, parameters.LABEL, multiple=True),
)  # fmt: skip
#: options of the submission itself, outside `parameters`
SUBMISSION: tuple[Field, ...] = (
    Field("--scenario", "scenario", "A preset by name (ffrtmp presets list), or size, rate and codec: 720p30-h264, 4K60-h265.",
          VIDEO, complete=names.complete_scenario),
    Field("--engine", "engine", "auto, ffmpeg or gstreamer.", RUNNING, _choice("auto", "ffmpeg", "gstreamer")),
    Field("--queue", "queue", "live goes before default, default before batch.", RUNNING,
          _choice("live", "default", "batch")),
    Field("--priority", "priority", "high, medium or low, within the queue.", RUNNING, _choice("high", "medium", "low")),
    Field("--retries", "max_retries", "New attempts after a failure that another try can mend.", RUNNING,
          click.IntRange(0, 100)),
    Field("--confidence", "confidence", "A word of the reference's body; stored, without effect.", RUNNING),
)  # fmt: skip


def options(fields: tuple[Field, ...] = SUBMISSION + FIELDS) -> list[click.Parameter]:
    order = (INPUT, VIDEO, AUDIO, CHECKING, RUNNING)
    return [field.option() for field in sorted(fields, key=lambda field: order.index(field.section))]


def take(values: dict[str, Any]) -> dict[str, Any]:
    """The body that the options say; takes them out of `values`. What was not given is left out."""
    body: dict[str, Any] = {}
    for field in SUBMISSION:
        if (value := values.pop(field.name, None)) is not None:
            body[field.path] = value
    given: dict[str, Any] = {}
    for field in FIELDS:
        value = values.pop(field.name, None)
        if value is None or value == () or (field.switch and not value):
            continue
        *parents, leaf = field.path.split(".")
        where = given
        for parent in parents:
            where = where.setdefault(parent, {})
        where[leaf] = dict(value) if field.multiple else value
    if given:
        body["parameters"] = given
    return body


def many(parameters: dict[str, Any]) -> bool:
    """Whether several files come of one input."""
    return parameters.get("output_mode") in ("hls", "dash") or "ladder" in parameters


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` counts where both say something."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


#: JSON path → the option that a person typed
_BY_PATH = (
    {f"parameters.{field.path}": field.flag for field in FIELDS}
    | {field.path: field.flag for field in SUBMISSION}
    | {"parameters.audio": "--audio", "parameters.thumbnails.interval": "--thumbnails"}
)
_FLAGS = {field.path: field.flag for field in FIELDS}
#: in a sentence, these are fields and nothing else …
_FIELD = re.compile(
    r"`?(?<![\w'./-])(" + "|".join(re.escape(name) for name in _FLAGS if re.search("[._]", name)) + r")\b`?"
)
#: … and these only after a word that says so
_PLAIN = re.compile(
    r"\b(set|use|with|below|choose a|works:) `?("
    + "|".join(name for name in _FLAGS if name.isalpha())
    + r")\b`?(?! [\d'])"
)
_TOO_LOW = re.compile(r"must be greater than or equal to 1000 \(got '?(\d{1,3})'?\)")


def as_options(error: errors.InvalidInput, more: dict[str, str] | None = None) -> errors.InvalidInput:
    """The same refusal, with the options' names in the place of JSON paths."""
    known = {**_BY_PATH, **(more or {})}
    faults = [errors.Fault(known.get(fault.path, fault.path), _as_typed(fault), fault.code) for fault in error.faults]
    if len(faults) == 1:
        return errors.InvalidInput(faults=faults, code=error.code)
    return errors.InvalidInput(str(error).replace(" under `errors`", " below"), faults=faults, code=error.code)


def _as_typed(fault: errors.Fault) -> str:
    """The message, with options where it names fields."""
    if fault.path.endswith("bitrate") and (low := _TOO_LOW.fullmatch(fault.message)):
        number = low[1]
        unit = "M" if int(number) < 100 and not fault.path.startswith("parameters.audio") else "k"
        return f"{number} is in bits per second; did you mean {number}{unit}?"
    message = _PLAIN.sub(lambda found: f"{found[1]} {_FLAGS[found[2]]}", fault.message)
    return _FIELD.sub(lambda found: _FLAGS[found[1]], message)
