"""The same few words for what a store shows and for what the model expects, so that both can be compared."""

from typing import Any

from ffrtmp.domain import errors, job, node, spec, states
from ffrtmp.domain.states import TaskState
from ffrtmp.store import interface
from ffrtmp.testing.model.records import Attempt, Job, Node, Task
from ffrtmp.testing.model.work import Model

_SHOWS_PROGRESS = {states.JobState.ASSIGNED, states.JobState.RUNNING, states.JobState.PAUSED}


def refusal(error: errors.FfrtmpError) -> tuple[Any, ...]:
    paths = tuple(fault.path for fault in error.faults) if isinstance(error, errors.InvalidInput) else ()
    return type(error).__name__, error.code, getattr(error, "state", None), paths


def of_job(found: job.Job) -> dict[str, Any]:
    return {
        "id": found.id,
        "seq": found.sequence_number,
        "state": found.state,
        "queue": (found.queue, found.priority, found.engine, found.tags, found.retry_of),
        "asked": (found.paused, found.cancel_requested),
        "retries": (found.retry_count, found.max_retries),
        "times": (found.created_at, found.started_at, found.finished_at),
        "node": (found.node_id, found.node_name),
        "progress": found.progress,
        "failure": found.failure and found.failure.code,
        "result": found.result,
    }


def of_model_job(model: Model, of: Job) -> dict[str, Any]:
    new = of.new
    return {
        "id": of.id,
        "seq": of.seq,
        "state": of.state,
        "queue": (new.queue, new.priority, new.engine, new.tags, new.retry_of),
        "asked": (of.paused, of.cancel_requested),
        "retries": (of.retries, new.max_retries),
        "times": (of.created_at, of.started_at, of.finished_at),
        "node": (of.node_id, of.node_id and model.nodes[of.node_id].name),
        "progress": _progress(of),
        "failure": of.failure,
        "result": of.result,
    }


def _progress(of: Job) -> job.Progress | None:
    """Of a job with one task, what its attempt said; of a graph, the share of the work that is done. Of one that did not complete,
    how far it came."""
    done = sum(task.state is TaskState.DONE for task in of.tasks)
    if of.over and of.state is not states.JobState.COMPLETED:
        if len(of.tasks) > 1:
            return job.Progress(percent=round(100.0 * done / len(of.tasks), 2))
        said = [attempt.progress for attempt in of.tasks[0].attempts if attempt.progress is not None]
        return job.Progress(percent=said[-1].percent) if said else None
    if of.state not in _SHOWS_PROGRESS:
        return None
    heard = [attempt.progress for attempt in of.live if attempt.progress is not None]
    if len(of.tasks) == 1:
        return heard[0] if heard else None
    percent = (100.0 * done + sum(one.percent or 0.0 for one in heard)) / len(of.tasks)
    return job.Progress(percent=round(percent, 2))


def of_task(found: job.Task) -> tuple[Any, ...]:
    return found.id, found.state, found.pending_deps, found.failures, found.crashes, found.run_at, found.created_at


def of_model_task(task: Task) -> tuple[Any, ...]:
    waits = len(task.waits_for)
    return task.id, task.state, waits, task.failures, task.crashes, task.run_at, task.of.created_at


def of_attempt(found: job.Attempt) -> tuple[Any, ...]:
    times = (found.assigned_at, found.started_at, found.finished_at)
    code = found.failure and found.failure.code
    return found.id, found.task_id, found.node_id, found.number, found.state, times, code, found.result


def of_model_attempt(attempt: Attempt) -> tuple[Any, ...]:
    times = (attempt.assigned_at, attempt.started_at, attempt.finished_at)
    about = (attempt.id, attempt.task.id, attempt.node_id, attempt.number, attempt.state)
    return *about, times, attempt.failure, attempt.result


def of_node(found: node.Node) -> tuple[Any, ...]:
    asked = (found.draining, found.incarnation, found.slots, found.ttl_us)
    return found.id, found.name, found.status, found.active_attempts, *asked, found.last_heartbeat


def of_model_node(model: Model, known: Node) -> tuple[Any, ...]:
    asked = (known.draining or known.stopping, known.incarnation, known.slots, known.ttl_us)
    return known.id, known.name, model.status(known), len(model.held_by(known.id)), *asked, known.last_heartbeat


def of_result(found: interface.AttemptResult) -> tuple[Any, ...]:
    about = (found.attempt_id, found.task_id, found.job_id, found.attempt_state, found.job_state, found.replay)
    return *about, found.retry, found.max_retries, found.run_at


def of_report(attempt: Attempt, *, replay: bool) -> tuple[Any, ...]:
    """What a report is answered with. Only the answer that puts a task back says when it is tried again."""
    task, of = attempt.task, attempt.task.of
    about = (attempt.id, task.id, of.id, attempt.state, of.state, replay)
    return *about, of.retries, of.new.max_retries, None if replay else task.run_at


def of_grant(found: job.Grant) -> tuple[Any, ...]:
    published = sorted(output.name for output in found.prior_publications)
    return found.attempt_id, found.task_id, found.job_id, found.sequence_number, found.number, published


def of_model_grant(model: Model, attempt: Attempt) -> tuple[Any, ...]:
    task = attempt.task
    published = sorted(output.name for output in model.published_before(attempt))
    return attempt.id, task.id, task.of.id, task.of.seq, attempt.number, published


def counts(model: Model) -> interface.Counts:
    jobs: dict[tuple[states.JobState, spec.Queue, spec.Engine], int] = {}
    for of in model.jobs.values():
        rank = (of.state, of.new.queue, of.new.engine)
        jobs[rank] = jobs.get(rank, 0) + 1
    return interface.Counts(
        jobs=jobs,
        completed_by_engine={spec.Engine(name): many for name, many in model.tally.engines.items()},
        failures=dict(model.tally.failures),
        retries=model.tally.retries,
        lease_expiries=model.tally.lease_expiries,
        nodes=sum(not known.removed for known in model.nodes.values()),
    )


def depths(model: Model, class_ids: dict[str, int]) -> dict[tuple[int, spec.Queue, TaskState], int]:
    found: dict[tuple[int, spec.Queue, TaskState], int] = {}
    blocked = [task for of in model.jobs.values() for task in of.tasks if task.state is TaskState.BLOCKED]
    for task in [*model.line(), *model.delayed(), *blocked]:
        place = (class_ids[task.class_key], task.of.new.queue, task.state)
        found[place] = found.get(place, 0) + 1
    return found
