"""Stops a transition at a point: a request on its way (by the fault proxy), or a transaction (by `launcher`)."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ffrtmp.testing.launcher import ARMED, SOCKET, Point, Reached
from ffrtmp.testing.proxy import Direction, Proxy, Trap


class Stop:
    """What has stopped. `pid`: the process that stands still; 0: a request does. `node_id`: whose call it is,
    if a node's. `line`: where a request stands."""

    def __init__(
        self,
        reached: Reached,
        *,
        writer: asyncio.StreamWriter | None = None,
        trap: Trap | None = None,
        line: Proxy | None = None,
    ) -> None:
        self.pid = reached.pid
        self.node_id = reached.node_id
        self.line = line
        self._writer = writer
        self._trap = trap

    def release(self, *, lost: bool = False) -> None:
        """Go on. `lost`: a request that never was sent."""
        if self._writer is not None:
            self._writer.close()
        if self._trap is not None:
            self._trap.release(reset=lost)


class Points:
    """Where the programs of a farm look which point is armed, and say that they are there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arrived: asyncio.Queue[Stop] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self.folder.mkdir()
        self._server = await asyncio.start_unix_server(self._one, self.folder / SOCKET)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def arm(self, point: Point) -> None:
        """The next transaction at that point stops. Whole or not at all: many processes look."""
        part = self.folder / f"{ARMED}.part"
        part.write_bytes(msgspec.json.encode(point))
        part.rename(self.folder / ARMED)

    def disarm(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.folder / ARMED).unlink()

    async def reached(self) -> Stop:
        return await self._arrived.get()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._arrived.put_nowait(Stop(msgspec.json.decode(await reader.readline(), type=Reached), writer=writer))


class Requests:
    """A request that is held on whichever line it comes first."""

    def __init__(self, lines: Sequence[Proxy], needle: bytes) -> None:
        self._traps = [(line, line.hold(needle, Direction.UP)) for line in lines]

    async def reached(self) -> Stop:
        waits = {asyncio.create_task(trap.reached()): (line, trap) for line, trap in self._traps}
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        line, trap = waits[done.pop()]
        for task, (other, unused) in waits.items():
            task.cancel()
            other.forget(unused)
            if unused is not trap:
                unused.release()
        return Stop(Reached(0, ""), trap=trap, line=line)

    def forget(self) -> None:
        for line, trap in self._traps:
            line.forget(trap)
