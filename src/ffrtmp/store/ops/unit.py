"""A unit of work: what one transaction has read, locked, changed and counted.

The order in which locks are taken is the same everywhere, so that masters never wait for one another in a circle: jobs by number,
nodes by id, new node names, idempotency keys, classes, uploads, and last the counters. Whoever changes any row of a job (its
tasks, attempts, lease or place in line) holds the job's row. Leases and sweeps, which do not know their jobs beforehand, leave out
what others have locked and never wait.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping, Sequence

import msgspec

from ffrtmp.domain import states
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import JobState, TaskState
from ffrtmp.store import interface
from ffrtmp.store.ops import rows
from ffrtmp.store.ops.floors import Floors
from ffrtmp.store.tx import Tx


class Targets(msgspec.Struct):
    """What a batch of calls will change, as far as it is known beforehand."""

    jobs: set[int] = msgspec.field(default_factory=set)
    nodes: set[str] = msgspec.field(default_factory=set)


class Unit:
    def __init__(
        self,
        tx: Tx,
        now: int,
        rng: random.Random,
        shard: int,
        class_ids: Mapping[str, int],
        known_floors: Floors | None = None,
    ) -> None:
        self.tx = tx
        self.now = now
        self.rng = rng
        self._shard = shard
        self.class_ids = class_ids  #: committed ones
        self.floors = known_floors or Floors()  #: without any, each look begins at the beginning
        self.new_class_ids: dict[str, int] = {}
        self.jobs: dict[int, rows.Job] = {}
        self.by_id: dict[str, rows.Job] = {}
        self.leases: dict[str, rows.Lease] = {}
        self.nodes: dict[str, rows.Node] = {}
        self._dirty: MutableMapping[int, rows.Job] = {}
        self._dirty_nodes: MutableMapping[str, rows.Node] = {}
        self._started: list[rows.Lease] = []
        self._ended: list[rows.Lease] = []
        self._events: list[rows.Event] = []
        self._counts: Counter[str] = Counter()
        self.ready: dict[int, int] = {}  #: class that got a ready task → the lowest key of those
        self.left: set[int] = (
            set()
        )  #: classes with a task that a lease held and left: who looked meanwhile found nothing
        self.skipped: set[int] = set()  #: classes with a task that a lease found held by another transaction
        self.commanded: set[str] = set()  #: nodes with an attempt that must do something
        self.changed_nodes: set[str] = set()  #: that masters remember otherwise

    async def lock(self, targets: Targets) -> None:
        await self.lock_jobs(targets.jobs)
        if targets.nodes:
            for row in await self.tx.all("nodes_by_id", ids=sorted(targets.nodes)):
                self.nodes[row[0]] = rows.Node(*row)

    async def lock_jobs(self, seqs: Iterable[int], *, wait: bool = True) -> None:
        """Holds these jobs and reads them with their tasks and leases. Without `wait`, those that others hold are left out."""
        wanted = sorted(set(seqs).difference(self.jobs))
        if not wanted:
            return
        found = [rows.job(row) for row in await self.tx.all("jobs_by_seq" if wait else "jobs_by_seq_free", seqs=wanted)]
        if not found:
            return
        held: dict[int, bool] = {}
        for job in found:
            job.tasks, job.leases = [], []
            self.jobs[job.seq] = self.by_id[job.id] = job
            held[job.seq] = job.held
        seqs = list(held)
        for row in await self.tx.all("tasks_of_jobs", seqs=seqs):
            self.jobs[row[0]].tasks.append(rows.task(row, held=held[row[0]]))
        for row in await self.tx.all("leases_of_jobs", seqs=seqs):
            lease = self.leases[row[0]] = rows.lease(row)
            self.jobs[lease.job_seq].leases.append(lease)

    def find(self, ref: str) -> rows.Job | None:
        """A job that is held, by id or sequence number."""
        seq = sequence_number(ref)
        return self.by_id.get(ref) if seq is None else self.jobs.get(seq)

    def touch(self, job: rows.Job) -> None:
        self._dirty[job.seq] = job

    def touch_node(self, node: rows.Node) -> None:
        self._dirty_nodes[node.id] = node

    def started(self, lease: rows.Lease) -> None:
        """The attempt moved on and goes on; its lease row is written by the caller."""
        lease.at = self.now
        self._started.append(lease)

    def ended(self, lease: rows.Lease) -> None:
        """The attempt is over: its lease goes. Later calls of this transaction still find it in `leases`, with its end."""
        lease.at = self.now
        self.jobs[lease.job_seq].leases.remove(lease)
        self._ended.append(lease)

    def event(
        self,
        kind: EventKind,
        *,
        job_seq: int | None = None,
        task_id: str | None = None,
        attempt_id: str | None = None,
        node_id: str | None = None,
        data: str = "{}",
    ) -> None:
        self._events.append(rows.Event(self.now, kind, job_seq, task_id, attempt_id, node_id, data))

    def made_ready(self, class_id: int, sort_key: int) -> None:
        self.ready[class_id] = min(sort_key, self.ready.get(class_id, sort_key))

    def floor(self, class_id: int) -> int:
        """The sort key from which on to look for ready tasks."""
        key = self.floors.key(class_id, self.now)
        return min(key, self.ready.get(class_id, key))

    def count(self, name: str, by: int = 1) -> None:
        self._counts[name] += by

    def count_job(self, job: rows.Job, state: JobState, by: int) -> None:
        self._counts[f"job|{state.value}|{job.queue}|{job.engine}"] += by

    def count_task(self, job: rows.Job, class_id: int, state: TaskState, by: int) -> None:
        self._counts[f"task|{class_id}|{job.queue}|{state.value}"] += by

    def hint(self) -> interface.Hint:
        """What other masters must look at once this is committed."""
        return interface.Hint(
            ready=frozenset(self.ready.keys() | self.left),
            commands=frozenset(self.commanded),
            nodes=frozenset(self.changed_nodes),
            events=bool(self._events),
        )

    async def flush(self) -> None:
        """Writes what changed since the last time; events and counters wait for the end."""
        if self._dirty_nodes:
            nodes, self._dirty_nodes = self._dirty_nodes, {}
            await self._exactly("node_touch", list(nodes.values()))
        if not self._dirty:
            return
        jobs, self._dirty = self._dirty, {}
        plain: list[rows.Job] = []
        assigned: list[rows.Job] = []
        finished: list[rows.Job] = []
        tasks: list[rows.Task] = []
        for job in jobs.values():
            job.updated_at = self.now
            if job.state is not job.was:
                self._job_moved(job)
            if job.state in states.JOB_TERMINAL:
                finished.append(job)
            elif job.assigned:
                assigned.append(job)
            else:
                plain.append(job)
            tasks += job.tasks
        await self._exactly("job_update", plain)
        await self._exactly("job_assign", assigned)
        await self._exactly("job_finish", finished)
        await self._flush_tasks(tasks)
        await self._flush_attempts()
        for job in jobs.values():
            job.was = job.state
            job.assigned = False

    def _job_moved(self, job: rows.Job) -> None:
        self.count_job(job, job.was, -1)
        self.count_job(job, job.state, 1)
        self.event(
            EventKind.JOB_STATE,
            job_seq=job.seq,
            node_id=job.node_id,
            data=f'{{"from":"{job.was.value}","to":"{job.state.value}"}}',
        )

    async def _flush_tasks(self, tasks: list[rows.Task]) -> None:
        """Rows of tasks, and what follows from them: their places in line and the depth of the queue."""
        changed: list[rows.Task] = []
        gone: dict[str, list[_Place]] = {"ready": [], "delayed": []}
        come: dict[str, list[rows.Task]] = {"ready": [], "delayed": []}
        for task in tasks:
            job = self.jobs[task.job_seq]
            place = rows.placement(task, held=job.held)
            if place != task.placed:
                if task.placed is not None:
                    table, class_id, key = task.placed
                    gone[table].append(_Place(class_id, key, key, task.job_seq, task.position))
                    self.count_task(job, class_id, _COUNTED[table], -1)
                if place is not None:
                    come[place[0]].append(task)
                    if place[0] == "ready":
                        self.made_ready(task.class_id, task.sort_key)
                    self.count_task(job, task.class_id, _COUNTED[place[0]], 1)
                task.placed = place
            elif not task.changed:
                continue
            if task.was is TaskState.BLOCKED and task.state is not TaskState.BLOCKED:
                self.count_task(job, task.class_id, TaskState.BLOCKED, -1)
            task.updated_at = self.now
            changed.append(task)
        for table in ("ready", "delayed"):
            await self._exactly(f"{table}_delete", gone[table])
            await self._exactly(f"{table}_insert", come[table])
        await self._exactly("task_update", changed)
        for task in changed:
            task.was = task.state
            task.changed = False

    async def _flush_attempts(self) -> None:
        started, self._started = self._started, []
        ended, self._ended = self._ended, []
        await self._exactly("attempt_start", started)
        await self._exactly("attempt_end", ended)
        await self._exactly("lease_delete", ended)

    async def _exactly(self, name: str, objects: Sequence[object]) -> None:
        if objects and await self.tx.change(name, objects) != len(objects):
            raise GuardFailed(f"{name} changed fewer rows than it must")

    async def finish(self) -> None:
        """The last writes of a transaction."""
        await self.flush()
        if self._events:
            await self.tx.change("event_insert", self._events)
        counts = [rows.Count(name, self._shard, value) for name, value in sorted(self._counts.items()) if value]
        if counts:
            await self.tx.change("counter_add", counts)


class _Place(msgspec.Struct, gc=False):
    class_id: int
    sort_key: int
    run_at: int
    job_seq: int
    position: int


_COUNTED = {"ready": TaskState.QUEUED, "delayed": TaskState.RETRYING}


class GuardFailed(Exception):
    """A row was not in the state it was read in, although its job is held. The transaction is undone."""


def sequence_number(ref: str) -> int | None:
    """`ref` as a sequence number; None when it is not one."""
    if ref.isascii() and ref.isdigit():
        return int(ref) if len(ref) <= 18 else 0
    return None
