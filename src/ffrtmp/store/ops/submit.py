"""Storing new jobs."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ffrtmp.domain import errors, job
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import JobState, TaskState
from ffrtmp.store import calls, interface
from ffrtmp.store.ops import read, rows
from ffrtmp.store.ops.unit import Unit

Answer = interface.Submitted | errors.FfrtmpError


class _Input(msgspec.Struct):
    upload_id: str | None = None


class _SpecInput(msgspec.Struct):
    """The part of a spec that names uploads."""

    input: _Input
    reference: _Input | None = None


_inputs_of = msgspec.json.Decoder(_SpecInput).decode
#: fields of a submission → the uploads that they name
Uploads = dict[str, str]


def _uploads(new: job.NewJob) -> Uploads:
    found = _inputs_of(new.spec)
    named = {"parameters.input": found.input, "parameters.measure.reference": found.reference}
    return {path: source.upload_id for path, source in named.items() if source is not None and source.upload_id}


class _Job(msgspec.Struct, gc=False):
    id: str
    state: JobState
    scenario: str
    confidence: str
    engine: str
    queue: str
    priority: str
    retry_of: str | None
    keyed: int
    max_retries: int
    task_count: int
    head_start_us: int
    at: int
    parameters: str
    spec: str
    tags: str
    seq: int = 0


class _Task(msgspec.Struct, gc=False):
    job_seq: int
    position: int
    id: str
    kind: str
    state: TaskState
    class_id: int
    sort_key: int
    ready_at: int
    pending_deps: int
    own_payload: int
    at: int


class _Tag(msgspec.Struct, gc=False):
    name: str
    value: str
    job_seq: int


class _Payload(msgspec.Struct, gc=False):
    job_seq: int
    position: int
    payload: str


class _Dep(msgspec.Struct, gc=False):
    job_seq: int
    depends_on: int
    position: int


class _Key(msgspec.Struct, gc=False):
    key: str
    body_sha256: str
    job_seq: int


class _Ref(msgspec.Struct, gc=False):
    upload_id: str
    job_seq: int


class _Class(msgspec.Struct, gc=False):
    requires: str


class _Batch(msgspec.Struct):
    """Rows to insert."""

    tasks: list[_Task] = []
    payloads: list[_Payload] = []
    deps: list[_Dep] = []
    tags: list[_Tag] = []
    keys: list[_Key] = []
    refs: list[_Ref] = []


class _Seen(msgspec.Struct):
    """What the database has of what a batch names."""

    known: dict[str, tuple[str, job.Job]]  #: idempotency key → (hash of its body, job)
    uploads: list[Uploads]  #: by call
    whole: set[str]  #: of these uploads


async def _see(unit: Unit, batch: Sequence[calls.Submit]) -> _Seen:
    known = await _known_keys(unit, batch)
    uploads = [_uploads(call.new) for call in batch]
    named = {upload for one in uploads for upload in one.values()}
    return _Seen(known, uploads, await _whole_uploads(unit, named))


async def submit(unit: Unit, batch: Sequence[calls.Submit]) -> list[Answer]:
    return await _submit(unit, batch, await _see(unit, batch))


async def _submit(unit: Unit, batch: Sequence[calls.Submit], seen: _Seen) -> list[Answer]:
    answers: list[Answer | None] = [None] * len(batch)
    known, uploads, whole = seen.known, seen.uploads, seen.whole
    fresh: list[int] = []
    leaders: dict[str, int] = {}  # key → the call of this batch that makes its job
    again: list[tuple[int, str]] = []
    for index, call in enumerate(batch):
        key = call.new.idempotency_key
        fault = _fault(call.new, uploads[index], whole)
        if key is not None and key in known:
            body, stored = known[key]
            if body == call.new.body_sha256:
                answers[index] = interface.Submitted(stored, False)
            else:
                answers[index] = errors.IdempotencyMismatch()
        elif fault is not None:
            answers[index] = errors.InvalidInput(faults=[fault])
        elif key is not None and key in leaders:
            if batch[leaders[key]].new.body_sha256 == call.new.body_sha256:
                again.append((index, key))
            else:
                answers[index] = errors.IdempotencyMismatch()
        else:
            if key is not None:
                leaders[key] = index
            fresh.append(index)
    made = await _insert(unit, [batch[index].new for index in fresh], [uploads[index] for index in fresh])
    for index, new_job in zip(fresh, made, strict=True):
        answers[index] = interface.Submitted(new_job, True)
    for index, key in again:
        leader = answers[leaders[key]]
        assert isinstance(leader, interface.Submitted)
        answers[index] = interface.Submitted(leader.job, False)
    return [answer for answer in answers if answer is not None]


async def submit_many(
    unit: Unit, batch: Sequence[calls.SubmitMany]
) -> list[list[interface.Submitted] | errors.FfrtmpError]:
    answers: list[list[interface.Submitted] | errors.FfrtmpError] = []
    for call in batch:
        wanted = [calls.Submit(new) for new in call.new]
        seen = await _see(unit, wanted)
        refusal = _refusal(wanted, seen)
        if refusal is not None:
            answers.append(refusal)
            continue
        made = await _submit(unit, wanted, seen)
        answers.append([one for one in made if isinstance(one, interface.Submitted)])
    return answers


def _refusal(batch: Sequence[calls.Submit], seen: _Seen) -> errors.FfrtmpError | None:
    """Why not all of them can be taken."""
    faults: list[errors.Fault] = []
    bodies = {key: body for key, (body, _) in seen.known.items()}
    for index, (call, uploads) in enumerate(zip(batch, seen.uploads, strict=True)):
        key = call.new.idempotency_key
        # also between two of this batch
        if key is not None and bodies.setdefault(key, call.new.body_sha256) != call.new.body_sha256:
            return errors.IdempotencyMismatch()
        if key is not None and key in seen.known:
            continue
        if fault := _fault(call.new, uploads, seen.whole):
            faults.append(errors.Fault(f"jobs.{index}.{fault.path}", fault.message, fault.code))
    return errors.InvalidInput(faults=faults) if faults else None


async def _known_keys(unit: Unit, batch: Sequence[calls.Submit]) -> dict[str, tuple[str, job.Job]]:
    keys = sorted({call.new.idempotency_key for call in batch if call.new.idempotency_key is not None})
    if not keys:
        return {}
    found = await unit.tx.all("idempotency_known", keys=keys)
    jobs = {one.sequence_number: one for one in await read.by_seqs(unit.tx, {row[2] for row in found})}
    # a job that is not there has expired between the two statements, and its key with it
    return {row[0]: (row[1], jobs[row[2]]) for row in found if row[2] in jobs}


async def _whole_uploads(unit: Unit, uploads: set[str]) -> set[str]:
    if not uploads:
        return set()
    return {row[0] for row in await unit.tx.all("uploads_held", ids=sorted(uploads)) if row[1]}


def _fault(new: job.NewJob, uploads: Uploads, whole: set[str]) -> errors.Fault | None:
    for path, upload in uploads.items():
        if upload not in whole:
            return errors.Fault(path, f"the upload {upload} is not here, or not whole: send its bytes first")
    for name, value in new.tags.items():
        if "\0" in name or "\0" in value:  # PostgreSQL has no NUL in its texts
            return errors.Fault(f"tags.{name}", "a tag may not have NUL characters")
    return None


async def _insert(unit: Unit, new: Sequence[job.NewJob], uploads: Sequence[Uploads]) -> list[job.Job]:
    if not new:
        return []
    class_ids = await _class_ids(unit, new)
    at = unit.now
    inserted = [_job_row(one, at) for one in new]
    await unit.tx.insert_jobs(inserted)
    await unit.tx.change("job_doc_insert", inserted)
    rest = _Batch()
    for one, row, named in zip(new, inserted, uploads, strict=True):
        _add(unit, rest, one, row, class_ids)
        rest.refs += [_Ref(upload, row.seq) for upload in sorted(set(named.values()))]
    await unit.tx.change("task_insert", rest.tasks)
    await unit.tx.change("ready_insert", [task for task in rest.tasks if task.state is TaskState.QUEUED])
    await unit.tx.change("task_payload_insert", rest.payloads)
    await unit.tx.change("task_dep_insert", rest.deps)
    await unit.tx.change("job_tag_insert", rest.tags)
    await unit.tx.change("upload_ref_insert", rest.refs)
    await unit.tx.change("idempotency_insert", sorted(rest.keys, key=lambda row: row.key))
    return [_job(one, row) for one, row in zip(new, inserted, strict=True)]


def _job_row(new: job.NewJob, at: int) -> _Job:
    return _Job(
        new.id,
        JobState.QUEUED,
        new.scenario,
        new.confidence,
        new.engine.value,
        new.queue.value,
        new.priority.value,
        new.retry_of,
        int(new.idempotency_key is not None),
        new.max_retries,
        len(new.tasks),
        new.head_start_us,
        at,
        new.parameters.decode(),
        new.spec.decode(),
        rows.json_text(new.tags) if new.tags else "{}",
    )


def _add(unit: Unit, rest: _Batch, new: job.NewJob, row: _Job, class_ids: dict[str, int]) -> None:
    """The rows that hang on a job."""
    at, seq = unit.now, row.seq
    for position, task in enumerate(new.tasks):
        class_id = class_ids[task.requires_key]
        own = task.payload != new.spec
        state = TaskState.BLOCKED if task.depends_on else TaskState.QUEUED
        depends_on = set(task.depends_on)
        rest.tasks.append(
            _Task(
                seq,
                position,
                task.id,
                task.kind.value,
                state,
                class_id,
                at - new.head_start_us,
                at,
                len(depends_on),
                int(own),
                at,
            )
        )
        if own:
            rest.payloads.append(_Payload(seq, position, task.payload.decode()))
        rest.deps += [_Dep(seq, other, position) for other in sorted(depends_on)]
        unit.count(f"task|{class_id}|{row.queue}|{state.value}")
        if state is TaskState.QUEUED:
            unit.made_ready(class_id, at - new.head_start_us)
    rest.tags += [_Tag(name, value, seq) for name, value in new.tags.items()]
    if new.idempotency_key is not None:
        rest.keys.append(_Key(new.idempotency_key, new.body_sha256, seq))
    unit.count(f"job|queued|{row.queue}|{row.engine}")
    unit.event(EventKind.JOB_SUBMITTED, job_seq=seq, data=rows.with_who({"to": "queued"}, new.by))


async def _class_ids(unit: Unit, new: Sequence[job.NewJob]) -> dict[str, int]:
    """Classes by their requirements; new ones are stored."""
    wanted = {task.requires_key for one in new for task in one.tasks}
    ids: dict[str, int] = {key: unit.class_ids[key] for key in wanted if key in unit.class_ids}
    missing = sorted(wanted.difference(ids))
    if missing:
        await unit.tx.change("class_insert", [_Class(key) for key in missing])
        found: dict[str, Any] = {row[0]: row[1] for row in await unit.tx.all("classes_known", keys=missing)}
        unit.new_class_ids.update(found)
        ids.update(found)
    return ids


def _job(new: job.NewJob, row: _Job) -> job.Job:
    return job.Job(
        id=new.id,
        sequence_number=row.seq,
        state=JobState.QUEUED,
        scenario=new.scenario,
        confidence=new.confidence,
        engine=new.engine,
        queue=new.queue,
        priority=new.priority,
        parameters=msgspec.Raw(new.parameters),
        spec=msgspec.Raw(new.spec),
        tags=dict(new.tags),
        retry_of=new.retry_of,
        paused=False,
        cancel_requested=False,
        max_retries=new.max_retries,
        retry_count=0,
        created_at=row.at,
        updated_at=row.at,
        started_at=None,
        finished_at=None,
        node_id=None,
        node_name=None,
        progress=None,
        failure=None,
        result=None,
    )
