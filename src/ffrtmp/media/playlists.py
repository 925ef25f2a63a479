"""HLS playlists over CMAF tracks and WebVTT (RFC 8216 and its second edition). Pure: text."""

import math
import re
from collections.abc import Sequence
from fractions import Fraction

import msgspec

from ffrtmp.media import codec_names
from ffrtmp.media.boxes import Track

MASTER = "master.m3u8"
#: groups of renditions
_SOUNDS, _TEXTS = "audio", "subtitles"
#: what an input marks a track with → what HLS calls it (Apple, "HLS Authoring Specification", 4 and 5)
_CHARACTERISTICS = {
    "AUDIO": (("visual_impaired", "descriptions"), "public.accessibility.describes-video"),
    "SUBTITLES": (
        ("hearing_impaired", "captions"),
        "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound",
    ),
}
#: control characters, halves of characters, and what is none (RFC 8216bis, section 4.1; XML 1.0, section 2.2)
_NOT_WRITTEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_VERSION = 7  # EXT-X-MAP without EXT-X-I-FRAMES-ONLY needs 6; 7 is what fragmented mp4 is used with


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What players show of a sound or of subtitles. `name` is `quotable`; `marks`: the input's, by libav's names."""

    name: str
    language: str = ""  #: BCP 47; empty: not known
    default: bool = False
    marks: frozenset[str] = frozenset()


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """Subtitles: `NAME.vtt`, one segment."""

    name: str
    label: Label
    size: int

    @property
    def file(self) -> str:
        return f"{self.name}.vtt"

    @property
    def playlist(self) -> str:
        return f"{self.name}.m3u8"


class Rendition(msgspec.Struct, frozen=True, kw_only=True):
    """One track of a package. `files`: a file for each segment, else ranges of `NAME.mp4`."""

    name: str
    track: Track
    files: bool = False
    frame_rate: Fraction | None = None  #: None: sound, or times that follow no rate
    label: Label | None = None  #: of a sound

    @property
    def playlist(self) -> str:
        return f"{self.name}.m3u8"

    @property
    def keyframes_playlist(self) -> str:
        return f"{self.name}-iframes.m3u8"

    @property
    def header(self) -> str:
        return f"{self.name}-init.mp4" if self.files else f"{self.name}.mp4"

    def segment(self, index: int) -> str:
        return f"{self.name}-{index + 1:05d}.m4s" if self.files else f"{self.name}.mp4"

    @property
    def peak_bps(self) -> int:
        """The largest rate of any run of segments between 0.5 and 1.5 target durations (RFC 8216bis, section 4.4.6.2)."""
        fragments, target = self.track.fragments, target_seconds(self)
        best = 0.0
        for first in range(len(fragments)):
            size = seconds = 0.0
            for one in fragments[first:]:
                size, seconds = size + one.size, seconds + one.duration / self.track.timescale
                if seconds > 1.5 * target:
                    break
                if seconds >= 0.5 * target:
                    best = max(best, 8 * size / seconds)
        return math.ceil(best) or self.average_bps

    @property
    def average_bps(self) -> int:
        return math.ceil(8 * sum(one.size for one in self.track.fragments) / self.track.seconds)

    @property
    def keyframes_bps(self) -> int:
        """The largest rate of a key frame over the time that it stands for."""
        scale = self.track.timescale
        return math.ceil(
            max(8 * (one.first_sample_end - one.offset) * scale / one.duration for one in self.track.fragments)
        )


def target_seconds(rendition: Rendition) -> int:
    """Every segment's length, rounded, is at most so much."""
    return max(1, math.floor(rendition.track.longest_seconds + 0.5))


def media(rendition: Rendition, target: int) -> str:
    """`target`: the largest of all pictures and sounds, which must agree (RFC 8216, section 6.2.4)."""
    lines = _head(target)
    lines += _map(rendition)
    for index, one in enumerate(rendition.track.fragments):
        lines.append(f"#EXTINF:{one.duration / rendition.track.timescale:.6f},")
        if not rendition.files:
            lines.append(f"#EXT-X-BYTERANGE:{one.size}@{one.offset}")
        lines.append(rendition.segment(index))
    return _text([*lines, "#EXT-X-ENDLIST"])


