"""What happens to the machines while there are faults."""

import asyncio
import itertools
from collections.abc import Awaitable, Sequence
from typing import Any

from ffrtmp.domain import errors
from ffrtmp.master.api import nodes
from ffrtmp.testing.simulator.history import Order
from ffrtmp.testing.simulator.host import Host
from ffrtmp.testing.simulator.master import SimMaster
from ffrtmp.testing.simulator.network import STRAY_SECONDS, Network
from ffrtmp.testing.simulator.scene import Scene

#: of a master: a request that waits before it is not older than STRAY_SECONDS then
_LONGEST_FREEZE_SECONDS = 25.0


class Faults:
    def __init__(self, scene: Scene, network: Network, masters: Sequence[SimMaster], hosts: list[Host]) -> None:
        self._scene = scene
        self._network = network
        self._masters = masters
        self._hosts = hosts
        self._dice = scene.dice("machines")
        self._drained: dict[str, None] = {}  #: nodes that ever were, by id

    async def run(self) -> None:
        """One after another until the horizon."""
        scene = self._scene
        kinds = {
            "partition": self._partition,
            "kill_agent": self._kill_agent,
            "freeze_agent": self._freeze_agent,
            "stop_agent": self._stop_agent,
            "kill_master": self._kill_master,
            "drain": self._drain,
            "same_name": self._same_name,
        }
        chosen = [name for name in kinds if scene.plan.has(name)]
        freezing = asyncio.create_task(self._freeze_masters())
        for number in itertools.count():
            # of each alone: when one is left out, the others stay as they are
            self._dice = scene.dice("machines", number)
            await asyncio.sleep(self._dice.expovariate(1 / 5))
            if scene.settling:
                break
            if chosen and scene.strikes(name := self._dice.choice(chosen)):
                await kinds[name]()
        await freezing
        if self._drained:
            # a copy of a drain may have come after its end
            await asyncio.sleep(STRAY_SECONDS)
            for node_id in self._drained:
                await self._switch(node_id, b"on=false")

    def _host(self) -> Host:
        return self._dice.choice([host for host in self._hosts if not host.left])

    def _note(self, text: str) -> None:
        self._scene.history.fault(self._scene.now, text)

    async def _partition(self) -> None:
        host, seconds = self._host(), self._dice.uniform(1.0, 90.0)
        self._note(f"{host.name} is cut off for {seconds:.1f} s")
        self._network.cut(host.name, self._scene.now + seconds, told=self._dice.random() < 0.5)

    async def _kill_agent(self) -> None:
        host = self._host()
        if host.up:
            self._note(f"kill -9 {host.name}")
            host.kill()
            host.restart_later()

    async def _freeze_agent(self) -> None:
        host, seconds = self._host(), self._dice.uniform(1.0, 60.0)
        self._note(f"{host.name} stands still for {seconds:.1f} s")
        host.freeze(seconds)

    async def _stop_agent(self) -> None:
        host = self._host()
        if host.up:
            self._note(f"{host.name} is asked to stop")
            host.stop(self._dice.uniform(0.0, 30.0))

    async def _kill_master(self) -> None:
        master = self._dice.choice(self._masters)
        if master.up:
            self._note(f"kill -9 {master.name}")
            master.kill()
            await asyncio.sleep(self._dice.uniform(0.1, 20.0))
            await master.start()

    async def _freeze_masters(self) -> None:
        """Beside the others, until the horizon: with dice of its own, theirs fall as they did without it."""
        scene = self._scene
        for number in itertools.count():
            dice = scene.dice("frozen masters", number)
            await asyncio.sleep(dice.expovariate(1 / 20))
            if scene.settling or not scene.plan.has("freeze_master"):
                return
            master, seconds = dice.choice(self._masters), dice.uniform(1.0, _LONGEST_FREEZE_SECONDS)
            if master.up and not master.stands_for() and scene.strikes("freeze_master"):
                self._note(f"{master.name} stands still for {seconds:.1f} s")
                master.freeze(seconds)

    async def _drain(self) -> None:
        host = self._host()
        found = self._scene.database.rows(f"SELECT id FROM nodes WHERE name = '{host.node}' AND removed_at IS NULL")  # noqa: S608
        if not found:
            return
        self._note(f"{host.node} is drained for a while")
        self._drained[found[0][0]] = None
        await self._switch(found[0][0], b"")
        since = self._scene.now
        await asyncio.sleep(self._dice.uniform(1.0, 30.0))
        self._scene.history.drained.append(Order(host.node, since, self._scene.now))
        await self._switch(found[0][0], b"on=false")

    async def _same_name(self) -> None:
        """Another machine comes with the name of one that is there, and goes again."""
        host, seconds = self._host(), self._dice.uniform(1.0, 120.0)
        if any(other.node == host.node and not other.left for other in self._hosts if other is not host):
            return
        twin = Host(self._scene, self._network, f"{host.node}x{len(self._hosts)}", node=host.node)
        self._note(f"{twin.name} wants to be {twin.node} too, for {seconds:.1f} s")
        self._hosts.append(twin)
        twin.start()
        grace = self._dice.choice((None, self._dice.uniform(0.0, 30.0)))
        self._scene.later(seconds, lambda: twin.leave(grace))

    async def _switch(self, node_id: str, query: bytes) -> None:
        def ask(master: SimMaster) -> Awaitable[Any]:
            call = master.call(path={"node_id": node_id})
            call.scope["query_string"] = query
            return nodes.drain(call)

        while True:
            try:
                await self._network.call("operator", ask)
            except errors.Unavailable:
                await asyncio.sleep(1.0)
            else:
                return
