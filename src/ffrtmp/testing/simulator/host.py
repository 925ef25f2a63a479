"""A machine with an agent: the real session core, driven by simulated time, with tasks that only pretend to encode."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from ffrtmp.agent import messages as m
from ffrtmp.agent.executor import Executor
from ffrtmp.agent.moves import Config
from ffrtmp.agent.session import Session
from ffrtmp.domain import node, spec
from ffrtmp.domain.job import Grant
from ffrtmp.master.api import nodes, work
from ffrtmp.protocol import agent
from ffrtmp.testing.simulator.history import Joined
from ffrtmp.testing.simulator.master import SimMaster
from ffrtmp.testing.simulator.network import Network
from ffrtmp.testing.simulator.scene import Scene
from ffrtmp.testing.simulator.task import SimTask

_ENCODERS = [
    node.Encoder(name=name, codec=codec, engine=spec.Engine.FFMPEG, works=True, detail="")
    for name, codec in (("libx264", spec.Codec.H264), ("libsvtav1", spec.Codec.AV1))
]
#: beyond the longest long-poll
_POLL_TIMEOUT_SECONDS = 40.0


class Host(Executor[SimTask]):
    def __init__(self, scene: Scene, network: Network, name: str, *, node: str = "") -> None:
        """`node`: what its agent calls itself, if not by the machine's name."""
        super().__init__()
        self.name = name
        self.node = node or name
        self.left = False  #: for good
        self.scene = scene
        self._network = network
        self.frozen_until = 0.0
        self._session: Session | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._held_back: list[Callable[[], None]] = []
        drift = scene.unkind("drift")
        #: its clock runs differently and started elsewhere: only durations may be compared
        self._rate = scene.rng.uniform(0.98, 1.02) if drift else 1.0
        self._offset = scene.rng.uniform(0.0, 1e6)
        self._began = ("", 0)

    # life

    @property
    def up(self) -> bool:
        return self._session is not None

    def start(self) -> None:
        rng = random.Random(self.scene.rng.random())
        self._started: float | None = self.scene.now
        self._session = Session(Config(slots=self.scene.plan.slots, heartbeat_seconds=10.0), rng)
        self._feed(m.Tick())

    def restart_later(self) -> None:
        self.scene.later(self.scene.rng.uniform(0.1, 30.0), lambda: None if self.up or self.left else self.start())

    def leave(self, grace_seconds: float | None) -> None:
        """Its agent is stopped, or killed where there is no grace, and never starts again."""
        self.left = True
        if self.up and grace_seconds is not None:
            self.stop(grace_seconds)
        else:
            self.kill()

    def kill(self) -> None:
        """kill -9: its processes end with it, and nothing is said."""
        self._session = None
        if self._timer is not None:
            self._timer.cancel()
        for call in list(self._calls):
            call.cancel()
        for task in list(self.tasks.values()):
            task.vanish()
        self.tasks.clear()
        self._held_back.clear()
        self.frozen_until = 0.0

    def freeze(self, seconds: float) -> None:
        """SIGSTOP, or a machine that swaps: everything on it stands still, and goes on later as if nothing had been."""
        if not self.up or self.frozen:
            return
        self.frozen_until = self.scene.now + seconds
        for task in self.tasks.values():
            task.run.late = True
        self.scene.later(seconds, self._thaw)

    def _thaw(self) -> None:
        if self.frozen or not self._held_back:
            return
        held, self._held_back = self._held_back, []
        for act in held:
            act()

    @property
    def frozen(self) -> bool:
        return self.frozen_until > self.scene.now

    def stop(self, grace_seconds: float) -> None:
        self.when_awake(lambda: self._feed(m.StopRequested(grace_seconds)))

    def when_awake(self, act: Callable[[], None]) -> None:
        if self.frozen:
            self._held_back.append(act)
        else:
            act()

    def clock(self) -> float:
        return self._offset + self.scene.now * self._rate

    def may_publish(self, attempt_id: str) -> bool:
        return self._session is not None and self._session.may_publish(attempt_id, self.clock())

    # events and effects

    def feed(self, event: m.Event) -> None:
        session = self._session
        self.when_awake(lambda: self._feed(event) if self._session is session else None)

    def _feed(self, event: m.Event) -> None:
        session = self._session
        if session is None:
            return
        if isinstance(event, m.TaskEnded):
            self.tasks.pop(event.attempt_id, None)
        for effect in session.step(self.clock(), event):
            self.act(effect)
        if self._session is not session:
            return
        if self._timer is not None:
            self._timer.cancel()
        deadline = session.deadline()
        if deadline is not None:
            wait = max((deadline - self.clock()) / self._rate, 0.0)
            self._timer = self.scene.later(wait, lambda: self.feed(m.Tick()))

    def start_task(self, grant: Grant) -> SimTask:
        return SimTask(self.scene, self, grant)

    def exit(self, _: m.Exit) -> None:
        self.kill()
        self.restart_later()

    def note(self, _: m.Note) -> None:
        return

    def broken(self, _: m.CallFailed, error: Exception) -> m.Event:
        """It ends the run: nothing of ours may break."""
        raise error

    # calls

    def _ask(self, handler: Callable[[Any], Awaitable[Any]], message: Any, timeout: float, **path: str) -> Any:
        def answer(master: SimMaster) -> Awaitable[Any]:
            return handler(master.call(message, path=path))

        return self._network.call(self.name, answer, timeout=timeout)

    async def send_register(self, incarnation: str) -> agent.Registered:
        if self._began[0] != incarnation:
            self._began = incarnation, int(self.clock() * 1e6)
        asked = agent.Register(
            name=self.node,
            incarnation=incarnation,
            origin=self.name,
            began_us=self._began[1],
            slots=self.scene.plan.slots,
            capabilities=node.Capabilities(engines={"ffmpeg": "9"}, encoders=_ENCODERS, media_roots=["/media"]),
            heartbeat_interval_seconds=10.0,
        )
        view = await self._ask(nodes.register, asked, 10.0)
        if self._started is not None:
            self.scene.history.joined.append(Joined(self.node, self._started, self.scene.now))
            self._started = None
        return agent.Registered(
            id=view.id,
            name=view.name,
            heartbeat_interval_seconds=view.heartbeat_interval_seconds,
            ttl_seconds=view.ttl_seconds,
        )

    async def send_lease(self, node_id: str, request: agent.LeaseRequest) -> agent.LeaseReply:
        reply: agent.LeaseReply = await self._ask(work.lease, request, _POLL_TIMEOUT_SECONDS, node_id=node_id)
        return reply

    async def send_beat(self, node_id: str, beat: agent.Beat, timeout: float) -> agent.BeatReply:
        reply: agent.BeatReply = await self._ask(nodes.heartbeat, beat, timeout, node_id=node_id)
        return reply

    async def send_report(self, attempt_id: str, report: m.Report, timeout: float) -> None:
        handlers = {
            agent.Publish: work.publish,
            agent.Complete: work.complete,
            agent.Fail: work.fail,
            agent.GiveBack: work.give_back,
        }
        await self._ask(handlers[type(report)], report, timeout, attempt_id=attempt_id)
