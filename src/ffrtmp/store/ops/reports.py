"""What agents report of their attempts: publish, complete, fail, give back, log.

A report counts only while its attempt is that node's: otherwise the answer is the same as before for the same report again, and a
Conflict with the true state for any other.
"""

from collections.abc import Iterable, Sequence

import msgspec

from ffrtmp.domain import errors, job, spec, states
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.retry import EXCUSED_ATTEMPTS
from ffrtmp.domain.states import AttemptState, JobState
from ffrtmp.store import calls, interface
from ffrtmp.store.ops import graph, rows
from ffrtmp.store.ops.unit import Targets, Unit

Answer = interface.AttemptResult | errors.FfrtmpError


class _Known(msgspec.Struct):
    """An attempt that is not live."""

    attempt_id: str
    task_id: str
    job_seq: int
    node_id: str
    incarnation: str
    state: AttemptState
    job_id: str
    job_state: JobState
    cancel_requested: int
    retry_count: int
    max_retries: int


async def targets(unit: Unit, batch: Sequence[calls.Report], into: Targets) -> None:
    found = await unit.tx.all("lease_jobs", ids=list({call.attempt_id for call in batch}))
    into.jobs.update(row[0] for row in found)


async def give_back_targets(unit: Unit, batch: Sequence[calls.Report], into: Targets) -> None:
    await targets(unit, batch, into)
    found = await unit.tx.all("lost_jobs", ids=[call.attempt_id for call in batch])
    into.jobs.update(row[0] for row in found)


async def _ended(unit: Unit, batch: Sequence[calls.Report]) -> dict[str, _Known]:
    """Those of the attempts that are not live, and known."""
    missing = [call.attempt_id for call in batch if call.attempt_id not in unit.leases]
    known: dict[str, _Known] = {}
    if missing:
        for row in await unit.tx.all("attempts_known", ids=missing):
            one = known[row[0]] = _Known(*row)
            one.state = rows.ATTEMPT_STATES[row[5]]
            one.job_state = rows.JOB_STATES[row[7]]
    return known


def _known(unit: Unit, lease: rows.Lease) -> _Known:
    of = unit.jobs[lease.job_seq]
    return _Known(
        lease.attempt_id,
        lease.task_id,
        lease.job_seq,
        lease.node_id,
        lease.incarnation,
        lease.state,
        of.id,
        of.state,
        of.cancel_requested,
        of.retry_count,
        of.max_retries,
    )


def _late(call: calls.Report, known: _Known | None, replays: frozenset[AttemptState]) -> Answer:
    """The answer to a report for an attempt that is not live, or not that node's."""
    if known is None:
        return errors.NotFound(f"There is no attempt {call.attempt_id}.")
    mine = (known.node_id, known.incarnation) == (call.node_id, call.incarnation)
    if mine and known.state in replays:
        return interface.AttemptResult(
            attempt_id=known.attempt_id,
            task_id=known.task_id,
            job_id=known.job_id,
            attempt_state=known.state,
            job_state=known.job_state,
            replay=True,
            retry=known.retry_count,
            max_retries=known.max_retries,
        )
    if mine and known.state is AttemptState.CANCELED:
        return _canceled(call.attempt_id, known.state)
    whose = "is over" if mine else "is another node's"
    return errors.Conflict(
        f"Attempt {call.attempt_id} {whose}: it is {known.state.value}.", state=known.state.value, code="stale_attempt"
    )


def _canceled(attempt_id: str, state: AttemptState) -> errors.Conflict:
    return errors.Conflict(
        f"The job of attempt {attempt_id} was canceled: stop it and publish nothing.",
        state=state.value,
        code="canceled",
    )


def _live(unit: Unit, call: calls.Report) -> rows.Lease | None:
    lease = unit.leases.get(call.attempt_id)
    if lease is None or lease.state in states.ATTEMPT_TERMINAL:
        return None
    return lease if (lease.node_id, lease.incarnation) == (call.node_id, call.incarnation) else None


def _not_live(unit: Unit, call: calls.Report, ended: dict[str, _Known], *replays: AttemptState) -> Answer:
    lease = unit.leases.get(call.attempt_id)
    known = ended.get(call.attempt_id) if lease is None else _known(unit, lease)
    return _late(call, known, frozenset(replays))


