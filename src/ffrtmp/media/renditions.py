"""What goes with the sizes of a package: its sounds, each a file of its own, and its subtitles as WebVTT. Pure."""

import itertools
import re
from collections.abc import Sequence

import msgspec

from ffrtmp.domain import languages
from ffrtmp.domain.spec import AudioCodec, Pick, Spec, Tracks
from ffrtmp.media import audio, rungs, subtitles
from ffrtmp.media.inspection import AudioStream, Inspection, SubtitleStream
from ffrtmp.media.playlists import Label, quotable

#: file names before their numbers
SOUND, TEXT = "audio", "subtitles"
#: left to us, a sound has no more: every player takes it
_USUAL_CHANNELS = 2


#: the first line of a cue, but for settings behind it
_TIMES = re.compile(r"(\d+:)?\d\d:\d\d\.\d{3} --> (\d+:)?\d\d:\d\d\.\d{3}")
#: what FFmpeg makes of styles are the only tags
_NO_TAG = re.compile(r"<(?!/?[biu]>)")


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A sound: `spec` is the job's as if it were all that is made."""

    name: str
    spec: Spec
    label: Label


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A subtitle track: which of the plan's it is, from 0."""

    name: str
    number: int
    label: Label
    plan: subtitles.SubtitlePlan

    def problem(self, text: str, tolerance: int) -> str | None:
        """What is wrong with the file that came out."""
        most, least = self.plan.events + tolerance, min(self.plan.events, 1)
        if self.plan.exact:
            least = self.plan.events - tolerance
        if text.startswith("WEBVTT") and least <= cues(text) <= most:
            return None
        return f"{self.name}.vtt has {cues(text)} cues, not {self.plan.events}"


def cues(text: str) -> int:
    """Of a WebVTT file."""
    return sum(1 for line in text.split("\n") if _TIMES.match(line))


def escaped(text: str) -> str:
    """A WebVTT file as FFmpeg 9.0.2 writes it of another format, so that players read all of it: an arrow or a blank line within a
    text ends its cue for them, and `<` begins a tag."""
    lines, kept = text.split("\n"), ["WEBVTT"]
    for before, line in itertools.pairwise(lines):
        if not before and _TIMES.fullmatch(line):
            kept += ["", line]
        elif line and len(kept) > 1:
            kept.append(_NO_TAG.sub("&lt;", line).replace("-->", "--&gt;"))
    return "\n".join(kept) + "\n"


def sounds(spec: Spec, source: Inspection | None) -> list[Heard]:
    """In their order; none: the package is silent. Left to us it is AAC with at most two channels.
    Raises TaskError as `audio.plan` does."""
    if not spec.packaged:
        return []
    planned = audio.plan(spec, source)
    # that which the source marks as default, else the first
    default = next((track for track in planned if track.source is not None and track.source.default), None)
    made: list[Heard] = []
    for number, track in enumerate(planned, 1):
        label = _label(
            [one.label for one in made],
            track.source,
            f"Audio {number}" if number > 1 else "Main",
            titled=spec.keep_metadata,
            default=track is (default or planned[0]),
        )
        made.append(Heard(name=_numbered(SOUND, number), spec=_alone(spec, source, track), label=label))
    return made


def _alone(spec: Spec, source: Inspection | None, track: audio.AudioPlan) -> Spec:
    asked = spec.audio
    if asked.codec is AudioCodec.AUTO:
        channels = asked.channels or min(track.channels or _USUAL_CHANNELS, _USUAL_CHANNELS)
        asked = msgspec.structs.replace(asked, codec=AudioCodec.AAC, channels=channels)
    if source is not None and track.source is not None:
        place = [one.index for one in source.audio].index(track.source.index) + 1
        asked = msgspec.structs.replace(asked, tracks=Tracks(pick=Pick.NAMED, named=[place]))
    return msgspec.structs.replace(rungs.alone(spec), ladder=None, audio=asked)


def texts(spec: Spec, source: Inspection | None) -> list[Shown]:
    """Raises TaskError as `subtitles.plan` does."""
    if not spec.packaged:
        return []
    made: list[Shown] = []
    for number, track in enumerate(subtitles.plan(spec, source).tracks, 1):
        label = _label(
            [one.label for one in made],
            track.source,
            f"Subtitles {number}",
            titled=spec.keep_metadata,
            default=track.source.default and not any(one.label.default for one in made),
        )
        made.append(Shown(name=_numbered(TEXT, number), number=number - 1, label=label, plan=track))
    return made


def notes(spec: Spec, source: Inspection | None) -> list[str]:
    """What was decided about what has no place in a package, or another one."""
    if not spec.packaged or source is None:
        return []
    made = list(subtitles.plan(spec, source).notes)
    if spec.keep_metadata:
        left = [("chapters", source.chapters), ("covers", len(source.covers))]
        made += [f"{what}: left out, because a package has no place for them" for what, count in left if count]
    return made


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}{number}"


def _label(
    others: Sequence[Label], source: AudioStream | SubtitleStream | None, otherwise: str, *, titled: bool, default: bool
) -> Label:
    """Players list it by its title, else by its language. Names differ within a group (RFC 8216, section 4.3.4.1.1)."""
    if source is None:
        return Label(name=otherwise, default=default)
    language = languages.tag(source.language)
    name = (quotable(source.title) if titled else "") or language or otherwise
    taken = {one.name for one in others}
    more = (f"{name} {count}" for count in range(2, len(taken) + 3))
    return Label(
        name=next(one for one in (name, *more) if one not in taken),
        language=language,
        default=default,
        marks=frozenset(source.marks),
    )
