"""What people do to jobs: cancel, pause, resume; and the rejection of those that no node can run."""

from collections.abc import Sequence

from ffrtmp.domain import errors, states
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import AttemptState, JobState, TaskState
from ffrtmp.store import calls, interface
from ffrtmp.store.ops import graph, read, rows
from ffrtmp.store.ops.unit import Targets, Unit, sequence_number

Answer = interface.JobChange | errors.FfrtmpError
_Change = calls.Cancel | calls.Pause | calls.Resume


async def targets(unit: Unit, batch: Sequence[_Change], into: Targets) -> None:
    await _find(unit, {call.ref for call in batch}, into)


async def reject_targets(unit: Unit, batch: Sequence[calls.Reject], into: Targets) -> None:
    await _find(unit, {job_id for call in batch for job_id in call.job_ids}, into)


async def _find(unit: Unit, refs: set[str], into: Targets) -> None:
    numbers = {ref: sequence_number(ref) for ref in refs}
    seqs = [seq for seq in numbers.values() if seq is not None]
    ids = [ref for ref, seq in numbers.items() if seq is None]
    into.jobs.update(row[1] for row in await unit.tx.all("job_refs", ids=ids, seqs=seqs))


async def _answers(unit: Unit, found: list[tuple[rows.Job, tuple[int, ...]] | errors.FfrtmpError]) -> list[Answer]:
    """The jobs as they are now, with the attempts that must hear of it."""
    await unit.flush()
    seqs = {one[0].seq for one in found if isinstance(one, tuple)}
    jobs = {one.sequence_number: one for one in await read.by_seqs(unit.tx, seqs)}
    answers: list[Answer] = []
    for one in found:
        if isinstance(one, errors.FfrtmpError):
            answers.append(one)
            continue
        of, ready = one
        attempts = tuple((lease.node_id, lease.attempt_id) for lease in of.leases)
        unit.commanded.update(node_id for node_id, _ in attempts)
        answers.append(interface.JobChange(job=jobs[of.seq], attempts=attempts, ready_class_ids=ready))
    return answers


async def cancel(unit: Unit, batch: Sequence[calls.Cancel]) -> list[Answer]:
    return await _answers(unit, [_cancel(unit, call.ref, call.by) for call in batch])


def _cancel(unit: Unit, ref: str, by: str) -> tuple[rows.Job, tuple[int, ...]] | errors.FfrtmpError:
    of = unit.find(ref)
    if of is None:
        return read.no_job(ref)
    if of.over:
        return (of, ()) if of.state is JobState.CANCELED else graph.conflict_over(of, "canceled")
    if any(lease.state is AttemptState.PUBLISHING for lease in of.leases):
        return errors.Conflict(
            f"Job {of.seq} is publishing its output: it cannot be canceled any more.",
            state=of.state.value,
            code="publishing",
        )
    if of.cancel_requested:
        return of, ()
    of.cancel_requested = 1
    unit.touch(of)
    unit.event(EventKind.JOB_CANCEL_REQUESTED, job_seq=of.seq, data=rows.with_who({}, by))
    if not of.leases:
        for task in of.tasks:
            if task.state not in states.TASK_TERMINAL:
                task.move(TaskState.CANCELED)
        graph.settle(unit, of)
    return of, ()


async def pause(unit: Unit, batch: Sequence[calls.Pause]) -> list[Answer]:
    return await _answers(unit, [_pause(unit, call, on=True) for call in batch])


async def resume(unit: Unit, batch: Sequence[calls.Resume]) -> list[Answer]:
    return await _answers(unit, [_pause(unit, call, on=False) for call in batch])


def _pause(
    unit: Unit, call: calls.Pause | calls.Resume, *, on: bool
) -> tuple[rows.Job, tuple[int, ...]] | errors.FfrtmpError:
    of = unit.find(call.ref)
    if of is None:
        return read.no_job(call.ref)
    if of.over:
        return graph.conflict_over(of, "paused" if on else "resumed")
    if of.cancel_requested:
        return errors.Conflict(f"Job {of.id} is being canceled.", state=of.state.value, code="canceled")
    if bool(of.paused) is on:
        return of, ()
    of.paused = int(on)
    kind = EventKind.JOB_PAUSE_REQUESTED if on else EventKind.JOB_RESUME_REQUESTED
    unit.event(kind, job_seq=of.seq, data=rows.with_who({}, call.by))
    graph.settle(unit, of)
    ready = () if on else tuple({task.class_id for task in of.tasks if task.state is TaskState.QUEUED})
    return of, ready


async def reject(unit: Unit, batch: Sequence[calls.Reject]) -> list[list[str]]:
    answers: list[list[str]] = []
    for call in batch:
        rejected: list[str] = []
        for job_id in dict.fromkeys(call.job_ids):
            of = unit.find(job_id)
            if of is None or of.over or of.held or of.leases:
                continue
            if not any(task.state is TaskState.QUEUED for task in of.tasks):
                continue
            of.failure_text = rows.failure_text(Failure(code=Code.UNSATISFIABLE, message=call.message))
            for task in of.tasks:
                if task.state not in states.TASK_TERMINAL:
                    task.move(TaskState.REJECTED)
            graph.settle(unit, of)
            rejected.append(of.id)
        answers.append(rejected)
    return answers
