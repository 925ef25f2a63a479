"""One connection of a publisher to an RTMP server (Adobe, "Real Time Messaging Protocol", 1.0), plain or over TLS.

Why not the engines' own: FFmpeg and GStreamer take the stream key on their command line, where all users of the machine read it,
and end with the same code whether a server refuses a stream or is away.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

from ffrtmp.domain.streaming import Scheme, Target
from ffrtmp.transfer import amf, flv, rtmp_chunks
from ffrtmp.transfer.rtmp_chunks import Message

#: longest time for a step of a server: to connect, to answer, to take what is sent
PATIENCE_SECONDS = 10.0
_HANDSHAKE_BYTES = 1536
_CHUNK_BYTES = 16_384
_BUFFER_BYTES = 256 * 1024
_SET_CHUNK, _ACK, _CONTROL, _WINDOW, _BANDWIDTH, _COMMAND = 1, 3, 4, 5, 6, 20
_PING, _PONG = 6, 7
#: which chunk stream carries what; 2 is the protocol's
_COMMANDS, _PUBLISHING, _OF_KIND = 3, 8, {flv.AUDIO: 4, flv.DATA: 5, flv.VIDEO: 6}
_CONNECT, _CREATE = 1, 4  # numbers of the commands that are answered


class Away(Exception):
    """The server cannot be reached, or went away."""


class Refused(Exception):
    """The server is there and does not want the stream. `busy`: somebody else publishes under that key."""

    def __init__(self, why: str, *, busy: bool = False, told: bool = True) -> None:
        super().__init__(why)
        self.busy = busy
        self.told = told  #: False: it only closed the connection


class Connection:
    """`open` makes it. `error` is set, and `on_lost` called, when the server goes away."""

    def __init__(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._target = target
        self._reader = reader
        self._writer = writer
        self._asked = ""  # what the server is to answer now, for messages
        self._stream = 0
        self._answers: dict[int, asyncio.Future[list[Any]]] = {}
        self._status: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._parser = rtmp_chunks.Parser()
        self._chunk_bytes = rtmp_chunks.SMALLEST
        self._window = 2_500_000
        self._received = self._acknowledged = 0
        self.error: Away | Refused | None = None
        self.on_lost: Callable[[], None] = lambda: None
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, target: Target, addresses: list[str], *, context: ssl.SSLContext | None = None) -> "Connection":
        """Connected, and publishing. Raises Away, Refused. `context`: what a server over TLS must satisfy."""
        reader, writer = await _connect(target, addresses, context)
        one = cls(target, reader, writer)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await one._handshake()
                await one._publish()
        except TimeoutError:
            one.abort()
            raise Away(f"it did not answer within {PATIENCE_SECONDS:g} s ({one._asked})") from None
        except (asyncio.IncompleteReadError, OSError, ValueError) as error:
            one.abort()
            raise Away(f"no RTMP server answers there: {_reason(error)} ({one._asked})") from None
        except BaseException:
            one.abort()
            raise
        return one

    async def send(self, tag: flv.Tag) -> None:
        """Raises Away, Refused."""
        body = amf.encode("@setDataFrame") + tag.body if tag.kind == flv.DATA else tag.body
        self._write(_OF_KIND[tag.kind], Message(tag.kind, self._stream, tag.at_ms, body))
        await self._drain()

    async def close(self) -> None:
        """Tell the server that this was the end."""
        with contextlib.suppress(Away, Refused):
            self._command(_COMMANDS, 0, "FCUnpublish", 6, None, self._target.key)
            self._command(_COMMANDS, 0, "deleteStream", 7, None, self._stream)
            await self._drain()
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._writer.wait_closed()
        self.abort()

    def abort(self) -> None:
        """At once: the server sees the connection end."""
        self.on_lost = lambda: None
        if self._listening is not None:
            self._listening.cancel()
        self._writer.transport.abort()

    # the protocol

    async def _handshake(self) -> None:
        self._asked = "the handshake"
        self._writer.write(b"\x03" + struct.pack(">II", 0, 0) + os.urandom(_HANDSHAKE_BYTES - 8))
        answer = await self._reader.readexactly(1 + _HANDSHAKE_BYTES)
        if answer[0] != 3:
            raise ValueError(f"its handshake has the version {answer[0]}, not 3")
        self._writer.write(answer[1:])
        await self._reader.readexactly(_HANDSHAKE_BYTES)

    async def _publish(self) -> None:
        target = self._target
        self._listening = asyncio.create_task(self._listen(), name="rtmp")
        self._write(2, Message(_SET_CHUNK, 0, 0, struct.pack(">I", _CHUNK_BYTES)))
        self._chunk_bytes = _CHUNK_BYTES
        self._asked = f"the application {target.application!r}"
        answer = await self._call(
            "connect",
            _CONNECT,
            {
                "app": target.application,
                "type": "nonprivate",
                "flashVer": "FMLE/3.0 (compatible; ffrtmp)",
                "tcUrl": target.server,
            },
        )
        self._check(answer)
        self._command(_COMMANDS, 0, "releaseStream", 2, None, target.key)
        self._command(_COMMANDS, 0, "FCPublish", 3, None, target.key)
        answer = await self._call("createStream", _CREATE, None)
        self._check(answer)
        self._stream = _whole(answer[3])
        self._asked = "publishing under the stream key"
        self._command(_PUBLISHING, self._stream, "publish", 5, None, target.key, "live")
        await self._drain()
        said = await self._status
        if said.get("level") == "error" or said.get("code") != "NetStream.Publish.Start":
            raise self._refused(said)
        self._asked = ""

    async def _call(self, name: str, number: int, what: dict[str, object] | None) -> list[Any]:
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._command(_COMMANDS, 0, name, number, what)
        await self._drain()
        values: list[Any] = await answer
        return values

    def _check(self, answer: list[Any]) -> None:
        if answer[0] == "_error" or len(answer) < 4:
            raise self._refused(answer[3] if len(answer) > 3 and isinstance(answer[3], dict) else {})

    def _refused(self, said: dict[str, Any]) -> Refused:
        code = str(said.get("code", ""))
        text = self._target.without_key(str(said.get("description") or code or "no reason given"))[:200]
        return Refused(f"it refuses {self._asked}: {text}", busy="BadName" in code or "lready publishing" in text)

    def _command(self, chunk_stream: int, stream: int, *values: object) -> None:
        self._write(chunk_stream, Message(_COMMAND, stream, 0, amf.encode(*values)))

    def _write(self, chunk_stream: int, message: Message) -> None:
        self._writer.write(rtmp_chunks.written(chunk_stream, message, self._chunk_bytes))

    async def _drain(self) -> None:
        if self.error is not None:
            raise self.error
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._writer.drain()
        except TimeoutError:
            raise Away(f"it took nothing for {PATIENCE_SECONDS:g} s") from None
        except OSError as error:
            raise Away(_reason(error)) from None

    # what the server says

    async def _listen(self) -> None:
        try:
            while data := await self._reader.read(65_536):
                self._received += len(data)
                for message in self._parser.feed(data):
                    self._hear(message)
                if self._received - self._acknowledged >= self._window // 2:
                    self._acknowledged = self._received
                    self._write(2, Message(_ACK, 0, 0, struct.pack(">I", self._received & 0xFFFFFFFF)))
            error: Away | Refused = Away("it closed the connection")
            if self._asked:
                error = Refused(f"it closed the connection when it was asked for {self._asked}", told=False)
        except (OSError, ValueError) as fault:
            error = Away(_reason(fault))
        self._lose(error)

    def _lose(self, error: Away | Refused) -> None:
        self.error = self.error or error
        unanswered: list[asyncio.Future[Any]] = [*self._answers.values(), self._status]
        for waiting in unanswered:
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # whoever waits for it gets it; nobody may
        self.on_lost()

    def _hear(self, message: Message) -> None:
        match message.kind:
            case 4 if int.from_bytes(message.body[:2]) == _PING:
                self._write(2, Message(_CONTROL, 0, 0, struct.pack(">H", _PONG) + message.body[2:6]))
            case 5:
                self._window = max(int.from_bytes(message.body[:4]), 2)
            case 6:
                self._write(2, Message(_WINDOW, 0, 0, message.body[:4]))
            case 20:
                self._heard(amf.decode(message.body))

    def _heard(self, values: list[Any]) -> None:
        if len(values) < 2 or not isinstance(values[1], float) or not values[1].is_integer():
            return
        waiting = self._answers.get(int(values[1]))
        if values[0] in ("_result", "_error") and waiting is not None and not waiting.done():
            waiting.set_result(values)
        elif values[0] == "onStatus" and len(values) > 3 and isinstance(values[3], dict):
            if not self._status.done():
                self._status.set_result(values[3])
            elif values[3].get("level") == "error":
                self._asked = "the stream"
                self._lose(self._refused(values[3]))


async def _connect(
    target: Target, addresses: list[str], context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To the first address that answers. Raises Away."""
    tls = target.scheme is Scheme.RTMPS
    more: dict[str, Any] = (
        {"ssl": context or ssl.create_default_context(), "server_hostname": target.host.rstrip(".")} if tls else {}
    )
    why = "it has no address"
    for address in addresses:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await asyncio.open_connection(address, target.port, **more)
        except TimeoutError:
            why = f"{address} did not answer within {PATIENCE_SECONDS:g} s"
        except ssl.SSLCertVerificationError as error:
            why = f"the certificate of {address} is not valid for {target.host}: {error.verify_message}"
        except ssl.SSLError as error:
            why = f"{address} does not speak TLS as it should: {error.reason or error}"
        except OSError as error:
            why = f"{address}: {_reason(error)}"
        else:
            writer.transport.set_write_buffer_limits(high=_BUFFER_BYTES)
            raw = writer.get_extra_info("socket")
            # bytes that nobody acknowledges mean that the server is gone, long before the kernel would say so
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(PATIENCE_SECONDS * 1000))
            return reader, writer
    raise Away(why)


def _whole(value: object) -> int:
    """The number of a stream. Raises ValueError."""
    if not isinstance(value, float) or not 0 <= value < 1 << 32:
        raise ValueError(f"it gives the stream no number but {str(value)[:40]!r}")
    return int(value)


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused, nothing listens there"
    if isinstance(error, asyncio.IncompleteReadError):
        return "the connection was closed"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
