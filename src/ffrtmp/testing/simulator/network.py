"""Calls between machines: late, lost, twice, out of order."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ffrtmp.domain import errors
from ffrtmp.testing.simulator.master import Handler, SimMaster
from ffrtmp.testing.simulator.scene import Scene

#: an answer that is not there after so long is not waited for
TIMEOUT_SECONDS = 10.0
#: a request may still be under way for so long, a second time too, and take effect after one that was sent later
STRAY_SECONDS = 40.0


class Network:
    def __init__(self, scene: Scene, masters: Sequence[SimMaster]) -> None:
        self._scene = scene
        self._masters = masters
        self._rng = scene.rng
        self._cut: dict[str, float] = {}  #: machine → until when nothing reaches it or leaves it
        self._told: set[str] = set()  #: those that are told so at once, as by a router; the others hear nothing

    def cut(self, machine: str, until: float, *, told: bool) -> None:
        self._cut[machine] = until
        self._told.discard(machine)
        self._told |= {machine} if told else set()

    def _is_cut(self, machine: str) -> bool:
        return self._cut.get(machine, 0.0) > self._scene.now

    def _lost(self) -> bool:
        return self._scene.strikes("drop", 0.03)

    def delay(self) -> float:
        if self._scene.strikes("slow", 0.03):
            return self._rng.uniform(0.5, 12.0)
        return self._rng.uniform(0.0005, 0.05)

    async def call(self, machine: str, handler: Handler, *, timeout: float = TIMEOUT_SECONDS) -> Any:
        """The handler's answer. Raises what it raised, or Unavailable when no answer comes."""
        try:
            async with asyncio.timeout(timeout):
                return await self._call(machine, handler)
        except TimeoutError:
            raise errors.Unavailable("no answer") from None

    async def _call(self, machine: str, handler: Handler) -> Any:
        if self._is_cut(machine) and machine in self._told:
            await asyncio.sleep(self.delay())
            raise errors.Unavailable("no route to host")
        if self._is_cut(machine) or self._lost():
            await asyncio.sleep(TIMEOUT_SECONDS * 10)
        await asyncio.sleep(self.delay())
        up = [master for master in self._masters if master.up]
        if not up:
            raise errors.Unavailable("connection refused")
        master = self._rng.choice(up)
        work = master.spawn(handler)
        if self._scene.strikes("duplicate", 0.03):
            self._scene.later(self.delay(), lambda: self._again(master, handler))
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            # the caller hung up; mostly the master hears of it
            if self._rng.random() < 0.9:
                self._scene.later(self.delay(), work.cancel)
            raise
        if self._is_cut(machine) or self._lost():
            await self._unanswered()
        if work.cancelled():
            raise errors.Unavailable("connection reset")
        error = work.exception()
        await asyncio.sleep(self.delay())
        if error is not None:
            raise error
        return work.result()

    async def _unanswered(self) -> None:
        """The answer is lost: the connection breaks, so that the caller may ask again at once, or nothing is ever heard."""
        if self._rng.random() < 0.5:
            raise errors.Unavailable("connection reset")
        await asyncio.sleep(TIMEOUT_SECONDS * 10)

    def _again(self, master: SimMaster, handler: Handler) -> None:
        if master.up:
            master.spawn(handler)
