"""Finding out how a master speaks, over real sockets with real certificates."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from ffrtmp.client import state
from ffrtmp.client.client import Client
from ffrtmp.client.sync import SyncClient
from ffrtmp.domain import errors

Serve = Callable[[ssl.SSLContext | None], Awaitable[int]]
HEALTH = b'{"status": "ok", "version": "1", "database": "sqlite", "uptime_seconds": 1}'


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFRTMP_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
async def seen() -> list[bytes]:
    return []


@pytest.fixture
async def silent() -> asyncio.Event:
    """Set: requests are taken and not answered."""
    return asyncio.Event()


@pytest.fixture
async def serve(seen: list[bytes], silent: asyncio.Event) -> AsyncIterator[Serve]:
    servers: list[asyncio.Server] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readexactly(1)
            if head == b"\x16":  # a TLS handshake, as every HTTP server notices
                writer.close()
                return
            head += await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        seen.append(head)
        if silent.is_set():
            return
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(HEALTH), HEALTH))
        await writer.drain()
        writer.close()

    async def start(context: ssl.SSLContext | None) -> int:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def context(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    return made


@pytest.mark.parametrize("tls", [False, True])
async def test_a_master_that_takes_a_request_and_does_not_answer_is_told_as_such(
    serve: Serve, silent: asyncio.Event, authority: trustme.CA, tmp_path: Path, tls: bool
) -> None:
    """And nothing more is tried there: over plain HTTP the key would go out unprotected."""
    silent.set()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    port = await serve(context(authority) if tls else None)
    for address in (f"127.0.0.1:{port}", f"127.0.0.1:{port},127.0.0.1:1"):
        with pytest.raises(errors.Unavailable, match="took the request and did not answer in time") as caught:
            await Client.connect(address, ca=tmp_path / "ca.crt", timeout=0.5)
        assert "TLS" not in str(caught.value)


async def test_a_bare_address_falls_back_to_plain_http(serve: Serve) -> None:
    port = await serve(None)
    async with await Client.connect(f"127.0.0.1:{port}") as client:
        assert client.base_url == f"http://127.0.0.1:{port}"


async def test_a_given_ca_is_trusted(serve: Serve, authority: trustme.CA, tmp_path: Path) -> None:
    port = await serve(context(authority))
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with await Client.connect(f"127.0.0.1:{port}", ca=tmp_path / "ca.pem") as client:
        assert client.base_url.startswith("https:")


async def test_the_local_masters_certificate_and_key_are_found(
    serve: Serve, authority: trustme.CA, seen: list[bytes]
) -> None:
    port = await serve(context(authority))
    state.write_certificate(authority.cert_pem.bytes().decode())
    state.write_api_key("ffk_local")
    async with await Client.connect(f"http://127.0.0.1:{port}") as client:
        assert client.base_url.startswith("https:")  # the written scheme got no plain answer
    assert b"Bearer ffk_local" in seen[-1]


async def test_an_unknown_certificate_is_no_reason_to_drop_tls(serve: Serve, authority: trustme.CA) -> None:
    port = await serve(context(authority))
    with pytest.raises(errors.Unavailable, match=r"not trusted.*--ca FILE") as caught:
        await Client.connect(f"127.0.0.1:{port}")
    assert caught.value.code == "certificate_not_trusted"
    assert "insecure" not in caught.value.message
    async with await Client.connect(f"127.0.0.1:{port}", insecure=True) as client:
        assert client.base_url.startswith("https:")


async def test_a_certificate_for_another_name_says_what_the_master_needs(
    serve: Serve, authority: trustme.CA, tmp_path: Path
) -> None:
    port = await serve(context(authority))
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with pytest.raises(errors.Unavailable) as caught:
        await Client.connect(f"https://localhost:{port}", ca=tmp_path / "ca.pem")
    said = caught.value.message
    assert "is not made for localhost" in said
    assert "`--cert-hosts localhost`" in said
    assert "--ca" not in said.replace("--cert", "")
    assert ".." not in said


async def test_nobody_there_names_both_tries() -> None:
    with pytest.raises(errors.Unavailable, match=r"with TLS and without: connection refused.*ffrtmp up"):
        await Client.connect("127.0.0.1:9")


async def test_a_master_without_its_database_is_told_as_such() -> None:
    """It answers, so nothing is said of addresses and TLS."""
    said = b'{"title":"Service Unavailable","status":503,"code":"unavailable","detail":"The database is away."}'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        with pytest.raises(errors.Unavailable) as caught:
            await Client.connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert (caught.value.code, caught.value.message) == ("unavailable", "The database is away.")


async def test_of_several_the_one_that_answers_is_found(serve: Serve, authority: trustme.CA, seen: list[bytes]) -> None:
    untrusted, plain = await serve(context(authority)), await serve(None)
    state.write_api_key("ffk_local")
    for _ in range(4):  # in whatever order they are drawn
        written = f"127.0.0.1:9,https://127.0.0.1:{untrusted},127.0.0.1:{plain}"
        async with await Client.connect(written) as client:
            assert client.base_url == f"http://127.0.0.1:{plain}"
            await client.health()
    assert all(b"Bearer ffk_local" in head for head in seen)


async def test_of_several_none_answers_and_each_is_named(serve: Serve, authority: trustme.CA) -> None:
    untrusted = await serve(context(authority))
    with pytest.raises(errors.Unavailable, match=r"^None of the masters answers\. ") as caught:
        await Client.connect(["http://127.0.0.1:9", f"https://127.0.0.1:{untrusted}"])
    assert "http://127.0.0.1:9: connection refused" in caught.value.message
    assert f"https://127.0.0.1:{untrusted}: The master at" in caught.value.message
    assert caught.value.code == "master_unreachable"  # an agent waits: the other one may come back


async def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no")
    with pytest.raises(errors.InvalidInput, match=r"CA file .*ca\.pem cannot be used"):
        Client("https://x", ca=tmp_path / "ca.pem")
    with pytest.raises(errors.InvalidInput, match="client certificate"):
        Client("https://x", cert=tmp_path / "not-there")


async def test_the_sync_client_is_the_same(serve: Serve) -> None:
    port = await serve(None)

    def script() -> str:
        with SyncClient.connect(f"127.0.0.1:{port}") as client:
            status: str = client.health().status
            return status

    assert await asyncio.to_thread(script) == "ok"
