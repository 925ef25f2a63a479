"""All sources of the corpus, by name, and their making."""

import subprocess
import threading
from pathlib import Path

from tests.corpus import broken, codecs, pictures, shapes, timing
from tests.corpus.source import Source

SHIPPED = Path(__file__).parents[1] / "media"
#: heading → sources
FAMILIES: dict[str, tuple[Source, ...]] = {
    "Codecs": codecs.H264S,
    "Older codecs": codecs.OLDER,
    "Codecs of production, and without compression": codecs.PRODUCTION,
    "Containers": codecs.CONTAINERS,
    "Sizes and orientation": shapes.SIZES,
    "Fields": shapes.FIELDS,
    "Colour and HDR": shapes.COLOURS,
    "Times": timing.TIMES,
    "Sound": timing.SOUNDS,
    "Tracks": timing.TRACKS,
    "Broken, hostile, or no video": broken.SOURCES,
}
SOURCES: dict[str, Source] = {source.name: source for family in FAMILIES.values() for source in family}
_PARTS = {source.name: source for source in (*shapes.PARTS, *timing.PARTS, *broken.PARTS)}

_TEXTS = {
    "captions.srt": "1\n00:00:00,100 --> 00:00:00,400\nFirst\n\n2\n00:00:00,500 --> 00:00:00,800\nSecond\n\n",
    "chapters.txt": ";FFMETADATA1\ntitle=A second\n"
    + "".join(f"[CHAPTER]\nTIMEBASE=1/10\nSTART={at}\nEND={at + 5}\ntitle=Part {at}\n" for at in (0, 5)),
    "font.ttf": "not really a font",
}


def prepare(folder: Path) -> None:
    """What is neither made by ffmpeg nor of other sources."""
    for name, text in _TEXTS.items():
        (folder / name).write_text(text)
    (folder / "pictures.sup").write_bytes(pictures.blu_ray())


def make(name: str, folder: Path, ffmpeg: str) -> Path:
    """The file of a source, made when it is not there. Made of others, these are made first."""
    path = folder / name
    if path.exists():
        return path
    source = SOURCES.get(name) or _PARTS[name]
    arguments = [argument.replace("{folder}", str(folder)) for argument in source.arguments]
    for part in (*source.of, *(argument.removeprefix("{folder}/") for argument in source.arguments)):
        if part in SOURCES or part in _PARTS:
            make(part, folder, ffmpeg)
    # several that are made at the same time may need one more: whole or not there
    new = path.with_name(f"{threading.get_ident()}-{name}")
    if source.shipped:
        new.write_bytes((SHIPPED / source.shipped).read_bytes())
    elif source.make is not None:
        new.write_bytes(source.make(folder))
    else:
        command = [ffmpeg, "-nostdin", "-v", "error", "-y", *arguments, f"file:{new}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name} cannot be made: {done.stderr.strip()[-500:]}")
    new.replace(path)
    return path
