"""Names of codecs in playlists, from the configuration boxes that encoders write."""

import pytest

from ffrtmp.media import codec_names

PQ = b"nclx" + bytes.fromhex("0009 0010 0009 00")
FULL = b"nclx" + bytes.fromhex("0009 0012 0009 80")


@pytest.mark.parametrize(
    ("kind", "boxes", "name"),
    [
        ("vp09", {b"vpcC": bytes.fromhex("01000000 00 15 82 02 02 02")}, "vp09.00.21.08"),
        # 10 bits, 4:2:0 with co-located chroma, BT.2020, PQ, limited range
        ("vp09", {b"vpcC": bytes.fromhex("01000000 02 28 a2 09 10 09")}, "vp09.02.40.10.01.09.16.09.00"),
        ("av01", {b"av1C": bytes.fromhex("81 05 0c 00")}, "av01.0.05M.08"),
        ("av01", {b"av1C": bytes.fromhex("81 08 4c 00"), b"colr": PQ}, "av01.0.08M.10.0.110.09.16.09.0"),
        ("av01", {b"av1C": bytes.fromhex("81 08 4e 00"), b"colr": FULL}, "av01.0.08M.10.0.112.09.18.09.1"),
    ],
)
def test_hdr_is_named_with_its_colour(kind, boxes, name):
    assert codec_names.of(kind, boxes) == name


def test_a_colour_that_is_not_said():
    assert codec_names.colour({}) == (2, 2, 2, 0)
    assert codec_names.colour({b"colr": b"prof" + bytes(12)}) == (2, 2, 2, 0)
    assert codec_names.colour({b"colr": PQ}) == (9, 16, 9, 0)
