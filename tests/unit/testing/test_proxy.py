"""The fault proxy does to real connections what it is told."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from ffrtmp.testing.proxy import BOTH, Behaviour, Direction, Proxy
from ffrtmp.testing.requests import Spotter, last

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    """Answers each line with its name and the line; notes all that it gets, and how its connections end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.got: list[bytes] = []
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self._grew = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = "ended"
        try:
            while line := await reader.readline():
                async with self._grew:
                    self.got.append(line)
                    self._grew.notify_all()
                writer.write(self.name.encode() + b" " + line)
        except ConnectionError:
            end = "reset"
        self.ends.put_nowait(end)
        writer.close()

    async def has(self, *lines: bytes) -> None:
        async with self._grew:
            await self._grew.wait_for(lambda: self.got == list(lines))


@contextlib.asynccontextmanager
async def _server(name: str) -> AsyncIterator[Server]:
    made = Server(name)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with _server("a") as made:
        yield made


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    made = await Proxy.listen([("127.0.0.1", server.port)], random.Random(7))
    yield made
    await made.close()


async def _connect(proxy: Proxy) -> Streams:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def _ask(streams: Streams, line: bytes = b"x\n") -> bytes:
    streams[1].write(line)
    return await streams[0].readline()


async def _unanswered(asked: "asyncio.Task[bytes]", server: Server, *lines: bytes) -> None:
    """It waits, and the server has these lines only: after another connection's bytes would have come through."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asked.done()
    assert server.got == list(lines)


async def test_passes(proxy: Proxy, server: Server) -> None:
    streams = await _connect(proxy)
    assert await _ask(streams) == b"a x\n"
    streams[1].write_eof()
    assert await streams[0].read() == b""
    assert await server.ends.get() == "ended"


async def test_a_reset_breaks_open_connections_at_both_ends(proxy: Proxy, server: Server) -> None:
    streams = await _connect(proxy)
    await _ask(streams)
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await streams[0].readline()
    assert await server.ends.get() == "reset"
    assert await _ask(await _connect(proxy)) == b"a x\n"


async def test_refused_and_back_on_the_same_port(proxy: Proxy) -> None:
    open_before = await _connect(proxy)
    await _ask(open_before)
    await proxy.behave(Behaviour(refuse=True))
    with pytest.raises(ConnectionRefusedError):
        await _connect(proxy)
    assert await _ask(open_before) == b"a x\n"
    await proxy.heal()
    assert await _ask(await _connect(proxy)) == b"a x\n"


@pytest.mark.parametrize("directions", [BOTH, frozenset({Direction.UP})])
async def test_a_black_hole_lets_nothing_through_until_it_ends(
    proxy: Proxy, server: Server, directions: frozenset[Direction]
) -> None:
    streams = await _connect(proxy)
    await _ask(streams)
    await proxy.behave(Behaviour(black_hole=directions))
    asked = asyncio.create_task(_ask(streams, b"y\n"))
    await _unanswered(asked, server, b"x\n")
    await proxy.heal()
    assert await asked == b"a y\n"


async def test_a_black_hole_downwards_keeps_the_answer_only(proxy: Proxy, server: Server) -> None:
    streams = await _connect(proxy)
    await proxy.behave(Behaviour(black_hole=frozenset({Direction.DOWN})))
    asked = asyncio.create_task(_ask(streams, b"y\n"))
    await server.has(b"y\n")
    await _unanswered(asked, server, b"y\n")
    await proxy.heal()
    assert await asked == b"a y\n"


async def test_half_open(proxy: Proxy, server: Server) -> None:
    """The server's end is gone, the client's is not: what it sends is lost, and it is not told."""
    streams = await _connect(proxy)
    await _ask(streams)
    proxy.half_open()
    assert await server.ends.get() == "reset"
    asked = asyncio.create_task(_ask(streams, b"lost\n"))
    await _unanswered(asked, server, b"x\n")
    assert await _ask(await _connect(proxy)) == b"a x\n"
    await _unanswered(asked, server, b"x\n", b"x\n")
    asked.cancel()


async def test_half_closed_upwards_the_answer_still_comes(proxy: Proxy, server: Server) -> None:
    streams = await _connect(proxy)
    trap = proxy.hold(b"a x", Direction.DOWN)
    asked = asyncio.create_task(_ask(streams))
    await trap.reached()
    proxy.half_close(Direction.UP)
    assert await server.ends.get() == "ended"
    trap.release()
    assert await asked == b"a x\n"


async def test_delay_and_throttle_keep_the_bytes_in_order(proxy: Proxy) -> None:
    await proxy.behave(Behaviour(delay_seconds=0.001, jitter_seconds=0.005, bytes_per_second=100_000))
    streams = await _connect(proxy)
    for number in range(30):
        assert await _ask(streams, b"%d\n" % number) == b"a %d\n" % number


async def test_a_trap_holds_the_one_message(proxy: Proxy, server: Server) -> None:
    streams, other = await _connect(proxy), await _connect(proxy)
    trap = proxy.hold(b"COMMIT", Direction.UP)
    asked = asyncio.create_task(_ask(streams, b"COMMIT\n"))
    await trap.reached()
    assert await _ask(other) == b"a x\n"
    assert server.got == [b"x\n"]
    trap.release()
    assert await asked == b"a COMMIT\n"
    assert await _ask(other, b"COMMIT\n") == b"a COMMIT\n"  # it catches once


async def test_a_trapped_message_may_be_lost_with_its_connection(proxy: Proxy, server: Server) -> None:
    trap = proxy.hold(b"y", Direction.UP)
    asked = asyncio.create_task(_ask(await _connect(proxy), b"y\n"))
    await trap.reached()
    trap.release(reset=True)
    with pytest.raises(ConnectionResetError):
        await asked
    assert await server.ends.get() in ("reset", "ended")
    assert server.got == []


async def test_cut_in_the_middle_of_an_answer(proxy: Proxy, server: Server) -> None:
    streams = await _connect(proxy)
    trap = proxy.cut(b"a long", Direction.DOWN, keep=4)
    streams[1].write(b"long line\n")
    await trap.reached()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await streams[0].readuntil(b"line")
    assert server.got == [b"long line\n"]


async def test_a_request_comes_twice(proxy: Proxy, server: Server) -> None:
    await proxy.behave(Behaviour(copies=1.0, copied=lambda line: line.startswith(b"POST /once")))
    streams = await _connect(proxy)
    other = b"POST /other HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    once = b"POST /once HTTP/1.1\r\nContent-Length: 5\r\n\r\nbody\n"
    streams[1].write(other + once[:-3])
    await server.has(b"POST /other HTTP/1.1\r\n", b"Content-Length: 0\r\n", b"\r\n", *once[:-3].splitlines(True)[:-1])
    streams[1].write(once[-3:])
    again = [b"POST /once HTTP/1.1\r\n", b"Content-Length: 5\r\n", b"Connection: close\r\n", b"\r\n", b"body\n"]
    await server.has(*other.splitlines(True), *once.splitlines(True), *again)


async def test_connections_go_round_and_around_one_that_is_gone(server: Server) -> None:
    async with _server("b") as second:
        addresses = [("127.0.0.1", server.port), ("127.0.0.1", second.port)]
        proxy = await Proxy.listen(addresses, random.Random(7))
        assert [(await _ask(await _connect(proxy)))[:1] for _ in range(4)] == [b"a", b"b", b"a", b"b"]
    assert [(await _ask(await _connect(proxy)))[:1] for _ in range(4)] == [b"a"] * 4
    await proxy.close()


async def test_no_upstream_takes_it(server: Server) -> None:
    async with _server("gone") as gone:
        port = gone.port
    proxy = await Proxy.listen([("127.0.0.1", port)], random.Random(7))
    streams = await _connect(proxy)
    with pytest.raises(ConnectionResetError):
        await _ask(streams)
    await proxy.close()


def test_requests_are_found_in_pieces_and_in_a_row() -> None:
    one = b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"
    two = b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
    spotter = Spotter()
    found = [request for byte in one + two + one[:5] for request in spotter.feed(bytes([byte]))]
    assert found == [one, two]
    assert last(two) == b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert Spotter().feed(b"\0\0\0\x08\x04\xd2\x16/ not http\r\n\r\n" + one) == []
