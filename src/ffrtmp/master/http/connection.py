"""A connection with limits: what a client may send before a request makes sense, and for how long it may keep us waiting.

uvicorn with httptools has none of these: a header that never ends grows until memory does, a client that stops in the middle of a
request or of an answer holds its connection for ever. A sweep looks at all connections once a second, so that a request costs no
timer of its own.
"""

import asyncio
import http
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ffrtmp.protocol import problems

#: of a request line with its headers, or of anything else that is neither head nor body (trailers, chunk extensions)
LARGEST_HEAD_BYTES = 64 * 1024
#: from the first byte (of a new connection: from its opening) until the head is whole
HEAD_SECONDS = 20.0
#: without a byte of the body, while we wait for one
BODY_IDLE_SECONDS = 60.0
#: without the client's reading a byte of the answer, while we have some to send
UNREAD_SECONDS = 60.0
#: after an answer that came before the whole body: what is still read and dropped, so that the client gets to see the answer
DROPPED_BYTES = 64 << 20
DROPPED_SECONDS = 10.0


class Joined:
    """What an answer is written to: its head waits for what follows at once, so that both are one write and one packet."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        if self._held:
            self._transport.write(self._held + data)
            self._held = b""
        elif data.endswith(b"\r\n\r\n"):
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def _flush(self) -> None:
        if self._held:
            self._transport.write(self._held)
            self._held = b""

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(HttpToolsProtocol):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unparsed = 0  #: bytes since the last that made up a head or a piece of a body
        self._head_since: float | None = None  #: waiting for a head since then
        self._body_since: float | None = None  #: waiting for (more of) a body since then
        self._unread_since: float | None = None  #: the client has not taken what we sent since then
        self._dropped = 0

    def connection_made(self, transport: Any) -> None:
        self._head_since = self.loop.time()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._body_since is not None:
            self._body_since = self.loop.time()
            if self.cycle.response_complete:
                self._dropped += len(data)
                if self._dropped > DROPPED_BYTES:
                    self.transport.close()
                    return
        self._unparsed += len(data)
        super().data_received(data)
        if self._head_since is None and self._body_since is None and self.cycle.response_complete:
            self._head_since = (
                self.loop.time()
            )  # empty lines before a request: uvicorn has stopped its keep-alive timer
        if self._unparsed > LARGEST_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(
                431,
                "head_too_large",
                f"The request line and headers are larger than {LARGEST_HEAD_BYTES} bytes; send fewer or shorter ones.",
            )

    def on_message_begin(self) -> None:
        if self._head_since is None:
            self._head_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.cycle.transport = Joined(self.transport, self.loop)  # type: ignore[assignment] # all that a cycle calls
        self._unparsed = self._dropped = 0
        self._head_since = None
        self._body_since = self.loop.time()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        self._body_since = None
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    def check(self) -> None:
        """Ends the connection when its client has kept us waiting for too long."""
        now = self.loop.time()
        if self.transport.is_closing():
            if self._unread_since is not None and self._unread_since < now - UNREAD_SECONDS:
                self.transport.abort()  # closing waits for what is still to be sent
        elif self._unread_since is not None and self._unread_since < now - UNREAD_SECONDS:
            self.transport.abort()
        elif self._head_since is not None and self._head_since < now - HEAD_SECONDS:
            if self._unparsed:
                self._refuse(408, "request_timeout", f"The request's head was not whole after {HEAD_SECONDS:g} s.")
            else:
                self.transport.close()
        elif self._body_since is not None:
            if self.cycle.response_complete:
                if self._body_since < now - DROPPED_SECONDS:
                    self.transport.close()
            elif self.flow.read_paused:
                self._body_since = now  # we are the ones who keep it waiting
            elif self._body_since < now - BODY_IDLE_SECONDS:
                self.transport.abort()  # what arrived is kept: an upload goes on from there

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - of uvicorn
        self._refuse(400, "invalid_http", "This is not HTTP/1.1 that this master reads; send the request anew.")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """An answer to what is no request. None where it would come in the middle of another answer."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not (cycle.response_started or self.pipeline):
            title = http.HTTPStatus(status).phrase
            body = msgspec.json.encode(
                problems.Problem(title=title, status=status, code=code, detail=detail, error=detail)
            )
            head = f"content-type: {problems.CONTENT_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as if it had not asked for another protocol (RFC 9110, 7.8): nothing to warn of."""
