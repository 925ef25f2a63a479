"""The names of the files that ladders and packages are made of."""

import re
from pathlib import Path

_OURS = re.compile(
    r"(\d+p|audio\d*)(-init|-iframes|-\d{5,})?\.(mp4|m4s|m3u8|mkv|webm|ts)"
    r"|subtitles\d*\.(vtt|m3u8)|master\.m3u8|manifest\.mpd|thumbs\.vtt|thumbs-\d{3,}\.jpg"
)
#: what somebody who lists the outputs looks for, first
_FIRST = ("master.m3u8", "manifest.mpd")


def foreign(folder: Path) -> str:
    """The name of something in a directory that we did not make; "": there is nothing. Raises OSError."""
    return next(
        (entry.name for entry in sorted(folder.iterdir()) if entry.is_dir() or not _OURS.fullmatch(entry.name)), ""
    )


def order(path: Path) -> tuple[int, str]:
    """For sorting: entry points first."""
    name = path.name
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)
