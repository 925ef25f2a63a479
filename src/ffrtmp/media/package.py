"""Makes a package of CMAF tracks: their files, cut into segments where that was asked, and the playlists over them. Blocks."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from ffrtmp.media import boxes, manifests, playlists
from ffrtmp.media.playlists import Label, Rendition, Text

_COPY_BYTES = 1 << 20


def write(
    folder: Path,
    names: Sequence[str],
    *,
    sounds: Mapping[str, Label] | None = None,
    texts: Mapping[str, Label] | None = None,
    frame_rate: Fraction | None,
    files: bool,
) -> list[Rendition]:
    """`names`: the rungs, largest first, each with `NAME.mp4` in `folder`; `sounds` have such files too, `texts` `NAME.vtt`.
    Returns the rungs. Raises OSError, ValueError."""
    pictures = [_rendition(folder, name, None, frame_rate=frame_rate, files=files) for name in names]
    for one in pictures[1:]:
        if [part.start for part in one.track.fragments] != [part.start for part in pictures[0].track.fragments]:
            raise ValueError(f"the segments of {one.name} do not begin where those of {pictures[0].name} do")
    heard = [_rendition(folder, name, label, frame_rate=None, files=files) for name, label in (sounds or {}).items()]
    shown = [
        Text(name=name, label=label, size=(folder / f"{name}.vtt").stat().st_size)
        for name, label in (texts or {}).items()
    ]
    target = max(playlists.target_seconds(one) for one in (*pictures, *heard))
    for one in (*pictures, *heard):
        (folder / one.playlist).write_text(playlists.media(one, target), encoding="utf-8")
    for one in pictures:
        (folder / one.keyframes_playlist).write_text(playlists.keyframes(one), encoding="utf-8")
    seconds = max(one.track.end_seconds for one in (*pictures, *heard))
    for text in shown:
        (folder / text.playlist).write_text(playlists.text(text, seconds), encoding="utf-8")
    (folder / playlists.MASTER).write_text(playlists.master(pictures, heard, shown), encoding="utf-8")
    (folder / manifests.MANIFEST).write_text(manifests.manifest(pictures, heard, shown), encoding="utf-8")
    return pictures


def _rendition(folder: Path, name: str, label: Label | None, *, frame_rate: Fraction | None, files: bool) -> Rendition:
    path = folder / f"{name}.mp4"
    made = Rendition(name=name, track=boxes.read(path), files=files, frame_rate=frame_rate, label=label)
    if files:
        _cut(path, made)
    return made


def _cut(path: Path, rendition: Rendition) -> None:
    """Fragments become files; what they were cut from goes."""
    with path.open("rb") as source:
        (path.parent / rendition.header).write_bytes(source.read(rendition.track.header_bytes))
        for index, one in enumerate(rendition.track.fragments):
            source.seek(one.offset)
            with (path.parent / rendition.segment(index)).open("wb") as segment:
                left = one.size
                while left:
                    piece = source.read(min(left, _COPY_BYTES))
                    if not piece:
                        raise ValueError(f"{path.name} ended before its last segment did")
                    segment.write(piece)
                    left -= len(piece)
    path.unlink()
