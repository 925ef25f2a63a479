"""FLV as engines write it into a pipe: tags, each of them one message of RTMP (Adobe, "Video File Format Specification" 10.1)."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from ffrtmp.transfer import amf

AUDIO, VIDEO, DATA = 8, 9, 18
_HEADER_BYTES, _TAG_HEADER_BYTES, _SIZE_BYTES = 9, 11, 4
_AVC, _AAC = 7, 10
_KEY_FRAME = 1
_SEQUENCE_HEADER, _CODED = 0, 1
#: of AudioSpecificConfig (ISO/IEC 14496-3, 1.6.3.3)
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


class Tag(msgspec.Struct, frozen=True):
    kind: int
    at_ms: int
    body: bytes

    @property
    def is_setup(self) -> bool:
        """What a decoder needs before the first frame: it is sent again on each connection."""
        if self.kind == DATA:
            return True
        return len(self.body) > 1 and self._codec in (_AVC, _AAC) and self.body[1] == _SEQUENCE_HEADER

    @property
    def is_frame(self) -> bool:
        """A picture."""
        return self.kind == VIDEO and len(self.body) > 1 and self.body[1] == _CODED

    @property
    def is_key(self) -> bool:
        return self.is_frame and self.body[0] >> 4 == _KEY_FRAME

    @property
    def _codec(self) -> int:
        return self.body[0] & 0x0F if self.kind == VIDEO else self.body[0] >> 4


async def tags(stream: asyncio.StreamReader) -> AsyncIterator[Tag]:
    """Until the stream ends, if need be in the middle of a tag. Raises ValueError when it is not FLV."""
    try:
        head = await stream.readexactly(_HEADER_BYTES)
        if head[:3] != b"FLV":
            raise ValueError("the engine wrote something else than FLV")
        await stream.readexactly(int.from_bytes(head[5:9]) - _HEADER_BYTES + _SIZE_BYTES)
        while True:
            head = await stream.readexactly(_TAG_HEADER_BYTES)
            body = await stream.readexactly(int.from_bytes(head[1:4]))
            await stream.readexactly(_SIZE_BYTES)
            yield Tag(head[0] & 0x1F, int.from_bytes(head[7:8] + head[4:7]), body)
    except asyncio.IncompleteReadError:
        return


def size(data: Tag) -> tuple[int, int] | None:
    """Of the picture, as a DATA tag (onMetaData) says; None: it does not."""
    try:
        values = amf.decode(data.body)
    except ValueError:
        return None
    said = next((value for value in values if isinstance(value, dict)), {})
    width, height = said.get("width"), said.get("height")
    return (int(width), int(height)) if width and height else None


def sound(header: Tag) -> tuple[int, int] | None:
    """Sample rate and channels, as the setup tag of AAC says; None: not as a table's number."""
    config = int.from_bytes(header.body[2:4].ljust(2, b"\0"))
    rate, channels = config >> 7 & 0x0F, config >> 3 & 0x0F
    return (_RATES[rate], channels) if rate < len(_RATES) else None
