"""RTMP's chunk stream (section 5.3 of its specification): messages, cut into chunks and put together again."""

import struct
from collections.abc import Iterator

import msgspec

SMALLEST = 128  # until the other side says otherwise
_EXTENDED = 0xFFFFFF
_LARGEST_MESSAGE = 1 << 20  # of what servers tell a publisher
_MOST_STREAMS = 64  # each may hold a message that never ends
_HEADER_BYTES = (11, 7, 3, 0)
_SET_CHUNK = 1


class Message(msgspec.Struct, frozen=True):
    kind: int
    stream: int
    at_ms: int
    body: bytes


def written(chunk_stream: int, message: Message, chunk_bytes: int) -> bytes:
    """A message as chunks. `chunk_stream`: 2 to 63."""
    at = message.at_ms & 0xFFFFFFFF
    extended = struct.pack(">I", at) if at >= _EXTENDED else b""
    head = (
        bytes([chunk_stream])
        + min(at, _EXTENDED).to_bytes(3)
        + len(message.body).to_bytes(3)
        + bytes([message.kind])
        + struct.pack("<I", message.stream)
        + extended
    )
    parts = [head, message.body[:chunk_bytes]]
    for begin in range(chunk_bytes, len(message.body), chunk_bytes):
        parts += [bytes([0xC0 | chunk_stream]), extended, message.body[begin : begin + chunk_bytes]]
    return b"".join(parts)


class _Stream:
    """What the headers of one chunk stream leave out, and the message that is coming."""

    def __init__(self) -> None:
        self.at = self.step = self.length = self.kind = self.stream = 0
        self.extended = False
        self.body = bytearray()


class Parser:
    """Bytes → messages. Raises ValueError for what is no chunk stream."""

    def __init__(self) -> None:
        self._chunk_bytes = SMALLEST
        self._data = bytearray()
        self._streams: dict[int, _Stream] = {}

    def feed(self, data: bytes) -> Iterator[Message]:
        self._data += data
        while (used := self._chunk()) is not None:
            size, message = used
            del self._data[:size]
            if message is not None and message.kind == _SET_CHUNK:
                self._chunk_bytes = max(int.from_bytes(message.body[:4]) & 0x7FFFFFFF, 1)
            elif message is not None:
                yield message

    def _chunk(self) -> tuple[int, Message | None] | None:
        """(bytes of the next chunk, the message that it ends); None: it has not come yet."""
        data = self._data
        if not data:
            return None
        form, number, at = data[0] >> 6, data[0] & 0x3F, 1
        if number < 2:
            if len(data) < 3:
                return None
            number, at = (data[1] + 64, 2) if number == 0 else (data[1] + 256 * data[2] + 64, 3)
        end = at + _HEADER_BYTES[form]
        if len(data) < end:
            return None
        one = self._streams.setdefault(number, _Stream())
        if len(self._streams) > _MOST_STREAMS:
            raise ValueError(f"the server uses more than {_MOST_STREAMS} chunk streams")
        stamp = int.from_bytes(data[at : at + 3]) if form < 3 else 0
        extended = stamp == _EXTENDED if form < 3 else one.extended
        length = int.from_bytes(data[at + 3 : at + 6]) if form < 2 else one.length
        if length > _LARGEST_MESSAGE:
            raise ValueError(f"the server sends a message of {length} bytes")
        body = end + (4 if extended else 0)
        left = min(length - (len(one.body) if form == 3 else 0), self._chunk_bytes)
        if len(data) < body + left:
            return None
        if extended:
            stamp = int.from_bytes(data[end:body])
        self._header(one, form, bytes(data[at:end]), stamp, extended, length)
        one.body += data[body : body + left]
        if len(one.body) < one.length:
            return body + left, None
        message = Message(one.kind, one.stream, one.at, bytes(one.body))
        one.body.clear()
        return body + left, message

    @staticmethod
    def _header(one: _Stream, form: int, head: bytes, stamp: int, extended: bool, length: int) -> None:
        if form == 3 and one.body:
            return  # a message goes on
        one.extended, one.length = extended, length
        if form < 3:
            one.step = stamp
            one.body.clear()
        if form < 2:
            one.kind = head[6]
        if form == 0:
            one.stream = int.from_bytes(head[7:11], "little")
        one.at = stamp if form == 0 else one.at + one.step
