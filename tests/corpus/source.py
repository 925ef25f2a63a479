"""What a source of the corpus is: how it is made, and what is known of it because it was made so."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Bytes = Callable[[Path], bytes]


@dataclass(frozen=True, kw_only=True)
class Source:
    """`arguments`: of ffmpeg, without the output; `{folder}` is where the other sources are. `make`: bytes that are made of them,
    where ffmpeg cannot. What is known is as a player shows it; None is not looked at."""

    name: str
    special: str
    arguments: tuple[str, ...] = ()
    make: Bytes | None = None
    of: tuple[str, ...] = ()  #: the sources that `make` reads
    shipped: str = ""  #: a real clip of tests/media
    size: tuple[int, int] = (192, 108)
    turned: int = 0  #: degrees clockwise, by its metadata
    aspect: str = "1/1"  #: of a pixel, after it was turned
    frames: int | None = 25
    seconds: float = 1.0  #: of the picture
    interlaced: bool = False
    hdr: str = ""  #: PQ, HLG
    mastered: bool = False  #: says on which display, and how bright it is
    bits: int = 8
    sound: tuple[str, ...] = ()  #: the language of each track
    default_sound: int = 0
    channels: int | None = None  #: of the first
    texts: int = 0  #: subtitles that are text
    pictures: tuple[str, ...] = ()  #: subtitles that are pictures, by their codec
    chapters: int = 0
    covers: int = 0
    fonts: int = 0
    comparable: bool = True  #: the frames of an output can be laid beside its own, one by one
    damaged: bool = False  #: done as far as it can be decoded, or refused as invalid
    refused: str = ""  #: the code with which every output is refused
    says: str = ""  #: what the refusal must tell
    steady: bool = True  #: at a constant rate

    @property
    def sparse(self) -> bool:
        """A short part of it may have no frame."""
        return self.seconds < 0.3 or (self.frames is not None and self.frames / self.seconds < 5)
