"""One request, as a handler sees it, and what a handler may answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from ffrtmp.domain import errors
from ffrtmp.master import auth
from ffrtmp.master.context import Master
from ffrtmp.protocol import problems

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

#: of a JSON body; bytes go through /uploads
LARGEST_BODY_BYTES = 1 << 20


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not just the route's status and a body."""

    body: Any = None
    status: int | None = None
    headers: Mapping[str, str] = {}


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that an ASGI application sends itself (files, event streams)."""

    app: Callable[[Scope, Receive, Send], Awaitable[None]]


class Disconnected(Exception):
    """The client closed the connection while its body was being read."""


class Call:
    """Holds the scope; reads lazily, since most requests need little of it."""

    __slots__ = ("_receive", "body", "bytes_in", "headers", "master", "path", "principal", "scope")

    def __init__(self, master: Master, scope: Scope, receive: Receive) -> None:
        self.master = master
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.path: dict[str, str] = scope["path_params"]
        self.principal = auth.ADMIN
        self.body = b""
        self.bytes_in = 0
        self._receive = receive

    def header(self, name: str) -> str | None:
        value = self.headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    @property
    def who(self) -> str:
        """Who asks, for the history: by which right, and from where (behind a balancer: the balancer)."""
        by = f"node {self.principal.node_id}" if self.principal.node_id else "API key"
        return f"{by if self.master.auth.required else 'no key'} from {self.client_address or 'this machine'}"

    @property
    def client_address(self) -> str:
        """Of the other end of the connection; "": it came over none."""
        client = self.scope.get("client")
        return client[0] if client else ""

    def decode(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as the decoder's type. Raises InvalidInput for whatever else it is."""
        if not self.body.strip():
            raise errors.InvalidInput(
                "The body is empty; send a JSON object.", code="empty_body", faults=[errors.Fault("", "is empty")]
            )
        try:
            return decoder.decode(self.body)
        except msgspec.ValidationError as error:
            # msgspec says `Expected `int`, got `str` - at `$.free_slots``: the path becomes the fault's
            message, _, location = str(error).partition(" - at `$")
            raise errors.InvalidInput(faults=[errors.Fault(location.rstrip("`").lstrip("."), message)]) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.InvalidInput(f"The body is not JSON: {error}", code="invalid_json") from None
        except RecursionError:
            raise errors.InvalidInput("The body is nested too deeply.", code="invalid_json") from None

    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    async def read(self) -> None:
        """The whole JSON body. Raises PayloadTooLarge before reading more than the limit."""
        announced = self.headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > LARGEST_BODY_BYTES:
            raise _too_large()
        message = await self._receive()
        chunk: bytes = message.get("body", b"")
        if message["type"] == "http.disconnect":
            raise Disconnected
        if not message.get("more_body"):
            self.body = chunk
            self.bytes_in = len(chunk)
            return
        chunks = [chunk]
        size = len(chunk)
        async for chunk in self._rest():
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST_BODY_BYTES:
                raise _too_large()
        self.body = b"".join(chunks)
        self.bytes_in = size

    async def stream(self) -> AsyncIterator[bytes]:
        """The body as it arrives, for uploads. Raises Disconnected."""
        async for chunk in self._rest():
            self.bytes_in += len(chunk)
            yield chunk

    async def _rest(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            more = message.get("more_body", False)
            if chunk := message.get("body", b""):
                yield chunk

    async def disconnect(self) -> None:
        """Return when the client goes away."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def unless_gone(self, work: Awaitable[T]) -> T:
        """Await `work`; when the client goes away first, cancel it and raise Disconnected."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self.disconnect())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Disconnected
        finally:
            gone.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})


async def send_problem(send: Send, document: problems.Problem, *more: tuple[bytes, bytes]) -> None:
    """An answer outside the wrapper of routes. `more`: headers besides type and length."""
    body = msgspec.json.encode(document)
    headers = [(b"content-type", problems.CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": document.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _too_large() -> errors.PayloadTooLarge:
    return errors.PayloadTooLarge(
        f"The body is larger than {LARGEST_BODY_BYTES} bytes; media goes through POST /uploads, many jobs in several batches."
    )
