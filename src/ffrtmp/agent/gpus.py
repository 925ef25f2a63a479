"""This node's GPUs: how many encodes each runs now, and whether there may be more."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping


class Gpus:
    """`sessions`: hardware encodes at the same time on this node, whichever GPU has them; None: as many as the drivers let."""

    def __init__(self, sessions: int | None = None) -> None:
        self._sessions = sessions
        self._load: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    @property
    def load(self) -> Mapping[str, int]:
        """Encodes that run, by device."""
        return self._load

    @property
    def full(self) -> bool:
        return self._sessions is not None and self._load.total() >= self._sessions

    @contextlib.asynccontextmanager
    async def session(self, device: str) -> AsyncIterator[None]:
        """One of the node's. Waits until one is free."""
        await self.room()
        self._load[device] += 1
        try:
            yield
        finally:
            self._load[device] -= 1
            async with self._changed:
                self._changed.notify_all()  # who was told first may not want it any more

    async def room(self) -> None:
        """Returns when a session is free; without another turn of the event loop it stays so."""
        if self.full:
            async with self._changed:
                await self._changed.wait_for(lambda: not self.full)
