"""What really came out, seen by PyAV and by nothing of ffrtmp's, beside what is known of the source because it was made so."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.sidedata.sidedata import Type as Side
from av.stream import Disposition

from tests.corpus.outputs import Output
from tests.corpus.source import Source

_TRANSFERS = {16: "PQ", 18: "HLG"}
_BT709 = 1
#: other names of what the sources have
_LANGUAGES = {"deu": "ger", "und": ""}
#: pictures are compared as so many pixels each way; a square, so that it can be turned
_SIDE = 12
#: of 255, the mean over all of them. Encoders at low quality stay below 6; a mirrored picture is beyond 100
_FAR = 10.0
_FAR_COLOUR = 6.0
#: Matroska says the shape of pixels by whole numbers of them; scaling rounds sides to even ones
_ROUNDED = 0.02


@dataclass
class Seen:
    """A file, as a player would show it."""

    container: str = ""
    codec: str = ""
    size: tuple[int, int] = (0, 0)
    aspect: Fraction = Fraction(1)
    rotation: int = 0
    bits: int = 8
    times: list[float] = field(default_factory=list)
    interlaced: int = 0
    hdr: str = ""
    transfer: int = 0
    mastered: bool = False
    sound: list[dict[str, Any]] = field(default_factory=list)
    subtitles: list[str] = field(default_factory=list)
    chapters: int = 0
    covers: int = 0
    fonts: int = 0
    pictures: list[bytes] = field(default_factory=list)


def look(path: Path) -> Seen:
    """Decodes all of it."""
    seen = Seen()
    with av.open(str(path)) as file:
        films = [one for one in file.streams.video if not one.disposition & Disposition.attached_pic]
        seen.container = file.format.name
        seen.covers = len(file.streams.video) - len(films)
        seen.fonts = len(file.streams.attachments)
        seen.chapters = len(file.chapters())
        seen.subtitles = [one.codec_context.codec.canonical_name for one in file.streams.subtitles]
        film = films[0]
        seen.codec = film.codec_context.codec.canonical_name
        seen.aspect = Fraction(film.sample_aspect_ratio or 1)
        heard = {
            one.index: {
                "codec": one.codec_context.codec.canonical_name,
                "language": _LANGUAGES.get(said := one.metadata.get("language", ""), said),
                "channels": one.codec_context.channels,
                "samples": 0,
                "rate": one.codec_context.sample_rate,
            }
            for one in file.streams.audio
        }
        for packet in file.demux([film, *file.streams.audio]):
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    _frame(seen, frame)
                else:
                    heard[packet.stream.index]["samples"] += frame.samples
        seen.sound = list(heard.values())
    return seen


def _frame(seen: Seen, frame: av.VideoFrame) -> None:
    if not seen.times:
        seen.size = (frame.width, frame.height)
        seen.rotation = -frame.rotation % 360
        seen.bits = max(component.bits for component in frame.format.components)
        seen.transfer = int(frame.color_trc)
        seen.hdr = _TRANSFERS.get(seen.transfer, "")
        seen.mastered = frame.side_data.get(Side.MASTERING_DISPLAY_METADATA) is not None
    seen.times.append(float(frame.time or 0.0))
    seen.interlaced += frame.interlaced_frame
    small = frame.reformat(_SIDE, _SIDE, "rgb24", interpolation="AREA")
    line = small.planes[0].line_size
    data = bytes(small.planes[0])
    seen.pictures.append(b"".join(data[row * line : row * line + 3 * _SIDE] for row in range(_SIDE)))


def problems(source: Source, output: Output, made: Seen, original: Seen | None) -> list[str]:
    """What is not as it must be. `original`: the source, where its frames can be laid beside the output's."""
    found: list[str] = []

    def same(what: str, is_: object, must: object) -> None:
        if is_ != must:
            found.append(f"{what} is {is_}, not {must}")

    same("the codec", made.codec, output.codec)
    same("the size", made.size, _size(source, output))
    same("the rotation", made.rotation, 0)
    if abs(made.aspect / Fraction(source.aspect) - 1) > _ROUNDED:
        found.append(f"the shape of pixels is {made.aspect}, not {source.aspect}")
    kept = bool(source.hdr) and output.ten_bits and not output.hdr_only
    same("the bits", made.bits, 10 if output.ten_bits and source.bits > 8 else 8)
    same("HDR", made.hdr, source.hdr if kept else "")
    same("the mastering display", made.mastered, source.mastered and kept)
    if source.hdr and not kept:
        same("the transfer", made.transfer, _BT709)
    same("frames marked as interlaced", made.interlaced, 0)
    _times(found, source, output, made)
    _tracks(found, source, output, made)
    if original is not None and not found:
        _pictures(found, source, made, original)
    return found


def _size(source: Source, output: Output) -> tuple[int, int]:
    width, height = source.size
    if output.height is not None:
        return max(2, 2 * round(width * output.height / height / 2)), output.height
    return max(2, width - width % 2), max(2, height - height % 2)


