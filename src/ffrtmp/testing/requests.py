"""HTTP/1.1 requests in a stream of bytes: enough of the framing to send one that was seen a second time."""

import re

#: what is not a request, or not one that we can frame, is not gathered without end
_LARGEST_BYTES = 1 << 20
_LINE = re.compile(rb"(?:POST|PUT|DELETE|GET|HEAD) \S+ HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection: *[^\r]*", re.IGNORECASE)


class Spotter:
    """Finds whole requests in what one connection sends. Gives up on a stream that is something else."""

    def __init__(self) -> None:
        self._gathered = b""
        self._lost = False

    def feed(self, data: bytes) -> list[bytes]:
        """The requests that these bytes made whole."""
        found: list[bytes] = []
        if self._lost:
            return found
        self._gathered += data
        while (end := self._gathered.find(b"\r\n\r\n")) >= 0:
            head = self._gathered[: end + 4]
            length = _LENGTH.search(head)
            if not _LINE.match(head) or b"\r\ntransfer-encoding:" in head.lower():
                self._give_up()
                return found
            size = len(head) + (int(length[1]) if length else 0)
            if len(self._gathered) < size:
                break
            found.append(self._gathered[:size])
            self._gathered = self._gathered[size:]
        if len(self._gathered) > _LARGEST_BYTES:
            self._give_up()
        return found

    def _give_up(self) -> None:
        self._lost, self._gathered = True, b""


def last(request: bytes) -> bytes:
    """The same request, as the only one of its connection."""
    head, _, body = request.partition(b"\r\n\r\n")
    return _CONNECTION.sub(b"", head) + b"\r\nConnection: close\r\n\r\n" + body
