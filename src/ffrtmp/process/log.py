"""What a child said, bounded: the beginning says how it was set up, the end says why it failed."""

import re

HEAD_BYTES = 8 * 1024
TAIL_BYTES = 56 * 1024

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
#: C0 without tab and newline, DEL, C1, and the characters that reorder or hide text
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def clean(text: str) -> str:
    """Text that is safe to print: no escape sequences, no control characters but tab and newline.

    A carriage return becomes a newline, so that a status line that a program rewrites is read as lines.
    """
    return _CONTROL.sub("", _ESCAPE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


class Ring:
    """Keeps the first `head_bytes` and the last `tail_bytes` of what it is fed, however much that is."""

    def __init__(self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def feed(self, data: bytes) -> None:
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._tail_bytes:
            self._trim()

    def _trim(self) -> None:
        excess = len(self._tail) - self._tail_bytes
        if excess > 0:
            del self._tail[:excess]
            self._left_out += excess

    def text(self) -> str:
        """Everything that was kept, cleaned; a line says how many bytes between the two parts are missing."""
        self._trim()
        if not self._left_out:
            return clean((self._head + self._tail).decode(errors="replace"))
        head = clean(self._head.decode(errors="replace"))
        tail = clean(self._tail.decode(errors="replace"))
        return f"{head}\n… {self._left_out} bytes left out …\n{tail}"
