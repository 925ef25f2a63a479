"""Does a file end before it says it does? Reads only the sizes of the outermost boxes, no media.

FFmpeg ends with 0 on a faststart mp4 that was cut off (234 of 647 frames), so this is asked first. Containers without a size in
front (mpegts, raw streams, live Matroska) cannot tell.
"""

import os
from typing import BinaryIO

#: ISO base media boxes that stand outermost (ISO/IEC 14496-12 and QuickTime)
_BOXES = frozenset(
    b"ftyp styp moov mdat free skip wide moof mfra sidx ssix prft meta uuid pdin emsg pnot udta mfro".split()
)
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"


def truncated(file: BinaryIO) -> str | None:
    """What is missing, as a sentence, or None. `file` is open for reading in binary."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(16)
    if head[4:8] in _BOXES:
        return _boxes(file, size)
    if head[:4] == _EBML:
        return _matroska(file, size)
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] in (b"AVI ", b"WAVE"):
        claimed = int.from_bytes(head[4:8], "little") + 8
        # a recorder that never finished its file left 0 or the largest number
        if head[:4] == b"RIFF" and 8 < claimed < 0xFFFFFF00 and claimed > size + 1:
            return _sentence("RIFF", claimed, size)
    return None


def _sentence(what: str, claimed: int, size: int) -> str:
    return f"the file has {size} bytes, but its {what} ends at byte {claimed}"


def _boxes(file: BinaryIO, size: int) -> str | None:
    """MP4 and QuickTime: each box says its size and type."""
    at, seen = 0, set()
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if kind not in _BOXES:
            break  # something else stands behind the last box: not ours to judge
        seen.add(kind)
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:
            at = size  # to the end of the file, by definition
            break
        if length < 8:
            break
        at += length
        if at > size:
            return _sentence(kind.decode("ascii"), at, size)
    if b"moov" not in seen and b"mdat" in seen:
        return "the file has media data but no index (moov): it ends before its index, or was never finished"
    if 0 < size - at < 8 and b"moov" not in seen:
        return f"the file ends within a box at byte {at}"
    return None


def _matroska(file: BinaryIO, size: int) -> str | None:
    """Matroska and WebM: the EBML header, then one Segment that may know its size."""
    file.seek(4)
    length, width = _vint(file)
    if length is None:
        return None
    at = 4 + width + length
    if at > size:
        return None  # nonsense, or cut off within the first bytes: libav refuses it
    file.seek(at)
    if file.read(4) != _SEGMENT:
        return None
    length, width = _vint(file)
    end = at + 4 + width + (length or 0)
    return _sentence("Segment", end, size) if length is not None and end > size else None


def _vint(file: BinaryIO) -> tuple[int | None, int]:
    """A length of 1 to 8 bytes (RFC 8794) and how many bytes it took; None means unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None, 0
    width = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(width - 1), "big") & ((1 << (7 * width)) - 1)
    return (None if value == (1 << (7 * width)) - 1 else value), width
