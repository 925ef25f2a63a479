"""A route as data, and the one ASGI wrapper around every handler: key, body, call, answer, problem document, counts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from ffrtmp.domain import errors
from ffrtmp.master import auth, context
from ffrtmp.master.context import Master
from ffrtmp.master.http.call import Call, Disconnected, Receive, Reply, Scope, Send, Stream
from ffrtmp.protocol import problems

Handler = Callable[[Call], Awaitable[Any]]

_encode = msgspec.json.Encoder().encode
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", problems.CONTENT_TYPE.encode())


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A query parameter, for OpenAPI and for refusing the ones that are not known."""

    name: str
    description: str
    schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "string"})
    repeatable: bool = False
    required: bool = False


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`body` and `answer` are the types that OpenAPI shows; `raw_body`: the handler streams the body itself."""

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    access: auth.Access = auth.Access.USER
    body: type | None = None
    body_required: bool = True
    raw_body: bool = False
    answer: type | None = None
    status: int = 200
    also: tuple[int, ...] = ()  #: other successes, with the same body
    problems: tuple[int, ...] = ()
    query: tuple[Query, ...] = ()
    headers: tuple[Query, ...] = ()  #: request headers that mean something here
    aliases: tuple[str, ...] = ()
    media_type: str = "application/json"
    head: bool = True  #: HEAD is answered like GET; not where a GET changes something


class Endpoint:
    """The ASGI application of one route."""

    def __init__(self, master: Master, route: Route) -> None:
        self._master = master
        self.route = route
        self._reads = route.body is not None and not route.raw_body
        self._query = {query.name: query for query in route.query}
        self._name = f"{route.method} {route.path}"
        self._keys = tuple((self._name, kind) for kind in range(6))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(self._master, scope, receive)
        try:
            found = await self._answer(call)
            answer = await self._stream(found, scope, receive, send) if isinstance(found, Stream) else found
            if answer is None:
                return
        except Disconnected:
            return  # nobody is left to answer
        finally:
            if call.bytes_in:
                self._master.traffic.bytes_in(call.bytes_in)
        status, headers, body = answer
        self._master.traffic.answered(self._keys[status // 100])
        self._master.traffic.bytes_out(len(body))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body if self.route.method != "HEAD" else b""})

    async def _stream(
        self, stream: Stream, scope: Scope, receive: Receive, send: Send
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
        """None: it was sent. Otherwise it failed before it began (a file that is just being removed), and this is the answer."""
        counted = self._counting(send)
        try:
            await stream.app(scope, receive, counted)
        except Disconnected:
            raise
        except Exception:
            self._master.log.exception("an answer broke off", route=self._name)
            if counted.started:
                raise
            return self._problem(_failed())
        return None

    async def _answer(self, call: Call) -> Stream | tuple[int, list[tuple[bytes, bytes]], bytes]:
        try:
            call.principal = await self._master.auth.check(call.headers, self.route.access)
            if len(call.headers) != len(call.scope["headers"]):
                _check_headers(call.scope["headers"])
            if call.scope["query_string"]:
                self._check_query(call)
            if self._reads:
                await call.read()
            found = await self.route.handler(call)
        except errors.FfrtmpError as error:
            return self._problem(error)
        except Disconnected:
            raise
        except asyncio.CancelledError:
            if not self._master.stopping.is_set():
                raise
            # the grace of a stop is over: what is still open gets an answer rather than a broken connection
            return self._problem(errors.Unavailable("This master is stopping.", code="stopping"))
        except Exception:
            self._master.log.exception("a request failed", route=self._name)
            return self._problem(_failed())
        if isinstance(found, Stream):
            return found
        if isinstance(found, Reply):
            headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in found.headers.items()]
            body = found.body if isinstance(found.body, bytes) else b"" if found.body is None else _encode(found.body)
            if body and not any(name == b"content-type" for name, _ in headers):
                headers.append(_JSON)
            return found.status or self.route.status, headers, body
        return self.route.status, [_JSON], _encode(found)

    def _check_query(self, call: Call) -> None:
        given: dict[str, str] = {}
        faults: dict[str, errors.Fault] = {}
        for name, value in call.query():
            known = self._query.get(name)
            path = f"query.{name[:100]}"
            if known is None:
                offer = ", ".join(sorted(self._query)) or "none"
                message = f"is not a known parameter; this route takes: {offer}"
                faults[path] = errors.Fault(path, message, "unknown_field")
            elif given.setdefault(name, value) != value and not known.repeatable:
                faults[path] = errors.Fault(path, "is given twice; give it once")
            elif (choices := known.schema.get("enum")) and value not in choices:
                faults[path] = errors.Fault(path, f"{value[:40]!r} is not known; choose one of {', '.join(choices)}")
        if faults:
            raise errors.InvalidInput(faults=list(faults.values()))

    def _problem(self, error: errors.FfrtmpError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        document = problems.problem(error)
        headers = [_PROBLEM]
        if document.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if document.status == 503:
            headers.append((b"retry-after", b"1"))
        return document.status, headers, _encode(document)

    def _counting(self, send: Send) -> "_Counting":
        return _Counting(self._master.traffic, self._keys, send)


class _Counting:
    """`send` of a stream, counted."""

    def __init__(self, traffic: context.Traffic, keys: tuple[tuple[str, int], ...], send: Send) -> None:
        self._traffic = traffic
        self._keys = keys
        self._send = send
        self.started = False

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._traffic.answered(self._keys[message["status"] // 100])
        elif message["type"] == "http.response.body":
            self._traffic.bytes_out(len(message.get("body", b"")))
        await self._send(message)


def _failed() -> errors.FfrtmpError:
    return errors.FfrtmpError("The master failed on this request; its log says why.", code="internal")


#: two of these that differ could be read differently by a proxy before us
_SINGLE = frozenset(
    {b"authorization", b"x-api-key", b"content-type", b"idempotency-key", b"last-event-id", b"upload-offset"}
)


def _check_headers(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises InvalidInput for a header that is given twice and differs."""
    given: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _SINGLE and given.setdefault(name, value) != value:
            raise errors.InvalidInput(
                faults=[errors.Fault(f"header.{name.decode('latin-1').title()}", "is given twice; give it once")]
            )