async def publish(unit: Unit, batch: Sequence[calls.Publish]) -> list[Answer]:
    ended = await _ended(unit, batch)
    answers: list[Answer] = []
    publications: list[_Publication] = []
    renewed: list[rows.Lease] = []
    for call in batch:
        lease = _live(unit, call)
        if lease is None:
            answers.append(_not_live(unit, call, ended))
            continue
        of = unit.jobs[lease.job_seq]
        if lease.state is AttemptState.PUBLISHING:
            answers.append(graph.outcome(of, lease, replay=True))
            continue
        if of.cancel_requested or of.over:
            answers.append(_canceled(lease.attempt_id, lease.state))
            continue
        lease.move(AttemptState.PUBLISHING)
        unit.started(lease)
        unit.touch(of)
        renewed.append(lease)
        publications.append(_Publication(of.seq, lease.task_id, lease.attempt_id, rows.json_text(list(call.outputs))))
        unit.event(
            EventKind.ATTEMPT_PUBLISHING,
            job_seq=of.seq,
            task_id=lease.task_id,
            attempt_id=lease.attempt_id,
            node_id=lease.node_id,
        )
        answers.append(graph.outcome(of, lease))
    await unit.tx.change("lease_renew", renewed)
    await unit.tx.change("publication_insert", publications)
    return answers


class _Publication(msgspec.Struct):
    job_seq: int
    task_id: str
    attempt_id: str
    outputs: str


class _UploadRef(msgspec.Struct):
    upload_id: str
    job_seq: int


async def _missing_uploads(unit: Unit, results: Iterable[job.Result]) -> set[str]:
    """Uploads that the results name and that are not there, whole."""
    named = {output.upload_id for result in results for output in result.outputs if output.upload_id}
    if not named:
        return set()
    found = await unit.tx.all("uploads_held", ids=sorted(named))
    return named - {row[0] for row in found if row[1]}


async def complete(unit: Unit, batch: Sequence[calls.Complete]) -> list[Answer]:
    ended = await _ended(unit, batch)
    missing = await _missing_uploads(unit, (call.result for call in batch))
    answers: list[Answer] = []
    refs: list[_UploadRef] = []
    for call in batch:
        lease = _live(unit, call)
        if lease is None:
            answers.append(_not_live(unit, call, ended, AttemptState.DONE))
            continue
        of = unit.jobs[lease.job_seq]
        if of.over or (of.cancel_requested and lease.state is not AttemptState.PUBLISHING):
            answers.append(_canceled(lease.attempt_id, lease.state))
            continue
        uploads = [output.upload_id for output in call.result.outputs if output.upload_id]
        absent = missing.intersection(uploads)
        if absent:
            answers.append(_absent(absent))
            continue
        refs += [_UploadRef(upload, of.seq) for upload in uploads]
        graph.end_attempt(unit, lease, AttemptState.DONE, result=call.result)
        if of.started_at is None:
            of.started_at = unit.now
        ready = await graph.finish_task(unit, of, of.tasks[lease.position])
        if of.state is JobState.COMPLETED:
            of.result_attempt = lease.attempt_id
            unit.count(f"engine|{_engine(of, call.result)}")
        answers.append(graph.outcome(of, lease, ready=ready))
    await unit.tx.change("upload_ref_insert", refs)
    return answers


def _engine(of: rows.Job, result: job.Result) -> str:
    if result.engine not in (None, spec.Engine.AUTO):
        return result.engine.value
    return spec.Engine.FFMPEG.value if of.engine == spec.Engine.AUTO.value else of.engine


def _absent(uploads: Iterable[str]) -> errors.InvalidInput:
    return errors.InvalidInput(
        faults=[
            errors.Fault("result.outputs", f"the upload {upload} is not here, or not whole: send its bytes first")
            for upload in sorted(uploads)
        ]
    )


async def fail(unit: Unit, batch: Sequence[calls.Fail]) -> list[Answer]:
    ended = await _ended(unit, batch)
    answers: list[Answer] = []
    for call in batch:
        lease = _live(unit, call)
        if lease is None:
            replays = (AttemptState.FAILED, AttemptState.TIMED_OUT, AttemptState.CANCELED)
            answers.append(_not_live(unit, call, ended, *replays))
            continue
        answers.append(_fail(unit, unit.jobs[lease.job_seq], lease, call))
    return answers


