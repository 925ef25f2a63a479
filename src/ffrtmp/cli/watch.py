"""Following jobs: events wake, reads tell. A master that goes away for a while is waited for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING

from ffrtmp.domain import errors, states

if TYPE_CHECKING:
    from ffrtmp.client.client import Client
    from ffrtmp.protocol.views import JobView

TERMINAL = frozenset(state.value for state in states.JOB_TERMINAL)
_QUIET = frozenset({"queued", "retrying", "paused"})
_POLL_SECONDS = 0.5
#: up to this many jobs are all read at each look; of more, only those that run or had an event
_FEW = 16
#: a queued job without events is still read every so many looks
_SWEEP = 20
#: how long a master may be away before following ends
PATIENCE_SECONDS = 120.0


class Watcher:
    """`jobs` holds the last view of each. `notice` gets a line when the master goes away and when it is back."""

    def __init__(
        self, client: "Client", refs: Iterable[str] = (), *, notice: Callable[[str], None], growing: bool = False
    ) -> None:
        self.jobs: dict[str, JobView] = {}
        self.growing = growing  #: more jobs will be added: do not end when all have ended
        self._client = client
        self._refs = list(refs)
        self._notice = notice
        self._woken = asyncio.Event()
        self._stirred: set[str] = set()
        self._away_since: float | None = None

    def add(self, job: "JobView") -> None:
        """Follow one more job (while `growing`)."""
        self.jobs[job.id] = job
        self._stirred.add(job.id)
        self._woken.set()

    def complete(self) -> None:
        """No more jobs will be added."""
        self.growing = False
        self._woken.set()

    @property
    def live(self) -> list[str]:
        return [job.id for job in self.jobs.values() if job.state not in TERMINAL]

    async def changes(self) -> AsyncIterator["JobView"]:
        """Each job when it is first seen and whenever it changed; ends when all have ended. Raises NotFound for a job that
        does not exist, Unavailable when the master stays away."""
        listening = asyncio.create_task(self._listen())
        try:
            for ref in self._refs:
                job = await self._client.job(ref, follow=True)
                self.jobs[job.id] = job
                yield job
            look = 0
            while (live := self.live) or self.growing:
                with contextlib.suppress(TimeoutError):
                    # not wait_for: in Python 3.11 it loses a cancellation (Ctrl-C) that comes together with what it waits for
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._woken.wait()
                self._woken.clear()
                stirred, self._stirred = self._stirred, set()
                look += 1
                for job_id in live:
                    seen = self.jobs[job_id]
                    sweep = len(live) <= _FEW or look % _SWEEP == 0
                    if not (sweep or job_id in stirred or seen.state not in _QUIET):
                        continue
                    fresh = await self._read(job_id)
                    if fresh is not None and fresh != seen:
                        self.jobs[job_id] = fresh
                        yield fresh
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    async def _read(self, job_id: str) -> "JobView | None":
        now = asyncio.get_running_loop().time
        try:
            job = await self._client.job(job_id, follow=True)
        except errors.Unavailable as error:
            if self._away_since is None:
                self._away_since = now()
                self._notice(f"{error} The jobs go on; trying again...")
            if now() - self._away_since > PATIENCE_SECONDS:
                raise
            return None
        if self._away_since is not None:
            self._away_since = None
            self._notice("The master answers again.")
        return job

    async def _listen(self) -> None:
        """Events only save waiting: a master that does not give them is read all the same."""
        while True:
            try:
                async with contextlib.aclosing(self._client.events()) as events:  # type: ignore[type-var]
                    async for event in events:
                        if event.job_id in self.jobs:
                            self._stirred.add(event.job_id)
                            self._woken.set()
            except errors.Unavailable:
                await asyncio.sleep(_POLL_SECONDS * 4)
            except errors.FfrtmpError:
                return


async def wait(watcher: Watcher, show: Callable[["JobView"], None], timeout_seconds: float | None = None) -> bool:
    """Follow until all jobs have ended (True) or the time is up (False)."""
    try:
        async with asyncio.timeout(timeout_seconds), contextlib.aclosing(watcher.changes()) as changes:  # type: ignore[type-var]
            async for job in changes:
                show(job)
    except TimeoutError:
        return False
    return True
