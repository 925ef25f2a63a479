"""A TCP proxy that misbehaves on command, between any two programs: agents and masters, a master and its database.

It passes bytes until it is told otherwise, and what it is told counts at once for open connections too:

    proxy = await Proxy.listen([("127.0.0.1", 8080)], random.Random(7))
    await proxy.behave(Behaviour(delay_seconds=0.2))     # slow
    await proxy.behave(Behaviour(black_hole=BOTH))       # a partition: nothing comes through, nothing is closed
    await proxy.heal()
    trap = proxy.hold(b"/complete ", Direction.UP)       # the next such request stops here
    await trap.reached(); trap.release()

With several upstreams each new connection goes to the next one that takes it: what any TCP balancer does.
"""

import asyncio
import contextlib
import enum
import itertools
import random
import socket
from collections.abc import Callable, Sequence

import msgspec

from ffrtmp.testing import requests

_READ_BYTES = 1 << 16
_CONNECT_SECONDS = 5.0
#: a request that comes twice comes the second time at most so much later
_LATEST_COPY_SECONDS = 2.0

Address = tuple[str, int]


class Direction(enum.Enum):
    UP = "up"  #: from who connected to the upstream
    DOWN = "down"


BOTH = frozenset(Direction)


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to all that comes through. `delay_seconds`: each read waits so long, and up to `jitter_seconds` more.
    `bytes_per_second`: at most, in each direction of a connection. `black_hole`: bytes in these directions stop here; they go on
    when that ends, as after a partition. `refuse`: nothing listens any more. `copies`: the share of the requests, among those
    that `copied` accepts by their first line, that the upstream gets twice."""

    delay_seconds: float = 0.0
    jitter_seconds: float = 0.0
    bytes_per_second: float | None = None
    black_hole: frozenset[Direction] = frozenset()
    refuse: bool = False
    copies: float = 0.0
    copied: Callable[[bytes], bool] | None = None


class Trap:
    """Waits for the next bytes that contain `needle`. They stop until `release`, or are cut after `keep` bytes and the connection
    is reset. Bytes are looked at as they were read: a needle that came in two pieces is not seen."""

    def __init__(self, needle: bytes, direction: Direction, keep: int | None = None) -> None:
        self.needle = needle
        self.direction = direction
        self.keep = keep
        self._reached = asyncio.Event()
        self._released = asyncio.Event()
        self._reset = False

    async def reached(self) -> None:
        """Returns when the bytes are here."""
        await self._reached.wait()

    def release(self, *, reset: bool = False) -> None:
        """Let them go on. `reset`: lose them, and the connection."""
        self._reset = reset
        self._released.set()

    async def spring(self) -> bool:
        """Whether the bytes go on."""
        self._reached.set()
        await self._released.wait()
        return not self._reset

    def cut(self) -> None:
        self._reached.set()


class Proxy:
    def __init__(self, upstreams: Sequence[Address], rng: random.Random) -> None:
        self.port = 0
        self.seen = 0  #: connections so far
        self._upstreams = list(upstreams)
        self._turn = itertools.count()
        self._rng = rng
        self._server: asyncio.Server | None = None
        self._behaviour = Behaviour()
        self._changed = asyncio.Condition()
        self._traps: list[Trap] = []
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def listen(cls, upstreams: Sequence[Address], rng: random.Random) -> "Proxy":
        """On a free port of the loopback interface."""
        proxy = cls(upstreams, rng)
        await proxy._open()
        return proxy

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def rng(self) -> random.Random:
        return self._rng

    @property
    def behaviour(self) -> Behaviour:
        return self._behaviour

    async def close(self) -> None:
        await self._shut()
        self.reset()
        for trap in self._traps:
            trap.release(reset=True)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # commands

    async def behave(self, behaviour: Behaviour) -> None:
        """From now on, for open connections too."""
        self._behaviour = behaviour
        if behaviour.refuse:
            await self._shut()
        elif self._server is None:
            await self._open()
        async with self._changed:
            self._changed.notify_all()

    async def heal(self) -> None:
        """Pass everything again. Traps stay."""
        await self.behave(Behaviour())

    def reset(self) -> None:
        """Break all open connections, at both ends."""
        for link in list(self._links):
            link.reset()

    def half_open(self) -> None:
        """The upstream sees all open connections end; who connected learns nothing, as when a machine in between restarts."""
        for link in self._links:
            link.forget_upstream()

    def half_close(self, direction: Direction) -> None:
        """End the stream of bytes in one direction; the other stays open."""
        for link in self._links:
            link.end(direction)

    def hold(self, needle: bytes, direction: Direction) -> Trap:
        """The next bytes with this in them wait here."""
        return self._set(Trap(needle, direction))

    def cut(self, needle: bytes, direction: Direction, *, keep: int) -> Trap:
        """Of the next bytes with this in them only the first `keep` go on; then the connection is reset."""
        return self._set(Trap(needle, direction, keep))

    def forget(self, trap: Trap) -> None:
        """Nothing walks into this trap any more."""
        with contextlib.suppress(ValueError):
            self._traps.remove(trap)

    def _set(self, trap: Trap) -> Trap:
        self._traps.append(trap)
        return trap

    # what links ask

    def sprung(self, data: bytes, direction: Direction) -> Trap | None:
        """A trap catches once."""
        for trap in self._traps:
            if trap.direction is direction and trap.needle in data:
                self._traps.remove(trap)
                return trap
        return None

    async def through(self, size: int, direction: Direction) -> None:
        """Returns when bytes may go on."""
        behaviour = self._behaviour
        if seconds := behaviour.delay_seconds + self._rng.uniform(0.0, behaviour.jitter_seconds):
            await asyncio.sleep(seconds)
        if behaviour.bytes_per_second:
            await asyncio.sleep(size / behaviour.bytes_per_second)
        async with self._changed:
            await self._changed.wait_for(lambda: direction not in self._behaviour.black_hole)

    def copy_later(self, request: bytes) -> None:
        """The upstream gets it again, on a connection of its own, and nobody reads the answer."""
        task = asyncio.create_task(self._again(request, self._rng.uniform(0.0, _LATEST_COPY_SECONDS)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the next upstream that takes a connection. Raises OSError."""
        first = next(self._turn)
        error: OSError = ConnectionRefusedError("no upstream")
        for number in range(len(self._upstreams)):
            host, port = self._upstreams[(first + number) % len(self._upstreams)]
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await asyncio.open_connection(host, port)
            except OSError as refused:
                error = refused
        raise error

    async def _again(self, request: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with contextlib.suppress(OSError):
            reader, writer = await self.connect()
            try:
                writer.write(requests.last(request))
                while await reader.read(_READ_BYTES):
                    continue
            finally:
                writer.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.seen += 1
        try:
            # a connection attempt is lost in a partition too
            await self.through(0, Direction.UP)
            upstream = await self.connect()
            link = _Link(self, (reader, writer), upstream)
            self._links.add(link)
            try:
                await link.run()
            finally:
                self._links.discard(link)
        except OSError:
            _abort(writer)
        except asyncio.CancelledError:
            return  # by `close`; asyncio's server would log it as an error
        finally:
            self._tasks.discard(task)


class _Link:
    """One connection and its other half."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._upstream = upstream
        self._forgotten = False
        self._left = asyncio.Event()  #: who connected is gone

    async def run(self) -> None:
        client, upstream = self._client, self._upstream
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(client[0], upstream[1], Direction.UP))
                group.create_task(self._pump(upstream[0], client[1], Direction.DOWN))
        except* OSError:
            self.reset()
        finally:
            for writer in (client[1], upstream[1]):
                writer.close()

    def reset(self) -> None:
        _abort(self._client[1])
        _abort(self._upstream[1])

    def forget_upstream(self) -> None:
        self._forgotten = True
        _abort(self._upstream[1])

    def end(self, direction: Direction) -> None:
        writer = (self._upstream if direction is Direction.UP else self._client)[1]
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        proxy = self._proxy
        spotter = requests.Spotter() if direction is Direction.UP else None
        while data := await self._read(reader, direction):
            if spotter is not None:
                self._copy(spotter.feed(data))
            await proxy.through(len(data), direction)
            trap = proxy.sprung(data, direction)
            if trap is not None and trap.keep is not None:
                writer.write(data[: trap.keep])
                await writer.drain()
                trap.cut()
                raise ConnectionResetError("cut")
            if trap is not None and not await trap.spring():
                raise ConnectionResetError("lost")
            if not self._forgotten:
                writer.write(data)
                await writer.drain()
        if direction is Direction.UP:
            self._left.set()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _read(self, reader: asyncio.StreamReader, direction: Direction) -> bytes:
        """b"" at the end of the stream. Of an upstream that was forgotten who connected is not to learn."""
        try:
            data = await reader.read(_READ_BYTES)
        except OSError:
            if not self._forgotten:
                raise
            data = b""
        if not data and self._forgotten and direction is Direction.DOWN:
            await self._left.wait()
        return data

    def _copy(self, found: Sequence[bytes]) -> None:
        behaviour, proxy = self._proxy.behaviour, self._proxy
        for request in found:
            wanted = behaviour.copied is None or behaviour.copied(request.partition(b"\r\n")[0])
            if behaviour.copies and wanted and proxy.rng.random() < behaviour.copies:
                proxy.copy_later(request)


def _abort(writer: asyncio.StreamWriter) -> None:
    """With a reset, so that the other end learns of it at once and reads nothing that was still on its way."""
    found = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()
