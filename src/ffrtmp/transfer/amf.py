"""AMF0, in which RTMP writes its commands (Adobe, "Action Message Format – AMF 0", 2007): as far as a publisher needs it."""

import struct
from collections.abc import Mapping
from typing import Any

_NUMBER, _BOOLEAN, _STRING, _OBJECT, _NULL, _OBJECT_END = 0, 1, 2, 3, 5, 9
#: nothing that a server says is deeper
_DEEPEST = 16


def encode(*values: object) -> bytes:
    return b"".join(_encoded(value) for value in values)


def decode(data: bytes) -> list[Any]:
    """All values. Raises ValueError for what is not AMF0, or cut off."""
    reader = _Reader(data)
    values = []
    try:
        while reader.at < len(data):
            values.append(reader.value(0))
    except (struct.error, IndexError) as error:
        raise ValueError("an AMF message is cut off") from error
    return values


def _encoded(value: object) -> bytes:
    if value is None:
        return bytes([_NULL])
    if isinstance(value, bool):
        return bytes([_BOOLEAN, value])
    if isinstance(value, int | float):
        return struct.pack(">Bd", _NUMBER, value)
    if isinstance(value, str):
        return bytes([_STRING]) + _name(value)
    if isinstance(value, Mapping):
        fields = b"".join(_name(name) + _encoded(item) for name, item in value.items())
        return bytes([_OBJECT]) + fields + bytes([0, 0, _OBJECT_END])
    raise TypeError(f"{type(value).__name__} has no place in AMF0 here")


def _name(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def _take(self, layout: str) -> Any:
        (value,) = struct.unpack_from(layout, self._data, self.at)
        self.at += struct.calcsize(layout)
        return value

    def _text(self, length: int) -> str:
        if self.at + length > len(self._data):
            raise IndexError
        text = self._data[self.at : self.at + length].decode(errors="replace")
        self.at += length
        return text

    def value(self, depth: int) -> Any:
        kind = self._take(">B")
        if depth > _DEEPEST:
            raise ValueError("an AMF message is too deep")
        match kind:
            case 0:
                return self._take(">d")
            case 1:
                return bool(self._take(">B"))
            case 2:
                return self._text(self._take(">H"))
            case 3:
                return self._fields(depth)
            case 5 | 6:  # null, undefined
                return None
            case 8:  # an array with names
                self._take(">I")  # how many fields: only a hint
                return self._fields(depth)
            case 10:  # an array
                count = self._take(">I")
                if count > len(self._data):
                    raise IndexError
                return [self.value(depth + 1) for _ in range(count)]
            case 11:  # a date
                milliseconds = self._take(">d")
                self._take(">h")  # a time zone that nobody sets
                return milliseconds
            case 12:  # a long string
                return self._text(self._take(">I"))
        raise ValueError(f"an AMF message has a value of the unknown kind {kind}")

    def _fields(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while True:
            name = self._text(self._take(">H"))
            if not name and self._data[self.at] == _OBJECT_END:
                self.at += 1
                return found
            found[name] = self.value(depth + 1)
