"""What RTMP says on the wire, without a server."""

import asyncio
import struct

import pytest

from ffrtmp.domain import streaming
from ffrtmp.domain.streaming import Target
from ffrtmp.transfer import amf, flv, guard, rtmp, rtmp_chunks
from ffrtmp.transfer.rtmp_chunks import Message


def test_amf_comes_back_as_it_was():
    values = ["connect", 1, {"app": "live", "on": True, "rate": 2.5, "none": None}, None, "ä"]
    assert amf.decode(amf.encode(*values)) == values


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b"\x08\x00\x00\x00\x01\x00\x01w\x00" + struct.pack(">d", 320) + b"\x00\x00\x09", [{"w": 320.0}]),
        (b"\x0a\x00\x00\x00\x02\x05\x01\x00", [[None, False]]),
        (b"\x0b" + struct.pack(">dh", 5, 0) + b"\x06", [5.0, None]),
        (b"\x0c\x00\x00\x00\x02hi", ["hi"]),
    ],
)
def test_what_only_servers_write(raw, values):
    assert amf.decode(raw) == values


@pytest.mark.parametrize(
    "raw", [b"\x00\x01", b"\x02\x00\x09abc", b"\x0a\xff\xff\xff\xff", b"\x03" * 99, b"\x7f", b"\x03\x00\x00"]
)
def test_amf_that_is_broken_is_an_error_of_its_own(raw):
    with pytest.raises(ValueError, match="AMF"):
        amf.decode(raw)


@pytest.mark.parametrize("at", [0, 5, 0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFFF])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 1000])
def test_chunks_are_put_together_whatever_comes_at_once(at, size):
    first, second = Message(9, 1, at, bytes(range(256)) * 4), Message(8, 1, at, b"x" * size)
    raw = rtmp_chunks.written(6, first, 128) + rtmp_chunks.written(4, second, 128)
    for step in (1, 7, len(raw)):
        parser = rtmp_chunks.Parser()
        pieces = (raw[begin : begin + step] for begin in range(0, len(raw), step))
        assert [one for piece in pieces for one in parser.feed(piece)] == [first, second]


def test_a_long_stream_has_a_timestamp_in_each_chunk():
    raw = rtmp_chunks.written(6, Message(9, 1, 0x1000000, b"a" * 200), 128)
    assert len(raw) == 12 + 4 + 128 + 1 + 4 + 72
    assert raw[12 + 4 + 128 :][:5] == b"\xc6\x01\x00\x00\x00"


def test_headers_that_leave_things_out_and_larger_chunks():
    whole = rtmp_chunks.written(3, Message(20, 0, 10, b"abc"), 128)
    larger = rtmp_chunks.written(2, Message(1, 0, 0, struct.pack(">I", 4096)), 128)
    same = b"\x83\x00\x00\x05" + b"def"  # only a step in time
    like = b"\xc3" + b"ghi"  # nothing new
    shorter = b"\x43\x00\x00\x05\x00\x00\x01\x14" + b"z"  # all but the stream
    long = rtmp_chunks.written(5, Message(18, 1, 0, b"y" * 3000), 4096)
    found = list(rtmp_chunks.Parser().feed(whole + larger + same + like + shorter + long))
    assert [(one.at_ms, one.body) for one in found[:4]] == [(10, b"abc"), (15, b"def"), (20, b"ghi"), (25, b"z")]
    assert found[4].body == b"y" * 3000


def test_a_message_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match="16777215 bytes"):
        list(rtmp_chunks.Parser().feed(b"\x03\x00\x00\x00\xff\xff\xff\x14\x00\x00\x00\x00"))


def test_chunk_streams_without_end_are_refused():
    """Each begins a message of 2000 bytes and leaves it."""
    begun = rtmp_chunks.written(3, Message(20, 0, 0, b"x" * 2000), 128)[1:][: 11 + 128]
    raw = b"".join(bytes([0, number]) + begun for number in range(200))
    with pytest.raises(ValueError, match="more than 64 chunk streams"):
        list(rtmp_chunks.Parser().feed(raw))


