"""Reads the boxes of fragmented mp4 files that we made (ISO/IEC 14496-12): where each fragment lies, and what a track is."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from ffrtmp.media import codec_names

_HEADER = 8
_FLAG_DATA_OFFSET, _FLAG_FIRST_FLAGS = 0x1, 0x4
_RUN_FIELDS = (0x100, 0x200, 0x400, 0x800)  # duration, size, flags, composition offset


class Fragment(msgspec.Struct, frozen=True, kw_only=True):
    """A `moof` with its `mdat`: one segment."""

    offset: int
    size: int
    start: int  #: decode time of its first sample, in the track's ticks
    duration: int
    first_sample_end: int  #: offset, after its first sample, which is a keyframe in a video track


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """The only track of a file. `header_bytes`: how long the initialisation section at the file's beginning is."""

    codec: str  #: RFC 6381, as playlists name it
    timescale: int
    header_bytes: int
    fragments: list[Fragment]
    width: int = 0  #: 0: sound
    height: int = 0
    channels: int = 0
    sample_rate: int = 0
    samples: int = 0
    transfer: int = codec_names.UNKNOWN  #: of its colour, a code point of ITU-T H.273

    @property
    def seconds(self) -> float:
        return sum(one.duration for one in self.fragments) / self.timescale

    @property
    def end_seconds(self) -> float:
        """When the last fragment ends; its first may begin later than at 0."""
        return (self.fragments[-1].start + self.fragments[-1].duration) / self.timescale

    @property
    def longest_seconds(self) -> float:
        return max(one.duration for one in self.fragments) / self.timescale


def read(path: Path) -> Track:
    """Raises ValueError when it is not a file with one track in fragments."""
    fragments: list[Fragment] = []
    header: _Header | None = None
    samples = 0
    with path.open("rb") as file:
        pending: tuple[int, _Run] | None = None
        for kind, offset, size in _boxes(file, 0, path.stat().st_size):
            if kind == b"moov":
                header = _Header(_body(file, offset, size), offset + size)
            elif kind == b"moof":
                if header is None:
                    raise ValueError(f"{path.name}: a fragment before its header")
                pending = offset, _Run(_body(file, offset, size), header.default_duration, header.default_size)
            elif kind == b"mdat" and pending is not None:
                begin, run = pending
                samples += run.count
                fragments.append(
                    Fragment(
                        offset=begin,
                        size=offset + size - begin,
                        start=run.start,
                        duration=run.duration,
                        first_sample_end=offset + _HEADER + run.first_size,
                    )
                )
    if header is None or not fragments:
        raise ValueError(f"{path.name}: no fragment in it")
    return Track(
        codec=header.codec,
        timescale=header.timescale,
        header_bytes=header.end,
        fragments=fragments,
        width=header.width,
        height=header.height,
        channels=header.channels,
        sample_rate=header.sample_rate,
        samples=samples,
        transfer=header.transfer,
    )


def _boxes(file: BinaryIO, offset: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while offset + _HEADER <= end:
        file.seek(offset)
        size, kind = struct.unpack(">I4s", file.read(_HEADER))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        if size < _HEADER:
            raise ValueError(f"a box of {size} bytes at {offset}")
        yield kind, offset, size
        offset += size


def _body(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset + _HEADER)
    return file.read(size - _HEADER)


def children(data: bytes) -> dict[bytes, bytes]:
    """The boxes in the body of one, by their names: the first of each."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at + _HEADER <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < _HEADER:
            break
        found.setdefault(kind, data[at + _HEADER : at + size])
        at += size
    return found


class _Header:
    """What `moov` says of the only track."""

    def __init__(self, moov: bytes, end: int) -> None:
        self.end = end
        boxes = children(moov)
        media = children(children(boxes[b"trak"])[b"mdia"])
        long = media[b"mdhd"][0] == 1
        (self.timescale,) = struct.unpack_from(">I", media[b"mdhd"], 20 if long else 12)
        extends = children(boxes[b"mvex"])[b"trex"]
        _, _, self.default_duration, self.default_size = struct.unpack_from(">IIII", extends, 4)
        described = children(children(media[b"minf"])[b"stbl"])[b"stsd"]
        size, kind = struct.unpack_from(">I4s", described, 8)
        entry = described[16 : 8 + size]
        self.width = self.height = self.channels = self.sample_rate = 0
        if media[b"hdlr"][8:12] == b"vide":
            self.width, self.height = struct.unpack_from(">HH", entry, 24)
            configuration = children(entry[78:])
        else:
            self.channels, _, _, _, rate = struct.unpack_from(">HHHHI", entry, 16)
            self.sample_rate = rate >> 16
            configuration = children(entry[28:])
        self.transfer = codec_names.colour(configuration)[1]
        self.codec = codec_names.of(kind.decode("latin-1"), configuration)


class _Run:
    """What `moof` says of its samples."""

    def __init__(self, moof: bytes, duration: int, size: int) -> None:
        track = children(children(moof)[b"traf"])
        header = track[b"tfhd"]
        flags = int.from_bytes(header[1:4], "big")
        at = 8
        for flag, length in ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4)):
            if flags & flag:
                if flag == 0x8:
                    (duration,) = struct.unpack_from(">I", header, at)
                elif flag == 0x10:
                    (size,) = struct.unpack_from(">I", header, at)
                at += length
        decode = track[b"tfdt"]
        (self.start,) = struct.unpack_from(">Q" if decode[0] == 1 else ">I", decode, 4)
        run = track[b"trun"]
        flags = int.from_bytes(run[1:4], "big")
        (self.count,) = struct.unpack_from(">I", run, 4)
        at = 8 + 4 * bool(flags & _FLAG_DATA_OFFSET) + 4 * bool(flags & _FLAG_FIRST_FLAGS)
        fields = [flag for flag in _RUN_FIELDS if flags & flag]
        rows = [
            struct.unpack_from(f">{len(fields)}I", run, at + 4 * len(fields) * index) for index in range(self.count)
        ]
        durations = [row[fields.index(0x100)] for row in rows] if 0x100 in fields else [duration] * self.count
        self.duration = sum(durations)
        self.first_size = rows[0][fields.index(0x200)] if 0x200 in fields else size
