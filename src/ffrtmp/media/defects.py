"""Parts of a video that show nothing (black), stand still, or are silent, and frames that repeat the one before.

FFmpeg's blackdetect, freezedetect, scdet and silencedetect put what they find into the frames' metadata; `metadata=print` writes
it into a file that is read line by line. The same is looked for in the input, with looser limits: only what an output has and its
input surely has not is a fault.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ffrtmp.domain.command import Command
from ffrtmp.domain.spec import Limits
from ffrtmp.media import bounds, whitelist
from ffrtmp.media.arguments import GLOBALS
from ffrtmp.media.inspection import Inspection
from ffrtmp.media.tools import Tools

_PICTURES, _SOUND = "pictures.txt", "sound.txt"
#: shorter parts are cuts, fades and pauses
LEAST_SECONDS = {"black": 1.0, "frozen": 2.0, "silent": 1.0}
#: (output, input): `pix_th` is the part of the brightness range below which a pixel is black, `pic_th` how many pixels must be
_BLACK = ("pic_th=0.98:pix_th=0.10", "pic_th=0.95:pix_th=0.15")
#: mean difference of two frames, and the loudest sample, in dB of the full range
_FROZEN_DB = (-60, -50)
_SILENT_DB = (-60, -50)
#: for the input: an encoder takes the grain of a still picture away, and then the output stands quite still
_WITHOUT_GRAIN = "scale=w='max(iw/16,4)':h='max(ih/16,4)':flags=area"
#: filters find the ends of a part within a few frames, encoders soften fades
_MARGIN_SECONDS = 0.5
_MOST_SHOWN = 10


class Span(msgspec.Struct, frozen=True):
    """Seconds from the beginning of what was looked at."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.start:.2f}–{self.end:.2f} s"


