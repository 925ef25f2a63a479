"""Rescue, promotion of retries, rejection of what no node can run, retention. None of them sleeps inside a sweep."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

from ffrtmp.domain import errors, node
from ffrtmp.master.context import Master
from ffrtmp.master.loops import hints

#: rows one sweep touches in one transaction: beats must never wait behind bulk work
_BATCH = 200
#: how long bytes are kept that no job names: an upload may be on its way, or its job about to be submitted
_ORPHAN_SECONDS = 86400.0


async def run(master: Master) -> None:
    """Until the master stops."""
    period = master.settings.scheduler_interval_seconds
    async with asyncio.TaskGroup() as group:
        group.create_task(_every(master, "rescue", min(period, master.settings.ttl_seconds / 6), rescue))
        group.create_task(_promote(master))
        group.create_task(_every(master, "reject", period, reject))
        group.create_task(_every(master, "retention", max(period, 30.0), expire))
        group.create_task(_every(master, "orphans", max(period, 600.0), orphans))
        group.create_task(_every(master, "classes", period, hints.refresh))
        hearing = group.create_task(_hear(master))
        await master.stopping.wait()
        hearing.cancel()


async def _hear(master: Master) -> None:
    """What other masters say, until canceled."""
    while True:
        hint = await master.store.hints.next()
        await _guarded(master, "hints", functools.partial(hints.apply, hint=hint))


async def _every(master: Master, name: str, period: float, sweep: Callable[[Master], Awaitable[None]]) -> None:
    while not master.stopping.is_set():
        await _guarded(master, name, sweep)
        # jitter: several masters, or several sweeps, must not beat together
        await _pause(master.stopping, period * master.rng.uniform(0.8, 1.2))


async def _guarded(master: Master, name: str, sweep: Callable[[Master], Awaitable[None]]) -> None:
    """A sweep that fails is tried again at its next turn: the database may be away for a while."""
    try:
        await sweep(master)
    except errors.Unavailable as error:
        master.log.warning("a sweep found the database away", sweep=name, reason=error.message)
    except Exception:
        master.log.exception("a sweep failed", sweep=name)


async def _pause(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def rescue(master: Master) -> None:
    """Leases that ended without a report."""
    while True:
        found = await master.store.rescue(_BATCH)
        master.metrics.gauge("ffrtmp_oldest_expired_lease_seconds").set(found.oldest_expired_us / 1e6)
        for result in found.attempts:
            master.log.warning(
                "a lease ended without a report",
                job_id=result.job_id,
                attempt_id=result.attempt_id,
                job_state=result.job_state.value,
            )
            master.dispatcher.ready(result.ready_class_ids)
        if found.attempts:
            master.sweep_soon.set()
            master.events.notify()
        if len(found.attempts) < _BATCH:
            return


async def _promote(master: Master) -> None:
    """Retries whose time has come: sleeps exactly until the next one, and looks at once when one is scheduled."""
    period = master.settings.scheduler_interval_seconds
    due: list[float | None] = [None]

    async def sweep(_: Master) -> None:
        due[0] = None
        while True:
            promoted = await master.store.promote(_BATCH)
            master.dispatcher.ready(promoted.ready_class_ids)
            if promoted.count:
                master.events.notify()
            due[0] = None if promoted.next_due_us is None else promoted.next_due_us / 1e6
            if promoted.count < _BATCH:
                return

    while not master.stopping.is_set():
        master.sweep_soon.clear()
        await _guarded(master, "promote", sweep)
        # a hundredth more, so that it is due when we look
        wait = period if due[0] is None else min(period, due[0] + 0.01)
        await _pause(master.sweep_soon, wait)


async def reject(master: Master) -> None:
    """Jobs that no registered node can run, after the grace period. With no node at all they wait: a farm is starting."""
    nodes = await master.store.nodes()
    now = master.clock()
    classes = master.classes.all() if nodes else []
    # of a class, not of a job: the one node that fits may come back with a new name, or be registered again without an encoder
    # that fails for the moment, and jobs that waited long before that keep their grace
    master.hopeless = {
        found.id: master.hopeless.get(found.id, now)
        for found in classes
        if all(node.unmet(found.requires, known) for known in nodes)
    }
    grace = master.settings.unsatisfiable_grace_seconds
    hopeless = [class_id for class_id, since in master.hopeless.items() if since <= now - grace]
    if not hopeless:
        return
    grace_us = int(grace * 1e6)
    job_ids = await master.store.waiting(hopeless, older_than_us=grace_us, limit=_BATCH)
    if not job_ids:
        return
    rejected = await master.store.reject(
        job_ids,
        "No registered node offers what the job requires; `ffrtmp jobs explain` names what each lacks.",
    )
    if rejected:
        master.log.warning("jobs were rejected: no node can run them", count=len(rejected))
        master.events.notify()


async def expire(master: Master) -> None:
    """Finished jobs older than the retention, and the bytes that only they named."""
    while not master.stopping.is_set():
        before = await master.store.now_us() - int(master.settings.retention_seconds * 1e6)
        gone = await master.store.expire(finished_before=before, limit=_BATCH)
        await _remove_bytes(master, gone.upload_ids)
        master.dispatcher.forget_old_follows()
        if gone.jobs:
            master.log.info("retention removed finished jobs", jobs=gone.jobs, artifacts=len(gone.upload_ids))
        if gone.jobs < _BATCH:
            return


async def orphans(master: Master) -> None:
    """Bytes that no job names: of uploads that a master removed and did not come to, or that nobody has gone on with for a day."""
    while not master.stopping.is_set() and (left := await master.store.removed_uploads(limit=_BATCH)):
        await _remove_bytes(master, left)
    while not master.stopping.is_set():
        before = await master.store.now_us() - int(_ORPHAN_SECONDS * 1e6)
        found = await master.store.orphans(created_before=before, limit=_BATCH)
        idle = await master.artifacts.idle(found, _ORPHAN_SECONDS)
        gone = await master.store.remove_uploads(idle) if idle else []
        await _remove_bytes(master, gone)
        if gone:
            master.log.info("uploads that no job came for were removed", uploads=len(gone))
        if len(gone) < _BATCH:
            return


async def _remove_bytes(master: Master, upload_ids: list[str]) -> None:
    """Of uploads that the store has removed. It remembers them until then."""
    if upload_ids:
        await master.artifacts.remove(upload_ids)
        await master.store.forget_uploads(upload_ids)
