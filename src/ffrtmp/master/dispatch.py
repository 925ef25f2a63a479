"""Long-polls: agents wait here for work and commands, and are woken in this process the moment there is some.

A waiter is registered before it looks for work, so that nothing is missed in between; one that was woken but goes away passes the
wake on. What another master made ready comes as a hint (`loops.hints`). Behind both is a poll: `BACKSTOP_SECONDS`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable

from ffrtmp.domain import errors, job, node, spec
from ffrtmp.master.waiters import Idle, Waiter, Wants
from ffrtmp.protocol import agent
from ffrtmp.scheduling import waiting
from ffrtmp.store import interface

#: a wait without a wake looks again after this long, give or take a fifth: a hint may be lost, and so may a wake by a fault of ours
BACKSTOP_SECONDS = 15.0
#: the same while hints of other masters do not arrive
BACKSTOP_WITHOUT_HINTS_SECONDS = 1.0
#: the longest a long-poll is held (proxies cut idle connections after 30 to 60 s)
LONGEST_WAIT_SECONDS = 25.0


def backstop_seconds(hints: interface.Hints, rng: random.Random) -> float:
    """With jitter: polls that were woken together must not look again together."""
    return (BACKSTOP_WITHOUT_HINTS_SECONDS if hints.up is False else BACKSTOP_SECONDS) * rng.uniform(0.8, 1.2)


class ClassBook:
    """The classes of requirements, and which of them each node satisfies. Few, and they only grow."""

    def __init__(self, store: interface.Store) -> None:
        self._store = store
        self._requires: dict[int, interface.Class] = {}
        self._keys: dict[str, int] = {}
        self._nodes: dict[str, node.Node] = {}
        self._fits: dict[str, tuple[int, ...]] = {}

    async def reload(self) -> bool:
        """Read the classes again. True: there are new ones."""
        found = {known.id: known for known in await self._store.classes()}
        new = found != self._requires
        self._requires = found
        self._keys = {known.requires.key(): known.id for known in found.values()}
        if new:
            self._fits.clear()
        return new

    def id_of(self, requires_key: str) -> int | None:
        return self._keys.get(requires_key)

    def requires(self, class_id: int) -> spec.Requires | None:
        known = self._requires.get(class_id)
        return None if known is None else known.requires

    def all(self) -> list[interface.Class]:
        return list(self._requires.values())

    def put_node(self, known: node.Node) -> None:
        self._nodes[known.id] = known
        self._fits.pop(known.id, None)

    def refresh(self, found: Iterable[node.Node]) -> bool:
        """The nodes as they are in the store now: another master may have changed some. True: it did."""
        current = {known.id: known for known in found}
        changed = [known_id for known_id in self._nodes if known_id not in current]
        for known_id in changed:
            self.drop_node(known_id)
        for known_id, known in self._nodes.items():
            if _offer(known) != _offer(current[known_id]):
                changed.append(known_id)
        for known_id in changed:
            if known_id in current:
                self.put_node(current[known_id])
        return bool(changed)

    def drop_node(self, node_id: str) -> None:
        self._nodes.pop(node_id, None)
        self._fits.pop(node_id, None)

    async def node(self, node_id: str, *, incarnation: str | None = None) -> node.Node:
        """As last registered or drained. `incarnation`: of the agent that asks; where another one is known here, it was registered
        anew at another master, whose hint may be late. Raises NotFound."""
        if node_id not in self._nodes or incarnation not in (None, self._nodes[node_id].incarnation):
            found = await self._store.get_node(node_id)
            if found.id != node_id:
                raise errors.NotFound(f"There is no node with the id {node_id}; {found.id} has that name.")
            self.put_node(found)
            return found
        return self._nodes[node_id]

    async def fits(self, node_id: str) -> tuple[int, ...]:
        """The classes that the node satisfies. Raises NotFound."""
        known = await self.node(node_id)
        if node_id not in self._fits:
            pairs = ((one.id, one.requires) for one in self._requires.values())
            self._fits[node_id] = waiting.satisfied(pairs, known)
        return self._fits[node_id]


def _offer(known: node.Node) -> tuple[object, ...]:
    """What of a node decides which classes it satisfies, and whether it gets any work."""
    return (
        known.incarnation,
        known.ttl_us,
        known.draining,
        known.capabilities,
        known.labels,
        known.cpu_threads,
        known.ram_total_bytes,
    )


class Dispatcher:
    def __init__(
        self, classes: ClassBook, *, backstop: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._classes = classes
        self._backstop = backstop  #: seconds
        self._clock = clock
        self._waiters: dict[str, Waiter] = {}  #: node id → its open long-poll (one per node; the newest counts)
        self._idle = Idle()
        self._follows: dict[str, float] = {}  #: job id → until when someone follows it
        self._follow_attempts: dict[str, tuple[str, float]] = {}  #: attempt id → (node id, until)
        self._untold: set[str] = set()  #: followed attempts whose node does not know yet
        self._stopping = False

    # waking

    def ready(self, class_ids: Iterable[int]) -> None:
        """A task of each of these classes became ready: wake an agent for each."""
        for class_id in class_ids:
            if chosen := self._idle.best(class_id):
                chosen.for_classes.add(class_id)
                self._wake(chosen)

    def _wake(self, waiter: Waiter) -> None:
        self._idle.discard(waiter)
        waiter.woken.set()

    def command(self, node_ids: Iterable[str]) -> None:
        """These nodes have a command waiting."""
        for node_id in node_ids:
            if waiter := self._waiters.get(node_id):
                self._wake(waiter)

    def wake_all(self) -> None:
        for waiter in self._waiters.values():
            self._wake(waiter)

    def stop(self) -> None:
        """Release every long-poll, now and from here on."""
        self._stopping = True
        self.wake_all()

    def node_changed(self, node_id: str) -> None:
        """The node was registered anew, or removed: a long-poll of its old self answers empty."""
        if waiter := self._waiters.pop(node_id, None):
            self._wake(waiter)

    async def classes_changed(self) -> None:
        """New classes: the waiters may satisfy them."""
        for waiter in list(self._waiters.values()):
            try:
                class_ids = await self._classes.fits(waiter.wants.node_id)
            except errors.NotFound:  # removed meanwhile
                self.node_changed(waiter.wants.node_id)
                continue
            self._idle.discard(waiter)
            waiter.class_ids = class_ids
            if self._waiters.get(waiter.wants.node_id) is waiter and not waiter.woken.is_set():
                self._idle.add(waiter)

    # following

    def follow(self, job_id: str, attempts: Iterable[tuple[str, str]], *, seconds: float) -> None:
        """Someone watches this job: its attempts (node id, attempt id) report every second for so long."""
        until = self._clock() + seconds
        self._follows[job_id] = until
        for node_id, attempt_id in attempts:
            fresh = self._follow_attempts.get(attempt_id, ("", 0.0))[1] <= self._clock()
            self._follow_attempts[attempt_id] = (node_id, until)
            if fresh:
                self._untold.add(attempt_id)
                self.command([node_id])

    def follow_left(self, job_id: str) -> float:
        """Seconds for which the job is still followed."""
        left = self._follows.get(job_id, 0.0) - self._clock()
        return max(0.0, left)

    def followed(self, attempt_id: str) -> float:
        """Seconds for which the attempt is to report every second; 0: it is not followed."""
        _, until = self._follow_attempts.get(attempt_id, ("", 0.0))
        return max(0.0, until - self._clock())

    def forget_old_follows(self) -> None:
        now = self._clock()
        self._follows = {key: until for key, until in self._follows.items() if until > now}
        self._follow_attempts = {key: value for key, value in self._follow_attempts.items() if value[1] > now}
        self._untold &= self._follow_attempts.keys()

    # the long-poll

    async def wait(
        self,
        wants: Wants,
        look: Callable[[tuple[int, ...]], Awaitable[bool]],
    ) -> None:
        """Call `look` (with the classes the node satisfies) at once and at each wake, until it finds something (True) or the
        deadline comes."""
        waiter = Waiter(wants, await self._classes.fits(wants.node_id))
        if previous := self._waiters.get(wants.node_id):
            self._wake(previous)  # a second poll of the same node: the first one answers empty
        self._waiters[wants.node_id] = waiter
        try:
            while self._waiters.get(wants.node_id) is waiter and not self._stopping:
                # one that is not the node's newest must take nothing: its client has most likely gone away
                waiter.woken.clear()
                self._idle.add(waiter)
                seen = frozenset(waiter.for_classes)
                waiter.for_classes.clear()
                served = True
                try:
                    served = await look(waiter.class_ids)
                finally:
                    if served:  # it took what it could, or failed: what is left is for the next one
                        waiter.for_classes |= seen
                left = wants.deadline - self._clock()
                if served or left <= 0:
                    return
                backstop = self._backstop()
                try:
                    async with asyncio.timeout(min(left, backstop)):
                        await waiter.woken.wait()
                except TimeoutError:
                    if left <= backstop:
                        return  # the time is up, and who asks again looks first
        finally:
            self._idle.discard(waiter)
            if self._waiters.get(wants.node_id) is waiter:
                del self._waiters[wants.node_id]
            if waiter.for_classes:
                self.ready(tuple(waiter.for_classes))

    def new_follows(self, attempt_ids: Iterable[str]) -> list[agent.Directive]:
        """For running attempts whose followers came since the node was last told."""
        told = [
            agent.Directive(attempt_id=attempt_id, command=agent.CommandKind.OK, follow_seconds=left)
            for attempt_id in attempt_ids
            if attempt_id in self._untold and (left := self.followed(attempt_id)) > 0
        ]
        self._untold -= {directive.attempt_id for directive in told}
        return told

    def grant_follows(self, grants: Iterable[job.Grant], node_id: str) -> list[agent.Directive]:
        """For grants of jobs that someone was already following while they waited."""
        told: list[agent.Directive] = []
        for grant in grants:
            left = self.follow_left(grant.job_id)
            if left > 0:
                self._follow_attempts[grant.attempt_id] = (node_id, self._clock() + left)
                told.append(
                    agent.Directive(attempt_id=grant.attempt_id, command=agent.CommandKind.OK, follow_seconds=left)
                )
        return told