def keyframes(rendition: Rendition) -> str:
    """For scrubbing: of each segment the bytes to the end of its first picture."""
    lines = [*_head(target_seconds(rendition)), "#EXT-X-I-FRAMES-ONLY", *_map(rendition)]
    for index, one in enumerate(rendition.track.fragments):
        lines.append(f"#EXTINF:{one.duration / rendition.track.timescale:.6f},")
        at = 0 if rendition.files else one.offset
        lines += [f"#EXT-X-BYTERANGE:{one.first_sample_end - one.offset}@{at}", rendition.segment(index)]
    return _text([*lines, "#EXT-X-ENDLIST"])


def _head(target: int) -> list[str]:
    return [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION}",
        f"#EXT-X-TARGETDURATION:{target}",
        "#EXT-X-MEDIA-SEQUENCE:1",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]


def _map(rendition: Rendition) -> list[str]:
    where = "" if rendition.files else f',BYTERANGE="{rendition.track.header_bytes}@0"'
    return [f'#EXT-X-MAP:URI="{rendition.header}"{where}']


def text(one: Text, seconds: float) -> str:
    """One segment of the whole length, which is allowed to subtitles."""
    head = _head(max(1, math.ceil(seconds)))
    return _text([*head, f"#EXTINF:{seconds:.6f},", one.file, "#EXT-X-ENDLIST"])


def master(pictures: Sequence[Rendition], sounds: Sequence[Rendition], texts: Sequence[Text]) -> str:
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{_VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for sound in sounds:
        more = f',CHANNELS="{sound.track.channels}"'
        lines.append(_alternative("AUDIO", _SOUNDS, sound.label or Label(name=sound.name), sound.playlist, more))
    for shown in texts:
        forced = ",FORCED=YES" if "forced" in shown.label.marks else ""
        lines.append(_alternative("SUBTITLES", _TEXTS, shown.label, shown.playlist, forced))
    groups = f',AUDIO="{_SOUNDS}"' if sounds else ""
    groups += f',SUBTITLES="{_TEXTS}"' if texts else ""
    # every combination that may be played is within these
    peak_heard = max((sound.peak_bps for sound in sounds), default=0)
    average_heard = max((sound.average_bps for sound in sounds), default=0)
    heard = list(dict.fromkeys(sound.track.codec for sound in sounds))
    for one in pictures:
        rate = f",FRAME-RATE={float(one.frame_rate):.3f}" if one.frame_rate else ""
        lines += [
            f"#EXT-X-STREAM-INF:BANDWIDTH={one.peak_bps + peak_heard},AVERAGE-BANDWIDTH={one.average_bps + average_heard},"
            f'CODECS="{",".join([one.track.codec, *heard])}",{_shown(one)}{rate}{groups}',
            one.playlist,
        ]
    for one in pictures:
        lines.append(
            f'#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={one.keyframes_bps},CODECS="{one.track.codec}",'
            f'{_shown(one)},URI="{one.keyframes_playlist}"'
        )
    return _text(lines)


def _shown(one: Rendition) -> str:
    return (
        f"RESOLUTION={one.track.width}x{one.track.height},VIDEO-RANGE={codec_names.HDR.get(one.track.transfer, 'SDR')}"
    )


def _alternative(kind: str, group: str, label: Label, playlist: str, more: str) -> str:
    said = [f'#EXT-X-MEDIA:TYPE={kind},GROUP-ID="{group}",NAME="{label.name}"']
    said += [f'LANGUAGE="{label.language}"'] if label.language else []
    said += [f"DEFAULT={'YES' if label.default else 'NO'}", "AUTOSELECT=YES"]
    marks, characteristics = _CHARACTERISTICS[kind]
    said += [f'CHARACTERISTICS="{characteristics}"'] if label.marks & set(marks) else []
    return ",".join(said) + f'{more},URI="{playlist}"'


def quotable(text: str) -> str:
    """A title as attributes and XML take it: without quotes, line ends, control characters and what is no character."""
    return " ".join(_NOT_WRITTEN.sub(" ", text.replace('"', "'")).split())


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
