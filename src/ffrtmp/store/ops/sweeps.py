"""What any master does from time to time. Each call is bounded, waits for nobody, and does what is due now."""

from collections.abc import Sequence

import msgspec

from ffrtmp.domain.errors import Code, Failure
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import TaskState
from ffrtmp.store import calls, interface
from ffrtmp.store.ops import graph, uploads
from ffrtmp.store.ops.unit import Unit

_KEY_PROMISE_US = 24 * 3600 * 1_000_000  #: guarantee G6: an idempotency key is known at least so long
_REQUESTS_KEPT_US = 3600 * 1_000_000  #: a lease request is not repeated after so long
_CHILDREN = (
    "old_docs",
    "old_tags",
    "old_tasks",
    "old_payloads",
    "old_deps",
    "old_attempts",
    "old_logs",
    "old_publications",
    "old_events",
    "old_keys",
    "old_refs",
)


class _Node(msgspec.Struct, gc=False):
    id: str


async def rescue(unit: Unit, batch: Sequence[calls.Rescue]) -> list[interface.Rescued]:
    return [await _rescue(unit, call.limit) for call in batch]


async def _rescue(unit: Unit, limit: int) -> interface.Rescued:
    await _note_silence(unit, limit)
    found = await unit.tx.all("leases_expired", now=unit.now, count=limit)
    seqs = [row[0] for row in found]
    await unit.lock_jobs(seqs, wait=False)
    # read again under the jobs' locks: a beat may have come in between
    expired = [
        lease
        for seq in dict.fromkeys(seqs)
        if seq in unit.jobs
        for lease in unit.jobs[seq].leases
        if lease.expires_at < unit.now
    ]
    # those of jobs that somebody holds wait for the next sweep: that they wait must show
    held = [unit.now - expires_at for seq, expires_at in found if seq not in unit.jobs]
    oldest = max([*held, *(unit.now - lease.expires_at for lease in expired)], default=0)
    results: list[interface.AttemptResult] = []
    for lease in expired:
        late = unit.now - lease.expires_at
        unit.count("lease_expiries")
        failure = Failure(
            code=Code.LEASE_EXPIRED,
            message=f"Attempt {lease.number} was not heard of until its lease ended, {late / 1e6:.1f} s ago.",
        )
        results.append(graph.lose(unit, lease, failure, back_off=True))
    return interface.Rescued(attempts=results, oldest_expired_us=oldest)


async def _note_silence(unit: Unit, limit: int) -> None:
    silent = [_Node(row[0]) for row in await unit.tx.all("nodes_silent", now=unit.now, count=limit)]
    await unit.tx.change("node_lost", silent)
    for node in silent:
        unit.event(EventKind.NODE_LOST, node_id=node.id)


async def promote(unit: Unit, batch: Sequence[calls.Promote]) -> list[interface.Promoted]:
    return [await _promote(unit, call.limit) for call in batch]


async def _promote(unit: Unit, limit: int) -> interface.Promoted:
    seqs = [row[0] for row in await unit.tx.all("delayed_due", now=unit.now, count=limit)]
    await unit.lock_jobs(seqs, wait=False)
    classes: list[int] = []
    for seq in dict.fromkeys(seqs):
        of = unit.jobs.get(seq)
        if of is None or of.held:
            continue
        for task in of.tasks:
            if task.state is TaskState.RETRYING and task.run_at is not None and task.run_at <= unit.now:
                graph.make_ready(unit, of, task, keep_place=False)
                classes.append(task.class_id)
        graph.settle(unit, of)
    await unit.flush()
    row = await unit.tx.one("delayed_next")
    return interface.Promoted(
        count=len(classes),
        ready_class_ids=tuple(sorted(set(classes))),
        next_due_us=None if row is None else max(0, row[0] - unit.now),
    )


async def expire(unit: Unit, batch: Sequence[calls.Expire]) -> list[interface.Expired]:
    return [await _expire(unit, call) for call in batch]


async def _expire(unit: Unit, call: calls.Expire) -> interface.Expired:
    found = await unit.tx.all(
        "jobs_old",
        finished_before=call.finished_before,
        keyed_before=unit.now - _KEY_PROMISE_US,
        count=call.limit,
    )
    await unit.lock_jobs((row[0] for row in found), wait=False)
    seqs = [row[0] for row in found if row[0] in unit.jobs]
    removed: list[str] = []
    if seqs:
        named = [row[0] for row in await unit.tx.all("uploads_of_jobs", seqs=seqs)]
        for name in _CHILDREN:
            await unit.tx.run(name, seqs=seqs)
        await unit.tx.run("old_jobs", seqs=seqs)
        for seq in seqs:
            unit.count_job(unit.jobs[seq], unit.jobs[seq].state, -1)
        removed = await uploads.unnamed(unit, named)
    many = 10 * call.limit
    await unit.tx.run("old_node_events", before=call.finished_before, count=many)
    await unit.tx.run("old_nodes", before=call.finished_before, count=many)
    await unit.tx.run("old_lease_requests", before=unit.now - _REQUESTS_KEPT_US, count=many)
    return interface.Expired(len(seqs), removed)
