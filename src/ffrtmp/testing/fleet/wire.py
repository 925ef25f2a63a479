"""HTTP/1.1 for thousands of agents in one process: what `client.http` does for one master, with a tenth of its CPU time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

from ffrtmp.client.worker import WorkerCalls
from ffrtmp.domain import errors
from ffrtmp.protocol import agent, connections, problems

T = TypeVar("T")


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.idle_since = 0.0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._gathered = b""
        self._transport: asyncio.Transport | None = None

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def send(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """Status and body of the answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._gathered += data
        head, found, body = self._gathered.partition(b"\r\n\r\n")
        if not found:
            return
        lengths = [line[15:] for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"]
        if len(body) < (int(lengths[0]) if lengths else 0):
            return
        self._gathered = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the master closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Wire:
    """One agent's way to the master: a connection for each call that is under way, kept a little while for the next."""

    def __init__(self, host: str, port: int) -> None:
        self.credential = ""  #: the masters of these runs ask for none
        self._address = (host, port)
        self._idle: list[_Connection] = []

    def shared(self, seconds: float) -> float:
        """All of it: there is one master."""
        return seconds

    async def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: Any = None,
        body_again: Any = None,  # noqa: ARG002 - for the next master, of which there is none
        timeout: float | None = None,
        as_node: bool = True,  # noqa: ARG002 - as `client.http.Http.call` has it
    ) -> T:
        """Raises the domain error that a problem document tells of; Unavailable when no answer came."""
        content = msgspec.json.encode(body)
        sized = f"content-type: application/json\r\ncontent-length: {len(content)}"
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._address[0]}\r\n{sized}\r\n\r\n"
        try:
            async with asyncio.timeout(timeout):
                status, said = await self._exchange(head.encode() + content)
        except TimeoutError as error:
            raise errors.Unavailable("The master did not answer in time.", code="master_timeout") from error
        except OSError as error:
            raise errors.Unavailable(f"The connection broke: {error}.", code="connection_broken") from error
        if status >= 400:
            raise problems.to_error(status, said)
        if answer is type(None):
            return None
        return msgspec.json.decode(said, type=answer)

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        connection = await self._connection()
        try:
            found = await connection.send(request)
        except BaseException:
            connection.close()  # its answer may still come: nobody else must get it
            raise
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        return found

    async def _connection(self) -> _Connection:
        loop = asyncio.get_running_loop()
        while self._idle:
            kept = self._idle.pop()
            if not kept.closed and kept.idle_since > loop.time() - connections.CLIENT_KEEPS_SECONDS:
                return kept
            kept.close()
        _, made = await loop.create_connection(_Connection, *self._address)
        return made

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()


class Calls(WorkerCalls):
    """The agent's calls, timed. `took` is told what was asked and the seconds from its sending to its whole answer."""

    def __init__(self, wire: Wire, took: Callable[[str, float], None]) -> None:
        self._wire = wire  # type: ignore[assignment] # the part of it that these calls need
        self._took = took

    async def beat(self, node_id: str, beat: agent.Beat, *, timeout: float | None = None) -> agent.BeatReply:
        began = time.perf_counter()
        reply = await super().beat(node_id, beat, timeout=timeout)
        self._took("beat", time.perf_counter() - began)
        return reply

    async def _report(self, attempt_id: str, what: str, message: object, timeout: float | None) -> agent.AttemptReply:
        began = time.perf_counter()
        reply = await super()._report(attempt_id, what, message, timeout)
        self._took(what, time.perf_counter() - began)
        return reply