class Defects(msgspec.Struct, frozen=True, kw_only=True):
    spans: dict[str, list[Span]]  #: black, frozen, silent
    repeated: int  #: frames that are like the one before


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What of a file is looked at: the filters that select it, and its streams by their index in the file."""

    path: Path
    video: int | None
    audio: int | None
    seconds: float | None
    input_arguments: tuple[str, ...] = ()
    video_filters: tuple[str, ...] = ()
    audio_filters: tuple[str, ...] = ()


def command(part: Part, *, tools: Tools, scratch: Path, limits: Limits, threads: int | None, source: bool) -> Command:
    """Decodes everything once; what is found comes into files of `scratch`, for `read`. `source`: with the looser limits."""
    black, frozen, silent = _BLACK[source], _FROZEN_DB[source], _SILENT_DB[source]
    look = (
        *part.video_filters,
        f"blackdetect=d={LEAST_SECONDS['black']}:{black}",
        "scdet=threshold=100",
        *((_WITHOUT_GRAIN,) if source else ()),
        f"freezedetect=n={frozen}dB:d={LEAST_SECONDS['frozen']}",
        f"metadata=mode=print:file={_PICTURES}",
    )
    graph, maps = [], []
    if part.video is not None:
        graph.append(f"[0:{part.video}]{','.join(look)}[v]")
        maps += ["-map", "[v]"]
    if part.audio is not None:
        hear = (
            *part.audio_filters,
            f"silencedetect=n={silent}dB:d={LEAST_SECONDS['silent']}",
            f"ametadata=mode=print:file={_SOUND}",
        )
        graph.append(f"[0:{part.audio}]{','.join(hear)}[a]")
        maps += ["-map", "[a]"]
    given = () if threads is None else ("-threads", str(threads))
    return Command(
        name="ffmpeg (look for defects)",
        argv=(
            *(tools.ffmpeg, *GLOBALS, *whitelist.ARGUMENTS, *given, *part.input_arguments, "-i", f"file:{part.path}"),
            *("-filter_complex", ";".join(graph), *maps, "-fps_mode:v", "passthrough", "-f", "null", "-"),
        ),
        cwd=scratch,
        limits=bounds.limits(limits, (scratch,)),
        reads=(part.path,),
        writes=(scratch,),
    )


def read(scratch: Path, seconds: float | None) -> Defects:
    """What the filters wrote; the files are removed. A part that lasts to the end has no end there: it ends at `seconds`."""
    found: dict[str, list[Span]] = {name: [] for name in LEAST_SECONDS}
    open_since: dict[str, float] = {}
    repeated, last = -1, 0.0  # the first frame has nothing before it, and counts as a repetition
    for name, value in (*_lines(scratch / _PICTURES), *_lines(scratch / _SOUND)):
        match name:
            case "pts_time":
                last = max(last, float(value))
            case "lavfi.scd.mafd":
                repeated += float(value) == 0
            case "lavfi.black_start":
                open_since["black"] = float(value)
            case "lavfi.freezedetect.freeze_start":
                open_since["frozen"] = float(value)
            case "lavfi.silence_start":
                open_since["silent"] = float(value)
            case "lavfi.black_end":
                _close(found, open_since, "black", float(value))
            case "lavfi.freezedetect.freeze_end":
                _close(found, open_since, "frozen", float(value))
            case "lavfi.silence_end":
                _close(found, open_since, "silent", float(value))
    for kind in list(open_since):
        _close(found, open_since, kind, max(last, seconds or 0.0))
    return Defects(spans=found, repeated=max(repeated, 0))


def _close(found: dict[str, list[Span]], open_since: dict[str, float], kind: str, end: float) -> None:
    since = open_since.pop(kind, None)
    if since is not None:
        found[kind].append(Span(max(since, 0.0), end))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """`frame:12   pts:512   pts_time:0.48` and `lavfi.scd.mafd=0.291` → names and values."""
    try:
        with path.open() as file:
            for line in file:
                name, separator, value = line.strip().partition("=")
                if separator:
                    yield name, value
                elif "pts_time:" in line:
                    yield "pts_time", line.rpartition("pts_time:")[2].strip()
    except FileNotFoundError:
        return  # no such stream, or nothing found
    path.unlink()


def joined(seen: Defects, heard: Defects) -> Defects:
    """Of a picture and a sound that lie in two files."""
    return msgspec.structs.replace(seen, spans=seen.spans | {"silent": heard.spans["silent"]})


def after_silence(found: Defects, seconds: float) -> Defects:
    """What is found when so much silence is put before the sound."""
    later = [Span(span.start + seconds, span.end + seconds) for span in found.spans["silent"]]
    before = [Span(0.0, seconds)] if seconds else []
    return msgspec.structs.replace(found, spans=found.spans | {"silent": [*before, *later]})


def checks(made: Defects, source: Defects | None) -> dict[str, Any]:
    """For the verdict: how many seconds of each, where, and how much of it the input has."""
    found: dict[str, Any] = {}
    for kind, spans in made.spans.items():
        found[f"{kind}_seconds"] = round(sum(span.seconds for span in spans), 2)
        if source is not None:
            found[f"{kind}_seconds_of_input"] = round(sum(span.seconds for span in source.spans[kind]), 2)
        if spans:
            left_out = [f"and {len(spans) - _MOST_SHOWN} more"] if len(spans) > _MOST_SHOWN else []
            found[kind] = [*map(str, spans[:_MOST_SHOWN]), *left_out]
    found["repeated_frames"] = made.repeated
    if source is not None:
        found["repeated_frames_of_input"] = source.repeated
    return found


def problems(made: Defects, source: Defects | None) -> list[str]:
    """What the output has and the input has not. A generated clip has what it is made to have."""
    if source is None:
        return []
    return [
        f"the output is {kind} at {span}, its input is not"
        for kind, spans in made.spans.items()
        for span in spans
        for left in _without(span, source.spans[kind])
        if left.seconds >= LEAST_SECONDS[kind]
    ][:_MOST_SHOWN]


def _without(span: Span, others: list[Span]) -> list[Span]:
    """What of a span lies in none of the others, with their margins."""
    left = [span]
    for other in others:
        start, end = other.start - _MARGIN_SECONDS, other.end + _MARGIN_SECONDS
        left = [
            piece
            for each in left
            for piece in (Span(each.start, min(each.end, start)), Span(max(each.start, end), each.end))
            if piece.end > piece.start
        ]
    return left


def ends(found: Inspection, expected: float | None, tolerance: float) -> tuple[dict[str, Any], list[str]]:
    """How much later than the picture the sound ends, against what the input's index says, and the drift between start and
    end. All in seconds."""
    video, heard = found.main_video, found.main_audio
    if video is None or heard is None or None in (video.first_pts, video.last_pts, heard.first_pts, heard.end_pts):
        return {}, []
    assert video.last_pts is not None
    assert video.first_pts is not None
    assert heard.end_pts is not None
    assert heard.first_pts is not None
    end = heard.end_pts - (video.last_pts + video.last_duration)
    told: dict[str, Any] = {
        "audio_end_offset_seconds": round(end, 4),
        "audio_drift_seconds": round(end - (heard.first_pts - video.first_pts), 4),
    }
    if expected is None:
        return told, []
    told["audio_end_offset_seconds_expected"] = round(expected, 4)
    if abs(end - expected) <= tolerance:
        return told, []
    return told, [f"the sound's end after the picture's is {end:.3f} s, not {expected:.3f} s (± {tolerance:.3f})"]