def _times(found: list[str], source: Source, output: Output, made: Seen) -> None:
    if source.damaged:
        return
    if any(later <= earlier for earlier, later in zip(made.times, made.times[1:], strict=False)):
        found.append("its frames do not come one after another")
    if output.part is not None:
        if source.seconds == 1.0 and abs(len(made.times) - output.part[1]) > 1:
            found.append(f"{len(made.times)} frames came out, not {output.part[1]}")
        return
    if source.frames is not None and len(made.times) != source.frames:
        found.append(f"{len(made.times)} frames came out, not {source.frames}")
    if len(made.times) > 1:
        span = made.times[-1] - made.times[0]
        length = span * len(made.times) / (len(made.times) - 1)
        if abs(length - source.seconds) > 0.15:
            found.append(f"it lasts {length:.3f} s, not {source.seconds:.3f}")


def _tracks(found: list[str], source: Source, output: Output, made: Seen) -> None:
    if source.damaged:
        return
    languages = list(source.sound)
    if not output.tracks:
        languages = languages[source.default_sound :][:1]
    told = [track["language"] for track in made.sound]
    if told != languages:
        found.append(f"the sound is {told}, not {languages}")
    for track in made.sound:
        if not track["samples"]:
            found.append("a track of sound is empty")
        if output.sound and track["codec"] != output.sound:
            found.append(f"the sound is {track['codec']}, not {output.sound}")
        if source.channels is not None and output.container != "ts" and track["channels"] != source.channels:
            found.append(f"the sound has {track['channels']} channels, not {source.channels}")
    if output.engine == "ffmpeg" and output.part is None:
        texts = source.texts if output.texts else 0
        pictures = sum(kind in output.pictures for kind in source.pictures)
        if len(made.subtitles) != texts + pictures:
            found.append(f"{len(made.subtitles)} tracks of subtitles came out, not {texts + pictures}")
        if output.texts not in ("", "any") and any(kind != output.texts for kind in made.subtitles):
            found.append(f"the subtitles are {made.subtitles}, not {output.texts}")
        beside = (
            ("chapters", made.chapters, source.chapters if output.container != "ts" else 0),
            ("covers", made.covers, source.covers if output.container in ("mp4", "mkv") else 0),
            ("attached files", made.fonts, source.fonts if output.container == "mkv" else 0),
        )
        for what, came, must in beside:
            if came != must:
                found.append(f"{came} {what} came out, not {must}")


def _pictures(found: list[str], source: Source, made: Seen, original: Seen) -> None:
    """Each frame against the source's of the same number, turned as a player turns it."""
    if len(made.pictures) != len(original.pictures):
        return
    for number, (before, after) in enumerate(zip(original.pictures, made.pictures, strict=True)):
        light, colour = _difference(_turned(before, source.turned), after)
        if light > _FAR or colour > _FAR_COLOUR:
            found.append(f"frame {number} is another picture (light {light:.0f}, colour {colour:.0f} of 255 apart)")
            return


def _difference(one: bytes, other: bytes) -> tuple[float, float]:
    """How far the pixels' light is apart, and the whole pictures' colours: details of colour are lost in 4:2:0."""
    lights = [
        [0.299 * picture[at] + 0.587 * picture[at + 1] + 0.114 * picture[at + 2] for at in range(0, len(picture), 3)]
        for picture in (one, other)
    ]
    light = sum(abs(before - after) for before, after in zip(*lights, strict=True)) / len(lights[0])
    colour = max(abs(sum(one[part::3]) - sum(other[part::3])) for part in range(3)) / len(lights[0])
    return light, colour


def _turned(picture: bytes, degrees: int) -> bytes:
    rows = [[picture[3 * (row * _SIDE + at) :][:3] for at in range(_SIDE)] for row in range(_SIDE)]
    for _ in range(degrees // 90):
        rows = [list(row) for row in zip(*reversed(rows), strict=True)]
    return b"".join(pixel for row in rows for pixel in row)


def told(source: Source, output: Output, made: Seen) -> str:
    """A cell of the table."""
    said = []
    if made.hdr:
        said.append({"PQ": "HDR10" if made.mastered else "PQ"}.get(made.hdr, made.hdr))
    elif source.hdr:
        said.append("tone-mapped")
    if made.bits > 8:
        said.append(f"{made.bits}-bit")
    if source.interlaced:
        said.append("deinterlaced")
    if source.turned or source.name.startswith("mirrored"):
        said.append("turned")
    sounds = ["{codec}{many}".format(codec=track["codec"], many=_many(track["channels"])) for track in made.sound]
    said += sounds
    said += [f"+ {kind}" for kind in made.subtitles]
    for number, what in ((made.chapters, "chapters"), (made.covers, "cover"), (made.fonts, "font")):
        if number:
            said.append(f"+ {what}")
    return "✓ " + ", ".join(said).replace(", +", " +") if said else "✓"


def _many(channels: int) -> str:
    return {1: " mono", 2: "", 6: " 5.1", 8: " 7.1"}.get(channels, f" {channels} ch")