async def hostile(answers: list[bytes], key: str = "key") -> tuple[asyncio.Server, Target]:
    """A server that shakes hands and then says these commands, whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.readexactly(1537)
        writer.write(b"\x03" + bytes(1536) + hello[1:])
        await reader.readexactly(1536)
        for answer in answers:
            await reader.read(65536)
            writer.write(rtmp_chunks.written(3, Message(20, 0, 0, answer), 128))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, streaming.parse(f"rtmp://127.0.0.1:{server.sockets[0].getsockname()[1]}/app", key, 1.0)


GRANTED = amf.encode("_result", 1.0, None, {"code": "NetConnection.Connect.Success"})


@pytest.mark.parametrize(
    "answers",
    [
        [GRANTED, amf.encode("_result", 4.0, None, float("inf"))],
        [GRANTED, amf.encode("_result", 4.0, None, {"a": "dictionary"})],
        [GRANTED, amf.encode("_result", 4.0, None, -1.0)],
        [b"\x7f"],
        [amf.encode("_result", float("nan")) + b"\x00"],
    ],
    ids=["infinite", "no number", "negative", "no AMF", "cut off"],
)
async def test_a_server_that_answers_nonsense_speaks_no_rtmp(answers):
    server, target = await hostile(answers)
    async with server:
        with pytest.raises(rtmp.Away):
            await rtmp.Connection.open(target, ["127.0.0.1"])


@pytest.mark.parametrize(
    ("key", "repeated"),
    [
        ("a" * 300, "a" * 300),
        ("show?token=0123456789abcdef&expires=5", "0123456789abcdef"),
        ("show?token=0123456789abcdef", "show?token=0123456789abcdef"),
    ],
    ids=["longer than what is told", "a part of it", "whole"],
)
async def test_a_server_that_repeats_the_key_does_not_get_it_told(key, repeated):
    refusal = {"level": "error", "code": "NetStream.Publish.Denied", "description": f"no stream {repeated} here"}
    answers = [
        GRANTED,
        amf.encode("_result", 4.0, None, 1.0),
        amf.encode("onStatus", 0.0, None, refusal),
    ]
    server, target = await hostile(answers, key)
    async with server:
        with pytest.raises(rtmp.Refused, match=r"no stream \*\*\* here"):
            await rtmp.Connection.open(target, ["127.0.0.1"])


async def test_what_is_not_flv_is_told_and_a_tag_that_is_cut_off_is_the_end():
    other = asyncio.StreamReader()
    other.feed_data(b"\x00\x00\x00\x20ftypisom")
    with pytest.raises(ValueError, match="FLV"):
        await anext(flv.tags(other))
    cut = asyncio.StreamReader()
    cut.feed_data(b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00" + b"\x09\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00half")
    cut.feed_eof()
    assert [tag async for tag in flv.tags(cut)] == []


def test_what_tags_are():
    header, key, frame = (flv.Tag(flv.VIDEO, 0, body + b"\0\0\0x") for body in (b"\x17\x00", b"\x17\x01", b"\x27\x01"))
    aac = flv.Tag(flv.AUDIO, 0, b"\xaf\x00\x11\x90")
    assert [(one.is_setup, one.is_frame, one.is_key) for one in (header, key, frame, aac)] == [
        (True, False, False),
        (False, True, True),
        (False, True, False),
        (True, False, False),
    ]
    assert flv.sound(aac) == (48_000, 2)
    assert flv.sound(flv.Tag(flv.AUDIO, 0, b"\xaf\x00\x7f\xff")) is None
    told = amf.encode("onMetaData", {"width": 640.0, "height": 360.0})
    assert flv.size(flv.Tag(flv.DATA, 0, told)) == (640, 360)
    assert flv.size(flv.Tag(flv.DATA, 0, told[:-9])) is None


@pytest.mark.parametrize(
    ("address", "private", "why"),
    [
        ("127.0.0.1", False, "this machine itself"),
        ("127.0.0.1", True, None),
        ("::1", False, "this machine itself"),
        ("::ffff:127.0.0.1", False, "this machine itself"),
        ("10.1.2.3", False, "a private network"),
        ("100.64.0.1", False, "a private network"),
        ("fd00::1", False, "a private network"),
        ("fd00::1", True, None),
        ("93.184.216.34", False, None),
        ("2606:2800:220:1::1", False, None),
        ("169.254.169.254", True, "never streamed to"),
        ("fe80::1%eth0", True, "never streamed to"),
        ("0.0.0.0", True, "never streamed to"),
        ("224.0.0.1", True, "never streamed to"),
    ],
)
def test_which_addresses_are_streamed_to(address, private, why):
    found = guard.forbidden(address, private=private)
    assert found is None if why is None else why in (found or "")
