"""Subtitles as pictures, byte by byte: FFmpeg has no encoder for those of Blu-ray."""

import struct

_SECONDS = ((0.1, 0.4), (0.5, 0.8))
_WIDTH, _HEIGHT = 16, 8


def blu_ray() -> bytes:
    """Two white boxes (US 2009/0185789 A1): a display set where each begins, and an empty one where it ends."""
    made = b""
    for number, (begin, end) in enumerate(_SECONDS):
        line = bytes((0x00, 0x80 | _WIDTH, 1, 0x00, 0x00))  # so many pixels of colour 1, end of the line
        picture = struct.pack(">HH", _WIDTH, _HEIGHT) + line * _HEIGHT
        shown = struct.pack(">HHBHBBBB", 192, 108, 0x10, 2 * number, 0x80, 0, 0, 1) + struct.pack(
            ">HBBHH", 0, 0, 0, 80, 90
        )
        window = struct.pack(">BBHHHH", 1, 0, 80, 90, _WIDTH, _HEIGHT)
        palette = bytes((0, 0, 1, 235, 128, 128, 255))
        drawn = struct.pack(">HBB", 0, 0, 0xC0) + len(picture).to_bytes(3, "big") + picture
        parts = ((0x16, shown), (0x17, window), (0x14, palette), (0x15, drawn), (0x80, b""))
        made += b"".join(_segment(begin, kind, data) for kind, data in parts)
        nothing = struct.pack(">HHBHBBBB", 192, 108, 0x10, 2 * number + 1, 0x00, 0, 0, 0)
        made += b"".join(_segment(end, kind, data) for kind, data in ((0x16, nothing), (0x17, window), (0x80, b"")))
    return made


def _segment(seconds: float, kind: int, data: bytes) -> bytes:
    return b"PG" + struct.pack(">IIBH", round(seconds * 90_000), 0, kind, len(data)) + data
