import os
from pathlib import Path

import pytest

from ffrtmp.media.truncation import truncated


def box(kind: bytes, payload: bytes, *, claimed: int | None = None) -> bytes:
    return (claimed or 8 + len(payload)).to_bytes(4, "big") + kind + payload


def large(kind: bytes, payload: bytes) -> bytes:
    return b"\0\0\0\1" + kind + (16 + len(payload)).to_bytes(8, "big") + payload


FTYP = box(b"ftyp", b"isomiso2avc1mp41")
MOOV = box(b"moov", b"m" * 100)
MDAT = box(b"mdat", b"d" * 1000)
EBML = b"\x1a\x45\xdf\xa3\x84doct"


def judge(tmp_path: Path, data: bytes) -> str | None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        return truncated(file)


@pytest.mark.parametrize(
    "data",
    [
        FTYP + MOOV + MDAT,
        FTYP + MDAT + MOOV,
        FTYP + MOOV + large(b"mdat", b"d" * 100),
        FTYP + MOOV + b"\0\0\0\0mdat" + b"d" * 100,  # to the end of the file
        FTYP + MOOV + MDAT + b"a tail that is no box at all",
        FTYP + MOOV + MDAT + b"\0" * 50,
        b"RIFF" + (20).to_bytes(4, "little") + b"AVI " + b"x" * 16,
        b"RIFF" + (0).to_bytes(4, "little") + b"AVI " + b"x" * 16,  # never finished: plays all the same
        b"RIFF" + b"\xff\xff\xff\xff" + b"WAVE" + b"x" * 16,
        EBML + b"\x18\x53\x80\x67\x8a" + b"s" * 10,
        EBML + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + b"s" * 10,  # live: unknown size
        EBML,
        b"G" + b"\0" * 187,
        b"",
        b"text that is no video\n" * 10,
    ],
)
def test_what_is_whole_or_cannot_be_known(tmp_path, data):
    assert judge(tmp_path, data) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((FTYP + MOOV + MDAT)[:-1], "has 1139 bytes, but its mdat ends at byte 1140"),
        ((FTYP + MDAT + MOOV)[:500], "its mdat ends at byte"),
        (FTYP + MDAT, "no index"),
        ((FTYP + MDAT + MOOV)[:-50], "its moov ends at byte"),
        ((FTYP + MOOV)[:60], "its moov ends"),
        ((FTYP + MDAT + MOOV)[: 24 + 1008 + 5], "no index"),
        (b"RIFF" + (500).to_bytes(4, "little") + b"AVI " + b"x" * 16, "its RIFF ends at byte 508"),
        (EBML + b"\x18\x53\x80\x67\x50\x00" + b"s" * 10, "its Segment ends"),
    ],
)
def test_what_ends_too_early(tmp_path, data, words):
    assert words in (judge(tmp_path, data) or "")


def test_every_cut_of_a_real_file_is_noticed(tmp_path):
    whole = (Path(__file__).parents[2] / "media" / "bunny.mp4").read_bytes()
    assert judge(tmp_path, whole) is None
    for length in range(40, len(whole), 4001):
        assert judge(tmp_path, whole[:length]), length


def test_random_bytes_raise_nothing(tmp_path):
    for _ in range(200):
        noise = os.urandom(64)
        for head in (b"", EBML, EBML + b"\x18\x53\x80\x67", FTYP, b"RIFF"):
            judge(tmp_path, head + noise)
