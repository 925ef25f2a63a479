"""Health, readiness, metrics, the queue's depth, OpenAPI."""

from typing import Any

import msgspec

import ffrtmp
from ffrtmp.domain import errors, states
from ffrtmp.master import sampling
from ffrtmp.master.http.call import Call, Reply
from ffrtmp.protocol import views
from ffrtmp.scheduling import waiting
from ffrtmp.telemetry import metrics


async def health(call: Call) -> Any:
    """200 while the process answers and its database does."""
    await call.master.store.check()
    return _view(call)


async def ready(call: Call) -> Any:
    """200 when it takes jobs: not while it stops, nor while its database takes no writes."""
    if call.master.stopping.is_set():
        raise errors.Unavailable("This master is stopping.", code="stopping")
    await call.master.store.check_writing()
    return _view(call)


def _view(call: Call) -> views.HealthView:
    return views.HealthView(
        status="ok",
        version=ffrtmp.__version__,
        database="postgres" if call.master.settings.postgres else "sqlite",
        uptime_seconds=call.master.clock() - call.master.started,
    )


async def exposition(call: Call) -> Any:
    await sampling.sample(call.master)
    return Reply(body=call.master.metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})


async def queue(call: Call) -> Any:
    """Depth by queue, class and state, with the reason each waits."""
    nodes = await call.master.store.nodes()
    depths = await call.master.store.depths()
    if any(call.master.classes.requires(depth.class_id) is None for depth in depths):
        await call.master.classes.reload()
    rows = []
    for depth in depths:
        requires = call.master.classes.requires(depth.class_id)
        if requires is None or depth.count == 0:
            continue
        why = _why(depth.state, waiting.why(requires, nodes))
        rows.append(
            views.QueueRow(
                queue=depth.queue.value,
                class_id=depth.class_id,
                state=depth.state.value,
                count=depth.count,
                requires=msgspec.to_builtins(requires),
                waiting_code=why.code.value,
                waiting_reason=why.reason,
            )
        )
    return views.QueueView(rows=rows, total=sum(row.count for row in rows))


def _why(state: states.TaskState, queued: waiting.Waiting) -> waiting.Waiting:
    match state:
        case states.TaskState.BLOCKED:
            return waiting.Waiting(waiting.WaitingCode.DEPENDENCY, "It waits for another task of its job.")
        case states.TaskState.RETRYING:
            return waiting.Waiting(waiting.WaitingCode.BACKOFF, "It failed and waits before the next attempt.")
        case _:
            return queued
