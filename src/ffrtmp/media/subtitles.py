"""Which subtitles come along, and as what: copied where the container takes the codec, text converted to what it takes.

Subtitles that are pictures (DVD, Blu-ray, DVB) cannot become text. Where they have no place they are left out, and that is told;
asked for by name, they are refused.
"""

from collections.abc import Sequence

import msgspec

from ffrtmp.domain import errors, languages
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import Container, InputKind, Pick, Spec
from ffrtmp.media import tracks
from ffrtmp.media.inspection import Inspection, SubtitleStream

#: libav's names of what is text
TEXT = frozenset({"ass", "mov_text", "ssa", "subrip", "text", "webvtt"})
#: what may be copied into a container as it is
CARRIED: dict[Container, frozenset[str]] = {
    Container.MP4: frozenset({"mov_text"}),
    Container.MKV: frozenset({"ass", "dvb_subtitle", "dvd_subtitle", "hdmv_pgs_subtitle", "ssa", "subrip", "webvtt"}),
    Container.WEBM: frozenset({"webvtt"}),
    Container.TS: frozenset({"dvb_subtitle"}),
    Container.FLV: frozenset(),
}
#: what text becomes, by libav's name, and the encoder that makes it
_CONVERTED: dict[Container, str] = {
    Container.MP4: "mov_text",
    Container.MKV: "subrip",
    Container.WEBM: "webvtt",
}
#: a package has text only, as files that players of HLS and DASH both take
_OF_A_PACKAGE = "webvtt"
#: files in an attempt's scratch
WHOLE, CUT = "subtitles-whole.mkv", "subtitles.mkv"
_ENCODERS = {"mov_text": "mov_text", "subrip": "srt", "webvtt": "webvtt"}


class SubtitlePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One subtitle track of the output."""

    source: SubtitleStream
    codec: str  #: libav's name of what comes out
    encoder: str  #: of FFmpeg, or `copy`
    events: int
    exact: bool  #: so many must come out; else at most so many: a converter leaves out what it cannot say

    @property
    def language(self) -> str:
        return languages.three_letters(self.source.language) or ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    tracks: tuple[SubtitlePlan, ...] = ()
    cut: bool = False  #: taken from a file that `ffmpeg.preparing` makes
    notes: tuple[str, ...] = ()


def plan(spec: Spec, inspected: Inspection | None) -> Plan:
    """Raises TaskError(stream_unsuitable) for a track that is asked for by name but has no place in the container."""
    pick = spec.subtitles
    if inspected is None or spec.input.kind is InputKind.GENERATE or pick.pick is Pick.NONE:
        return Plan()
    offered = inspected.subtitles
    chosen = tracks.named("subtitles", pick.named, offered) if pick.pick is Pick.NAMED else offered
    cut = spec.start > 0 or spec.duration is not None
    if cut and inspected.window is None:
        # nothing says when a raw stream's events are
        return Plan(notes=("subtitles: left out, because the input's times cannot be known",) if chosen else ())
    made: list[SubtitlePlan] = []
    notes: list[str] = []
    for source in chosen:
        track = _track(spec, source, cut)
        if track is not None:
            made.append(track)
            if track.encoder != "copy":
                notes.append(f"subtitles: {tracks.describe(source)} becomes {track.codec}, which {_place(spec)} takes")
        elif pick.pick is Pick.AUTO:
            notes.append(f"subtitles: {tracks.describe(source)} is left out: {_place(spec)} cannot hold it")
        else:
            raise errors.TaskError(
                Code.STREAM_UNSUITABLE,
                f"subtitles asks for {tracks.describe(source)}, which {_place(spec)} cannot hold; "
                + ("leave it out" if spec.packaged else _instead(source)),
            )
    return Plan(tracks=tuple(made), cut=cut and bool(made), notes=tuple(notes))


def _instead(source: SubtitleStream) -> str:
    able = [container.value for container, codecs in CARRIED.items() if source.codec in codecs]
    if source.codec in TEXT:
        able = [container.value for container in _CONVERTED]
    return f"use {' or '.join(able)}, or leave it out" if able else "leave it out"


def _place(spec: Spec) -> str:
    return "a package" if spec.packaged else spec.container.value


def _track(spec: Spec, source: SubtitleStream, cut: bool) -> SubtitlePlan | None:
    events = source.window_events if cut else source.events
    if cut and not events:
        return None
    carried = {_OF_A_PACKAGE} if spec.packaged else CARRIED[spec.container]
    if source.codec in carried:
        return SubtitlePlan(source=source, codec=source.codec, encoder="copy", events=events, exact=True)
    codec = _OF_A_PACKAGE if spec.packaged else _CONVERTED.get(spec.container)
    if source.codec not in TEXT or codec is None:
        return None
    return SubtitlePlan(
        source=source, codec=codec, encoder=_ENCODERS[codec], events=events, exact=source.codec == "subrip"
    )


def alone(made: Plan, number: int) -> list[str]:
    """One track, for a file of its own."""
    track = made.tracks[number]
    return ["-map", _stream(made, number), "-c:s", _after_cut(track) if made.cut else track.encoder]


def _stream(made: Plan, number: int) -> str:
    return f"1:s:{number}" if made.cut else f"0:{made.tracks[number].source.index}"


def arguments(made: Plan, keep_metadata: bool) -> list[str]:
    """The part of a command line."""
    found: list[str] = []
    for number, track in enumerate(made.tracks):
        found += ["-map", _stream(made, number)]
        found += [f"-c:s:{number}", _after_cut(track) if made.cut else track.encoder]
        letters = track.language
        if letters and (letters != track.source.language or not keep_metadata):
            found += [f"-metadata:s:s:{number}", f"language={letters}"]
    return found


def _after_cut(track: SubtitlePlan) -> str:
    """The cut file has text that Matroska does not take as SubRip."""
    there = track.source.codec if track.source.codec in CARRIED[Container.MKV] else "subrip"
    return "copy" if there == track.codec else _ENCODERS[track.codec]


def mapped(made: Sequence[SubtitlePlan]) -> list[str]:
    return [part for track in made for part in ("-map", f"0:{track.source.index}")]


def converting(made: Sequence[SubtitlePlan]) -> list[str]:
    """What puts all of them into a Matroska file, before they are cut; nothing where they can be cut as they are."""
    taken = CARRIED[Container.MKV]
    if all(track.source.codec in taken for track in made):
        return []
    codecs = ("copy" if track.source.codec in taken else _ENCODERS["subrip"] for track in made)
    return [*mapped(made), *(part for number, codec in enumerate(codecs) for part in (f"-c:s:{number}", codec))]
