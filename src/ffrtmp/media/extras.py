"""Chapters, covers and attached files: what belongs to a file beside its tracks. Pure."""

from pathlib import Path

import msgspec

from ffrtmp.domain.spec import Container, Spec
from ffrtmp.media.inspection import Attachment, Inspection

_EXTENSIONS = {"mjpeg": "jpg", "png": "png"}
_TYPES = {"jpg": "jpeg", "png": "png"}
_WITH_COVERS = frozenset({Container.MP4, Container.MKV})
_WITH_CHAPTERS = frozenset({Container.MP4, Container.MKV, Container.WEBM})


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    covers: tuple[Attachment, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    chapters: int = 0
    copied_covers: bool = False  #: as a video stream; else attached from files
    notes: tuple[str, ...] = ()


def plan(spec: Spec, inspected: Inspection | None) -> Plan:
    """Fonts stay when metadata goes: subtitles are drawn with them. Chapters would point to the wrong places after a cut."""
    if inspected is None:
        return Plan()
    keep, cut = spec.keep_metadata, spec.start > 0 or spec.duration is not None
    covers = tuple(cover for cover in inspected.covers if cover.codec in _EXTENSIONS)
    fonts = tuple(inspected.attachments) if spec.container is Container.MKV else ()
    chapters = inspected.chapters if keep and not cut and spec.container in _WITH_CHAPTERS else 0
    notes = []
    if inspected.chapters and not chapters and keep:
        why = "they would point to the wrong places after the cut" if cut else f"{spec.container} has none"
        notes.append(f"chapters: left out, because {why}")
    if covers and keep and spec.container not in _WITH_COVERS:
        notes.append(f"cover: left out, because {spec.container} has no place for it")
    if inspected.attachments and not fonts:
        notes.append(f"attached files: left out, because {spec.container} has no place for them")
    taken = covers if keep and spec.container in _WITH_COVERS else ()
    return Plan(
        covers=taken,
        attachments=fonts,
        chapters=chapters,
        copied_covers=bool(taken) and spec.container is Container.MP4,
        notes=tuple(notes),
    )


def attached_covers(made: Plan, scratch: Path) -> list[tuple[Attachment, Path]]:
    """Covers that FFmpeg attaches from files: its Matroska muxer would make a second film of a picture that is copied."""
    if made.copied_covers:
        return []
    return [(cover, scratch / f"cover{cover.index}.{_EXTENSIONS[cover.codec]}") for cover in made.covers]


def arguments(made: Plan, scratch: Path) -> list[str]:
    """The part of a command line. The film is video stream 0."""
    found: list[str] = []
    for number, cover in enumerate(made.covers if made.copied_covers else (), 1):
        found += ["-map", f"0:{cover.index}", f"-c:v:{number}", "copy", f"-disposition:v:{number}", "attached_pic"]
    for font in made.attachments:
        found += ["-map", f"0:{font.index}"]
    if made.attachments:
        found += ["-c:t", "copy"]
    for number, (cover, path) in enumerate(attached_covers(made, scratch), len(made.attachments)):
        extension = _EXTENSIONS[cover.codec]
        found += ["-attach", f"file:{path}", f"-metadata:s:t:{number}", f"mimetype=image/{_TYPES[extension]}"]
        found += [f"-metadata:s:t:{number}", f"filename=cover.{extension}"]
    return found


def film_only(arguments: list[str]) -> list[str]:
    """Options for every video stream, made options for the film: a cover that is copied takes no filter and no rate."""
    return [f"{part}:0" if part.startswith("-") and part.endswith(":v") else part for part in arguments]
