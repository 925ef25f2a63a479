"""uvicorn inside our own program: our signals, our sockets, our limits for slow clients."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn

from ffrtmp.domain import errors
from ffrtmp.master.http.connection import Connection
from ffrtmp.master.settings import MasterSettings
from ffrtmp.protocol import connections

#: uvicorn ticks ten times a second
_TICKS_PER_CHECK = 10


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: the program has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_CHECK == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.check()
        return await super().on_tick(counter)


def listen(host: str, port: int, flag: str, *, shared: bool = False) -> socket.socket:
    """A socket that listens; `shared` with other processes of this user, among which the kernel spreads the connections. Raises
    InvalidInput naming the flag."""
    made = _bound(host, port, flag, shared=shared)
    made.listen(1024)
    made.setblocking(False)
    return made


def reserve(host: str, port: int, flag: str) -> socket.socket:
    """A socket that holds a port for processes which share it, and takes no connections itself. Raises InvalidInput naming the flag
    when somebody else listens there."""
    listen(host, port, flag).close()  # a shared one would be let in beside another master
    return _bound(host, port, flag, shared=True)


def _bound(host: str, port: int, flag: str, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # accepted connections inherit it. asyncio would set it only on sockets made with IPPROTO_TCP; without it head and body of an
    # answer go out 40 ms apart (Nagle against delayed ACK)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise errors.InvalidInput(
            f"Cannot listen on {host}:{port} ({error.strerror or error}); choose another {flag}, or end what listens there."
        ) from error
    return made


def _is_news(record: logging.LogRecord) -> bool:
    """A client that tries TLS on a plain port is nothing that an operator can mend."""
    return record.getMessage() != "Invalid HTTP request received."


def make(app: Any, *, grace_seconds: float) -> Server:
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    return Server(
        uvicorn.Config(
            app,
            loop="none",
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=connections.MASTER_KEEPS_SECONDS,
            timeout_graceful_shutdown=max(1, round(grace_seconds)),
        )
    )


def use_tls(server: Server, settings: MasterSettings) -> None:
    """Raises InvalidInput when certificate, key or CA cannot be used."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(settings.cert, settings.key)
        if settings.ca is not None:
            context.load_verify_locations(cafile=settings.ca)
            context.verify_mode = ssl.CERT_REQUIRED if settings.mtls else ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        files = f"--cert {settings.cert}, --key {settings.key}" + (f", --ca {settings.ca}" if settings.ca else "")
        raise errors.InvalidInput(f"TLS cannot be set up with {files}: {error}.") from error
    server.config.load()
    server.config.ssl = context


async def stopped(servers: list[asyncio.Task[None]], grace_seconds: float) -> None:
    """Wait for the servers to end; what is still open after the grace is cut."""
    _, late = await asyncio.wait(servers, timeout=grace_seconds + 2)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
