"""A master without sockets: its handlers, long-polls and sweeps as they are, called by the simulated network."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ffrtmp.master import auth, context
from ffrtmp.master.http.call import Call
from ffrtmp.master.loops import sweeps
from ffrtmp.master.settings import MasterSettings
from ffrtmp.testing.simulator.scene import Scene
from ffrtmp.testing.simulator.store import Store, standing

Handler = Callable[["SimMaster"], Awaitable[Any]]


class SimCall(Call):
    """A request that came over no wire: the message is there already."""

    def __init__(
        self,
        master: context.Master,
        message: Any,
        *,
        headers: Mapping[bytes, bytes] | None,
        path: Mapping[str, str] | None,
    ) -> None:
        self.master = master
        self.headers = dict(headers or {})
        self.path = dict(path or {})
        self.principal = auth.ADMIN
        self.message = message
        self.body = message if isinstance(message, bytes) else b"{}"
        self.scope = {"path": "", "query_string": b""}

    def decode(self, _: Any) -> Any:
        return self.message

    async def unless_gone(self, work: Awaitable[Any]) -> Any:
        return await work


class _NoFiles:
    """In place of the artifact store: jobs of a simulation publish into a file system."""

    async def remove(self, _: Any) -> None:
        return

    async def idle(self, _: Any, __: float) -> list[str]:
        return []


class SimMaster:
    def __init__(self, scene: Scene, name: str) -> None:
        self.name = name
        self.up = False
        self._scene = scene
        #: in their order, which a set of them does not keep: a kill ends them in the same order each time
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._frozen_until = 0.0

    async def start(self) -> None:
        plan, scene = self._scene.plan, self._scene
        self._store = Store(scene.database, scene.commit_seconds, self.stands_for)
        settings = MasterSettings(
            db_type="postgres" if plan.masters > 1 else "sqlite",
            no_auth=True,
            ttl_seconds=plan.ttl_seconds,
            retention_seconds=1e9,
            unsatisfiable_grace_seconds=1e9,
        )
        loop = asyncio.get_running_loop()
        self.real = context.Master(
            settings, self._store, api_key="", rng=random.Random(scene.rng.random()), clock=loop.time
        )
        self.real.artifacts = _NoFiles()  # type: ignore[assignment]
        await self.real.classes.reload()
        self.up = True
        self._keep(asyncio.create_task(sweeps.run(self.real)))

    def spawn(self, handler: Handler) -> asyncio.Task[Any]:
        """Work that dies with this master."""
        work = self._keep(asyncio.ensure_future(self._serve(handler)))
        # the caller may be gone when it fails
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
        return work

    async def _serve(self, handler: Handler) -> Any:
        """One that stands still hears and says nothing: a request waits before it, an answer in it."""
        await standing(self.stands_for)
        try:
            return await _answered(handler(self))
        finally:
            await standing(self.stands_for)

    def _keep(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    def freeze(self, seconds: float) -> None:
        """SIGSTOP: what it has asked of the database is done there, or waits; then it goes on as if nothing had been."""
        self._frozen_until = self._scene.now + seconds

    def stands_for(self) -> float:
        """Seconds until it goes on; 0: it does not stand still."""
        return max(self._frozen_until - self._scene.now, 0.0)

    def kill(self) -> None:
        self.up = False
        self._frozen_until = 0.0
        self._store.kill()
        for task in list(self._tasks):
            task.cancel()

    def call(
        self,
        message: Any = None,
        *,
        headers: Mapping[bytes, bytes] | None = None,
        path: Mapping[str, str] | None = None,
    ) -> SimCall:
        return SimCall(self.real, message, headers=headers, path=path)


async def _answered(answering: Awaitable[Any]) -> Any:
    """A reply's body, whatever it is wrapped in."""
    answer = await answering
    return getattr(answer, "body", answer)
