"""Clients that do not keep to HTTP, or keep the master waiting."""

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator

import pytest

from ffrtmp.master import artifacts
from ffrtmp.master.http import connection

from .conftest import Running

_HOST = b"\r\nHost: localhost\r\n"


@contextlib.asynccontextmanager
async def _connected(master: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = master.ready.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def _told(master: Running, *sent: bytes) -> bytes:
    """What the master answers until it closes the connection."""
    async with _connected(master) as (reader, writer):
        with contextlib.suppress(ConnectionError):
            for piece in sent:
                writer.write(piece)
                await writer.drain()
        found = b""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                found += piece
        return found


@pytest.mark.parametrize(
    "sent",
    [
        b"FOO /jobs HTTP/1.1" + _HOST + b"\r\n",
        b"POST /jobs HTTP/1.1" + _HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /jobs HTTP/1.1" + _HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /jobs HTTP/1.1" + _HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /jobs/\xff\xfe HTTP/1.1" + _HOST + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    ],
    ids=["method", "two-lengths", "length-and-chunks", "chunk", "bytes-in-path", "tls"],
)
async def test_what_is_not_http_gets_a_problem_document(master: Running, sent: bytes) -> None:
    answer = await _told(master, sent)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in answer
    assert b'"code":"invalid_http"' in answer


@pytest.mark.parametrize(
    "endless",
    [
        [b"GET /health HTTP/1.1" + _HOST + b"X-Long: ", *[b"x" * 65536] * 64],
        [b"GET /health HTTP/1.1" + _HOST, *[b"X-Many: y\r\n" * 6000] * 64],
        [b"GET /" + b"x" * 65536, *[b"x" * 65536] * 64],
    ],
    ids=["one-header", "many-headers", "path"],
)
async def test_a_head_that_never_ends_is_refused_before_it_fills_the_memory(
    master: Running, endless: list[bytes]
) -> None:
    answer = await _told(master, *endless)
    assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""  # our closing may outrun the answer
    assert (await master.send("GET", "/health"))["status"] == "ok"


@pytest.mark.parametrize("junk", [b"0\r\nX-Trailer: ", b"5;"], ids=["trailer", "chunk-extension"])
async def test_chunks_with_endless_ornaments_are_cut(master: Running, junk: bytes) -> None:
    head = b"POST /jobs HTTP/1.1" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    await _told(master, head, junk, *[b"x" * 65536] * 64)
    assert (await master.send("GET", "/jobs"))["count"] == 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"", b""), (b"GET /health HTTP/1.1\r\nHos", b"408"), (b"\r\n", b"408")],
    ids=["nothing", "half-a-head", "empty-lines"],
)
async def test_a_head_that_does_not_come_ends_the_connection(
    master: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    assert (await _told(master, sent))[9:12] == status


async def test_empty_lines_do_not_keep_a_used_connection_open(master: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    async with _connected(master) as (reader, writer):
        writer.write(b"GET /health HTTP/1.1" + _HOST + b"\r\n")
        await reader.readuntil(b"}")
        writer.write(b"\r\n")
        await reader.read()


async def test_a_body_that_stops_ends_the_connection(master: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_IDLE_SECONDS", 0.2)
    assert await _told(master, b"POST /jobs HTTP/1.1" + _HOST + b"Content-Length: 9\r\n\r\nhello") == b""


async def test_an_upload_whose_body_stops_goes_on_from_there(master: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"hello you"
    body = {"name": "x", "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    where = f"/uploads/{(await master.send('POST', '/uploads', json=body))['id']}"
    arrived = asyncio.Event()
    add = artifacts._Pending.add

    async def noted(self: artifacts._Pending, chunk: bytes) -> None:
        await add(self, chunk)
        arrived.set()

    monkeypatch.setattr(artifacts._Pending, "add", noted)
    async with _connected(master) as (reader, writer):
        writer.write(f"PUT {where} HTTP/1.1".encode() + _HOST + b"Content-Length: 9\r\n\r\nhello")
        await arrived.wait()
        monkeypatch.setattr(connection, "BODY_IDLE_SECONDS", 0.2)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    rest = await master.send("PUT", where, content=b" you", headers={"Upload-Offset": "5"})
    assert rest["complete"]


async def test_a_client_that_reads_nothing_is_cut(master: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is larger than all buffers on the way."""
    content = b"x" * (32 << 20)
    sha256 = hashlib.sha256(content).hexdigest()
    made = await master.send("POST", "/uploads", json={"name": "x", "size_bytes": len(content), "sha256": sha256})
    await master.send("PUT", f"/uploads/{made['id']}", content=content)
    cut = asyncio.Event()
    ended = connection.Connection.connection_lost

    def lost(self: connection.Connection, error: Exception | None) -> None:
        if self._unread_since is not None:
            cut.set()
        ended(self, error)

    monkeypatch.setattr(connection.Connection, "connection_lost", lost)
    monkeypatch.setattr(connection, "UNREAD_SECONDS", 0.2)
    host, port = master.ready.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as deaf:
        deaf.sendall(f"GET /uploads/{made['id']}/content HTTP/1.1".encode() + _HOST + b"\r\n")
        await cut.wait()


async def test_an_answer_before_the_end_of_the_body_reaches_its_sender(
    master: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = b"POST /jobs HTTP/1.1" + _HOST + b"Content-Length: 900000000\r\n\r\n"
    monkeypatch.setattr(connection, "DROPPED_SECONDS", 0.2)
    assert (await _told(master, head, b"x" * 1000)).startswith(b"HTTP/1.1 413 ")
    monkeypatch.setattr(connection, "DROPPED_SECONDS", 60.0)
    monkeypatch.setattr(connection, "DROPPED_BYTES", 1 << 20)
    answer = await _told(master, head, *[b"x" * 65536] * 64)
    assert answer.startswith(b"HTTP/1.1 413 ") or answer == b""


async def test_an_upgrade_is_not_taken_and_not_logged(master: Running, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Connection": "upgrade, http2-settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}
    assert (await master.send("GET", "/health", headers=headers))["status"] == "ok"
    assert "Unsupported upgrade" not in caplog.text
