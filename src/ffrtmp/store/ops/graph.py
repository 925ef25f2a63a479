"""How a job's tasks, and with them the job, go on after something happened to one of them."""

from ffrtmp.domain import errors, job, retry, states
from ffrtmp.domain.errors import Code, Failure, FailureClass
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import AttemptState, JobState, TaskState
from ffrtmp.store import interface
from ffrtmp.store.ops import rows
from ffrtmp.store.ops.unit import Unit


def settle(unit: Unit, of: rows.Job) -> None:
    """Derives the job's state from its tasks. An end that is not success ends the other tasks too."""
    unit.touch(of)
    if of.over:
        return
    state = states.job_state((task.state for task in of.tasks), paused=bool(of.paused))
    if state in states.JOB_TERMINAL:
        of.finished_at = unit.now
        for task in of.tasks:
            if task.state not in states.TASK_TERMINAL:
                task.move(TaskState.CANCELED)
    of.state = state


def make_ready(unit: Unit, of: rows.Job, task: rows.Task, *, keep_place: bool) -> None:
    """Queues a task. `keep_place`: with the place in line that it had, because what happened was not its fault."""
    task.move(TaskState.QUEUED)
    task.run_at = None
    if not keep_place:
        task.ready_at = unit.now
        task.sort_key = unit.now - of.head_start_us
    unit.event(EventKind.TASK_READY, job_seq=of.seq, task_id=task.id)


async def finish_task(unit: Unit, of: rows.Job, task: rows.Task) -> tuple[int, ...]:
    """A task is done: counts down those that wait for it. Returns the classes that got a ready task."""
    task.move(TaskState.DONE)
    classes: list[int] = []
    if of.task_count > 1:
        for (position,) in await unit.tx.all("dependents", job_seq=of.seq, depends_on=task.position):
            waiting = of.tasks[position]
            waiting.pending_deps -= 1
            waiting.changed = True
            if waiting.pending_deps == 0 and waiting.state is TaskState.BLOCKED:
                make_ready(unit, of, waiting, keep_place=False)
                if not of.held:
                    classes.append(waiting.class_id)
    settle(unit, of)
    return tuple(classes)


def end_attempt(
    unit: Unit,
    lease: rows.Lease,
    state: AttemptState,
    *,
    failure: Failure | None = None,
    result: job.Result | None = None,
) -> None:
    lease.move(state)
    if failure is not None:
        lease.failure = rows.failure_text(failure)
        if failure.code is not Code.CANCELED:
            unit.count(f"failure|{failure.code.value}")
    if state is AttemptState.DONE:
        lease.progress = None  # all of it: nothing to remember
    if result is not None:
        lease.result = rows.json_text(result)
    unit.ended(lease)
    code = f',"code":"{failure.code.value}"' if failure else ""
    unit.event(
        EventKind.ATTEMPT_ENDED,
        job_seq=lease.job_seq,
        task_id=lease.task_id,
        attempt_id=lease.attempt_id,
        node_id=lease.node_id,
        data=f'{{"number":{lease.number},"state":"{state.value}"{code}}}',
    )


def cancel_task(unit: Unit, of: rows.Job, task: rows.Task) -> None:
    """The attempt is over and the job was asked to end, or has ended by another of its tasks."""
    if task.state not in states.TASK_TERMINAL:
        task.move(TaskState.CANCELED)
    settle(unit, of)


def fail_task(
    unit: Unit, of: rows.Job, task: rows.Task, failure: Failure, *, crashed: bool, back_off: bool
) -> int | None:
    """After a failed attempt: the task is tried again (returns when, µs) or fails for good (None)."""
    if crashed:
        task.crashes += 1
    else:
        task.failures += 1
    task.changed = True
    decision = retry.decide(
        failure, failures=task.failures, crashes=task.crashes, max_retries=of.max_retries, rng=unit.rng
    )
    if not decision.retry:
        if decision.poison:
            failure = Failure(
                code=Code.POISON,
                message=f"{task.crashes} attempts took their agent or engine down; the last: {failure.message}",
            )
        of.failure_text = rows.failure_text(failure)
        task.move(TaskState.TIMED_OUT if failure.code is Code.TIMED_OUT else TaskState.FAILED)
        settle(unit, of)
        return None
    of.retry_count += 1
    unit.count("retries")
    run_at = unit.now + decision.delay_us
    if back_off:
        task.move(TaskState.RETRYING)
        task.run_at = run_at
        unit.event(
            EventKind.TASK_RETRY,
            job_seq=of.seq,
            task_id=task.id,
            data=f'{{"retry":{of.retry_count},"run_at":{run_at}}}',
        )
    else:
        run_at = unit.now
        make_ready(unit, of, task, keep_place=True)
    settle(unit, of)
    return run_at


def lose(unit: Unit, lease: rows.Lease, failure: Failure, *, back_off: bool) -> interface.AttemptResult:
    """The node does not have the attempt any more: its lease ended, or its agent restarted."""
    of = unit.jobs[lease.job_seq]
    task = of.tasks[lease.position]
    end_attempt(unit, lease, AttemptState.LOST, failure=failure)
    run_at = None
    if of.cancel_requested or of.over:
        cancel_task(unit, of, task)
    else:
        run_at = fail_task(unit, of, task, failure, crashed=True, back_off=back_off)
    return outcome(of, lease, run_at=run_at)


def excuse(unit: Unit, of: rows.Job, task: rows.Task, *, attempt_id: str, node_id: str) -> tuple[int, ...]:
    """The attempt was lost, and its agent lives: it counts no more, and a retry need not wait. Returns classes that got a task."""
    task.crashes -= 1
    task.changed = True
    of.retry_count -= 1
    unit.event(EventKind.ATTEMPT_EXCUSED, job_seq=of.seq, task_id=task.id, attempt_id=attempt_id, node_id=node_id)
    waits = task.state is TaskState.RETRYING
    if waits:
        make_ready(unit, of, task, keep_place=True)
    settle(unit, of)
    return (task.class_id,) if waits and not of.held else ()


def outcome(
    of: rows.Job, lease: rows.Lease, *, run_at: int | None = None, ready: tuple[int, ...] = (), replay: bool = False
) -> interface.AttemptResult:
    """The answer to a report. A task that is queued again at once has its class among the ready ones."""
    task = of.tasks[lease.position]
    if task.state is TaskState.QUEUED and not of.held:
        ready = (*ready, task.class_id)
    return interface.AttemptResult(
        attempt_id=lease.attempt_id,
        task_id=lease.task_id,
        job_id=of.id,
        attempt_state=lease.state,
        job_state=of.state,
        replay=replay,
        retry=of.retry_count,
        max_retries=of.max_retries,
        run_at=run_at,
        ready_class_ids=ready,
    )


def is_crash(failure: Failure) -> bool:
    return failure.failure_class is FailureClass.CRASH


def conflict_over(of: rows.Job, verb: str) -> errors.Conflict:
    return errors.Conflict(f"Job {of.seq} is {of.state.value}: it cannot be {verb} any more.", state=of.state.value)


def canceled(of: rows.Job) -> bool:
    return bool(of.cancel_requested) or of.state is JobState.CANCELED
