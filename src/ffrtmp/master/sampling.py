"""Metrics that are read from the store's counters at a scrape: the same cost at a thousand jobs and at a million."""

from collections import Counter

from ffrtmp.domain import states
from ffrtmp.master.context import Master


async def sample(master: Master) -> None:
    counts = await master.store.counts()
    by_state: Counter[tuple[str, ...]] = Counter({(state.value,): 0 for state in states.JobState})
    by_queue: Counter[tuple[str, ...]] = Counter()
    for (state, queue, _), count in counts.jobs.items():
        by_state[(state.value,)] += count
        by_queue[(queue.value,)] += 0 if state in states.JOB_TERMINAL else count
    put = master.metrics.sample
    put("ffrtmp_jobs_total", by_state)
    put("scheduler_jobs_by_queue", by_queue)
    put(
        "ffrtmp_jobs_completed_by_engine",
        {(engine.value,): count for engine, count in counts.completed_by_engine.items()},
    )
    up = master.store.hints.up
    put("ffrtmp_store_hints_up", {} if up is None else {(): float(up)})
    put("scheduler_nodes_total", {(): counts.nodes})
    put("ffrtmp_attempt_failures_total", {(code.value,): count for code, count in counts.failures.items()})
    put("ffrtmp_retries_total", {(): counts.retries})
    put("ffrtmp_lease_expiries_total", {(): counts.lease_expiries})
    put(
        "ffrtmp_queue_depth",
        {
            (str(depth.class_id), depth.queue.value, depth.state.value): depth.count
            for depth in await master.store.depths()
        },
    )