def _fail(unit: Unit, of: rows.Job, lease: rows.Lease, call: calls.Fail) -> interface.AttemptResult:
    failure = call.failure
    task = of.tasks[lease.position]
    run_at = None
    if failure.code is Code.CANCELED or of.cancel_requested or of.over:
        end = AttemptState.FAILED if lease.state is AttemptState.PUBLISHING else AttemptState.CANCELED
        graph.end_attempt(unit, lease, end, failure=failure, result=call.result)
        graph.cancel_task(unit, of, task)
    else:
        late = failure.code is Code.TIMED_OUT and lease.state is not AttemptState.PUBLISHING
        end = AttemptState.TIMED_OUT if late else AttemptState.FAILED
        graph.end_attempt(unit, lease, end, failure=failure, result=call.result)
        run_at = graph.fail_task(unit, of, task, failure, crashed=graph.is_crash(failure), back_off=True)
        if of.over and call.result is not None:
            of.result_attempt = lease.attempt_id
    return graph.outcome(of, lease, run_at=run_at)


async def give_back(unit: Unit, batch: Sequence[calls.GiveBack]) -> list[Answer]:
    ended = await _ended(unit, batch)
    answers: list[Answer] = []
    for call in batch:
        lease = _live(unit, call)
        if lease is None:
            answers.append(await _excused(unit, call, ended))
            continue
        of = unit.jobs[lease.job_seq]
        task = of.tasks[lease.position]
        if call.fenced and lease.number >= EXCUSED_ATTEMPTS:
            failure = Failure(code=Code.LEASE_EXPIRED, message=f"Attempt {lease.number} could not be renewed in time.")
            answers.append(graph.lose(unit, lease, failure, back_off=True))
            continue
        if lease.state is AttemptState.PUBLISHING and not call.fenced:
            answers.append(
                errors.Conflict(
                    f"Attempt {lease.attempt_id} is publishing: complete it or fail it.",
                    state=lease.state.value,
                    code="publishing",
                )
            )
            continue
        graph.end_attempt(unit, lease, AttemptState.RETURNED)
        if of.cancel_requested or of.over:
            graph.cancel_task(unit, of, task)
        else:
            graph.make_ready(unit, of, task, keep_place=True)
            graph.settle(unit, of)
        answers.append(graph.outcome(of, lease))
    return answers


class _Excused(msgspec.Struct):
    job_seq: int
    attempt_id: str


async def _excused(unit: Unit, call: calls.GiveBack, ended: dict[str, _Known]) -> Answer:
    """The answer to an agent that gives back what is not live any more. That its lease ended was not the job's doing: it lives."""
    answer = _not_live(unit, call, ended, AttemptState.RETURNED, AttemptState.LOST)
    known = ended.get(call.attempt_id)
    of = None if known is None else unit.jobs.get(known.job_seq)
    if known is None or of is None or isinstance(answer, errors.FfrtmpError) or known.state is not AttemptState.LOST:
        return answer
    [task] = [task for task in of.tasks if task.id == known.task_id]
    if task.state in states.TASK_TERMINAL or task.attempts >= EXCUSED_ATTEMPTS:
        return answer
    if not await unit.tx.change("attempt_excuse", [_Excused(known.job_seq, known.attempt_id)]):
        return answer
    ready = graph.excuse(unit, of, task, attempt_id=known.attempt_id, node_id=known.node_id)
    return msgspec.structs.replace(
        answer,
        job_state=of.state,
        retry=of.retry_count,
        ready_class_ids=ready,
    )


class _Log(msgspec.Struct):
    job_seq: int
    attempt_id: str
    text: str


async def log_targets(unit: Unit, batch: Sequence[calls.PutLog], into: Targets) -> None:
    """Of jobs that are over too: one that is being removed must not get a log that nothing removes."""
    found = await unit.tx.all("attempts_known", ids=sorted({call.attempt_id for call in batch}))
    into.jobs.update(row[2] for row in found)


async def put_log(unit: Unit, batch: Sequence[calls.PutLog]) -> list[errors.FfrtmpError | None]:
    known = {row[0]: row for row in await unit.tx.all("attempts_known", ids=[call.attempt_id for call in batch])}
    answers: list[errors.FfrtmpError | None] = []
    logs: dict[str, _Log] = {}
    for call in batch:
        row = known.get(call.attempt_id)
        if row is None:
            answers.append(errors.NotFound(f"There is no attempt {call.attempt_id}."))
        elif row[3] != call.node_id:
            message = f"Attempt {call.attempt_id} is another node's."
            answers.append(errors.Conflict(message, state=row[5], code="stale_attempt"))
        else:
            # PostgreSQL has no NUL in its texts
            logs[call.attempt_id] = _Log(row[2], call.attempt_id, call.text.replace("\0", "␀"))
            answers.append(None)
    await unit.tx.change("attempt_log_put", [logs[attempt_id] for attempt_id in sorted(logs)])
    return answers
