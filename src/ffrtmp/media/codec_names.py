"""The names of codecs in playlists (RFC 6381), from what an mp4 file says of its track."""

from collections.abc import Mapping

#: a code point of ITU-T H.273 that says nothing
UNKNOWN = 2
#: code points of transfers → `VIDEO-RANGE` of HLS
HDR = {16: "PQ", 18: "HLG"}


def of(kind: str, boxes: Mapping[bytes, bytes]) -> str:
    """`kind`: the sample entry's name; `boxes`: those in it. Raises ValueError for a codec that playlists have no name for."""
    if kind in ("avc1", "avc3"):
        return f"{kind}.{boxes[b'avcC'][1:4].hex().upper()}"
    if kind in ("hvc1", "hev1"):
        return _hevc(kind, boxes[b"hvcC"])
    if kind == "vp09":
        return _vp9(boxes[b"vpcC"])
    if kind == "av01":
        return _av1(boxes[b"av1C"], colour(boxes))
    if kind == "mp4a":
        return _aac(boxes[b"esds"])
    if kind == "Opus":
        return "opus"
    if kind in ("ac-3", "ec-3", "fLaC", "alac"):
        return kind
    raise ValueError(f"{kind} has no name in playlists")


def _hevc(kind: str, config: bytes) -> str:
    """ISO/IEC 14496-15, annex E.3: `hvc1.1.6.L93.90`."""
    space = ("", "A", "B", "C")[config[1] >> 6]
    tier = "H" if config[1] & 0x20 else "L"
    compatible = int(f"{int.from_bytes(config[2:6], 'big'):032b}"[::-1], 2)
    constraints = config[6:12].rstrip(b"\0")
    tail = "".join(f".{byte:X}" for byte in constraints)
    return f"{kind}.{space}{config[1] & 0x1F}.{compatible:X}.{tier}{config[12]}{tail}"


def colour(boxes: Mapping[bytes, bytes]) -> tuple[int, int, int, int]:
    """Code points of primaries, transfer and matrix, and 1 for full range, as the box `colr` says."""
    said = boxes.get(b"colr", b"")
    if said[:4] != b"nclx":
        return UNKNOWN, UNKNOWN, UNKNOWN, 0
    first, second, third = (int.from_bytes(said[at : at + 2], "big") for at in (4, 6, 8))
    return first, second, third, said[10] >> 7


def _vp9(config: bytes) -> str:
    """VP Codec ISO Media File Format Binding: `vp09.00.10.08`, with the colour where it is HDR."""
    profile, level, packed, *points = config[4:10]
    short = f"vp09.{profile:02d}.{level:02d}.{packed >> 4:02d}"
    if points[1] not in HDR:
        return short
    return short + "".join(f".{value:02d}" for value in (packed >> 1 & 7, *points, packed & 1))


def _av1(config: bytes, said: tuple[int, int, int, int]) -> str:
    """AV1 Codec ISO Media File Format Binding, section 5: `av01.0.04M.08`, with the colour where it is HDR."""
    profile, level = config[1] >> 5, config[1] & 0x1F
    high, deep, twelve = config[2] >> 7, config[2] >> 6 & 1, config[2] >> 5 & 1
    bits = (12 if twelve else 10) if deep else 8
    short = f"av01.{profile}.{level:02d}{'H' if high else 'M'}.{bits:02d}"
    if said[1] not in HDR:
        return short
    mono, across, down, place = config[2] >> 4 & 1, config[2] >> 3 & 1, config[2] >> 2 & 1, config[2] & 3
    subsampling = f"{across}{down}{place if across and down else 0}"
    first, second, third, full = said
    return f"{short}.{mono}.{subsampling}.{first:02d}.{second:02d}.{third:02d}.{full}"


def _aac(descriptor: bytes) -> str:
    """`mp4a.40.2`: the object type of ISO/IEC 14496-1, then AAC's own of 14496-3. Descriptors' lengths take one to four bytes."""
    at = 4

    def enter(skip: int) -> int:
        nonlocal at
        at += 1
        while descriptor[at] & 0x80:
            at += 1
        at += 1
        begin = at
        at += skip
        return begin

    enter(3)  # ES_Descriptor: id and flags, of which we write none
    config = enter(13)
    kind = descriptor[config]
    if kind != 0x40:
        return f"mp4a.{kind:02X}"
    own = enter(0)
    return f"mp4a.40.{descriptor[own] >> 3}"
