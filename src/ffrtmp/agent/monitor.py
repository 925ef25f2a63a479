"""`/metrics`, `/health` and `/ready` of an agent: a few lines over h11 instead of a web framework's memory."""

import asyncio
import os
from collections.abc import Callable

import h11

from ffrtmp.domain import errors
from ffrtmp.telemetry import metrics

_IDLE_SECONDS = 15.0
_LARGEST_REQUEST_BYTES = 64 * 1024


class Monitor:
    """`healthy`: whether the agent can do its work; `/health` only says that it lives."""

    def __init__(self, registry: metrics.Registry, ready: Callable[[], bool]) -> None:
        self._registry = registry
        self._ready = ready
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Returns the port. Raises InvalidInput when it is taken."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=_LARGEST_REQUEST_BYTES)
        except OSError as error:
            why = os.strerror(error.errno).lower() if error.errno else str(error)
            raise errors.InvalidInput(
                f"--metrics-port {port} cannot be used ({why}); choose another, or --no-metrics."
            ) from error
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def answer(self, method: str, target: str) -> tuple[int, bytes, str]:
        """(status, body, content type)"""
        if method not in ("GET", "HEAD"):
            return 405, b"only GET\n", "text/plain"
        path = target.partition("?")[0]
        if path == "/metrics":
            return 200, self._registry.exposition(), metrics.CONTENT_TYPE
        if path == "/health":
            return 200, b'{"status":"ok"}\n', "application/json"
        if path == "/ready":
            if self._ready():
                return 200, b'{"status":"ready"}\n', "application/json"
            return 503, b'{"status":"not registered"}\n', "application/json"
        return 404, b"here are /metrics, /health and /ready\n", "text/plain"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_REQUEST_BYTES)
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                while True:
                    event = connection.next_event()
                    if event is h11.NEED_DATA:
                        connection.receive_data(await reader.read(_LARGEST_REQUEST_BYTES))
                    elif isinstance(event, h11.Request):
                        self._reply(connection, writer, event)
                        await writer.drain()
                        return
                    else:
                        return
        except (h11.RemoteProtocolError, ConnectionError, TimeoutError):
            return  # who scrapes badly gets nothing, and the agent goes on
        finally:
            writer.close()

    def _reply(self, connection: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request) -> None:
        status, body, kind = self.answer(request.method.decode(), request.target.decode(errors="replace"))
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")]
        sent = [connection.send(h11.Response(status_code=status, headers=headers))]
        if request.method != b"HEAD":
            sent.append(connection.send(h11.Data(data=body)))
        sent.append(connection.send(h11.EndOfMessage()))
        writer.write(b"".join(part for part in sent if part))
