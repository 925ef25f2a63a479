"""What comes out of a child's pipes: bytes for the log, or whole lines."""

import asyncio
from collections.abc import Callable
from typing import IO

#: a longer line is cut: nothing that we start says more in one line
LINE_BYTES = 1024 * 1024


class _Pipe(asyncio.Protocol):
    def __init__(self) -> None:
        self.closed = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self.closed.set()


class BytesPipe(_Pipe):
    """Hands over what arrives, as it arrives."""

    def __init__(self, on_bytes: Callable[[bytes], None]) -> None:
        super().__init__()
        self._on_bytes = on_bytes

    def data_received(self, data: bytes) -> None:
        self._on_bytes(data)


class LinesPipe(_Pipe):
    """Hands over whole lines without their end. What `on_line` raises is kept in `fault`, and `on_fault` is called once."""

    def __init__(self, on_line: Callable[[str], None], on_fault: Callable[[], None]) -> None:
        super().__init__()
        self.fault: Exception | None = None
        self._on_line = on_line
        self._on_fault = on_fault
        self._rest = bytearray()
        self._cutting = False

    def data_received(self, data: bytes) -> None:
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        for line in lines:
            if not self._cutting:
                self._hand_over(line)
            self._cutting = False
        if len(rest) > LINE_BYTES:
            if not self._cutting:
                self._hand_over(rest[:LINE_BYTES])
            self._cutting = True
            rest = bytearray()
        self._rest = rest

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest and not self._cutting:
            self._hand_over(self._rest)
        super().connection_lost(exc)

    def _hand_over(self, line: bytearray) -> None:
        if self.fault is not None:
            return
        try:
            self._on_line(line.removesuffix(b"\r").decode(errors="replace"))
        except Exception as error:  # noqa: BLE001  raised again by Child.wait
            self.fault = error
            self._on_fault()


async def read_pipe(pipe: IO[bytes] | None, protocol: BytesPipe | LinesPipe) -> asyncio.ReadTransport:
    """Let the event loop read one end of a pipe."""
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    return transport
