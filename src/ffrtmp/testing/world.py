"""A store with people and agents around it, for tests that read like what happens."""

import random
from collections.abc import Sequence

from ffrtmp.domain import errors, job, spec
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.domain.states import JobState, TaskState
from ffrtmp.protocol.agent import AttemptBeat, CommandKind
from ffrtmp.store import interface
from ffrtmp.store.interface import Store
from ffrtmp.testing import factories


class NoWait(random.Random):
    """Jitter that is always the least there can be, so that what is tried again is due at once."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002
        return a


def in_order(ready: Sequence[interface.Ready], calls: Sequence[interface.LeaseCall]) -> list[list[interface.Ready]]:
    """Each call takes the first rows of its classes that are left."""
    left = list(ready)
    answers: list[list[interface.Ready]] = []
    for call in calls:
        mine = [row for row in left if row.class_id in call.class_ids][: call.slots]
        left = [row for row in left if row not in mine]
        answers.append(mine)
    return answers


def nothing(ready: Sequence[interface.Ready], calls: Sequence[interface.LeaseCall]) -> list[list[interface.Ready]]:  # noqa: ARG001
    """No call takes any row."""
    return [[] for _ in calls]


class Agent:
    """One agent process on one node."""

    def __init__(self, store: Store, node: interface.NewNode, node_id: str) -> None:
        self.store = store
        self.new = node
        self.id = node_id
        self.incarnation = node.incarnation

    async def lease(
        self, slots: int = 1, *, request_id: str | None = None, class_ids: Sequence[int] | None = None
    ) -> list[job.Grant]:
        if class_ids is None:
            class_ids = [found.id for found in await self.store.classes()]
        call = interface.LeaseCall(
            node_id=self.id,
            incarnation=self.incarnation,
            request_id=request_id or factories.new_id(),
            slots=slots,
            class_ids=tuple(class_ids),
            attempt_ids=tuple(factories.new_id() for _ in range(slots)),
        )
        return await self.store.lease(call, in_order)

    async def take(self) -> job.Grant:
        [grant] = await self.lease()
        return grant

    async def beats(self, *attempts: AttemptBeat, drain: bool | None = None) -> interface.BeatResult:
        return await self.store.beat(
            interface.BeatCall(node_id=self.id, incarnation=self.incarnation, attempts=attempts, drain=drain)
        )

    async def beat(
        self, attempt_id: str, *, started: bool = False, paused: bool = False, progress: job.Progress | None = None
    ) -> CommandKind:
        said = AttemptBeat(attempt_id=attempt_id, started=started, paused=paused, progress=progress)
        return (await self.beats(said)).commands[attempt_id]

    async def start(self, grant: job.Grant) -> None:
        await self.beat(grant.attempt_id, started=True)

    async def publish(self, attempt_id: str, *outputs: job.OutputFile) -> interface.AttemptResult:
        return await self.store.publish(attempt_id, self.id, self.incarnation, outputs or [factories.an_output()])

    async def complete(self, attempt_id: str, result: job.Result | None = None) -> interface.AttemptResult:
        return await self.store.complete(attempt_id, self.id, self.incarnation, result or factories.a_result())

    async def fail(
        self, attempt_id: str, code: Code = Code.STALLED, *, result: job.Result | None = None
    ) -> interface.AttemptResult:
        failure = Failure(code=code, message=f"it is {code.value}")
        return await self.store.fail(attempt_id, self.id, self.incarnation, failure, result)

    async def give_back(self, attempt_id: str, *, fenced: bool = False) -> interface.AttemptResult:
        return await self.store.give_back(attempt_id, self.id, self.incarnation, "drained", fenced=fenced)


class World:
    def __init__(self, store: Store) -> None:
        self.store = store

    async def submit(self, of: spec.Work | None = None, **fields: object) -> job.Job:
        return (await self.store.submit(factories.a_job(of, **fields))).job

    async def agent(self, name: str | None = None, **fields: object) -> Agent:
        new = factories.a_node(name, **fields)
        registered = await self.store.register(new)
        return Agent(self.store, new, registered.node.id)

    async def state(self, of: job.Job) -> JobState:
        return (await self.store.get_job(of.id)).state

    async def task_states(self, of: job.Job) -> list[TaskState]:
        return [task.state for task in await self.store.tasks(of.id)]

    async def kinds(self, of: job.Job) -> list[job.EventKind]:
        return [event.kind for event in await self.store.events(after=0, limit=1000, job_id=of.id)]


async def conflict(call: object) -> errors.Conflict:
    """The Conflict that a call must end in."""
    try:
        await call  # type: ignore[misc]
    except errors.Conflict as found:
        return found
    raise AssertionError("there was no conflict")
