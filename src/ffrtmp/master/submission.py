"""From a submitted body to a stored job: parse, resolve, plan, store, wake."""

import functools
import hashlib
from collections.abc import Sequence

import msgspec

from ffrtmp.domain import errors, job, spec, states, streaming
from ffrtmp.master import context
from ffrtmp.planning import graph, presets, resolve
from ffrtmp.protocol import bodies
from ffrtmp.scheduling import order
from ffrtmp.store import interface


class _Raw(msgspec.Struct):
    """The part of a body that is stored as it was sent."""

    parameters: msgspec.Raw = msgspec.Raw(b"{}")


class _RawBatch(msgspec.Struct):
    jobs: list[_Raw] = []


_raw = msgspec.json.Decoder(_Raw)
_raw_batch = msgspec.json.Decoder(_RawBatch)


#: bodies that come again and again are small; large ones must not fill the memory
_LARGEST_KEPT_BYTES = 8192
#: faults after which the rest of a batch is not looked at: finding the nearest names for a thousand jobs would stop everything else
_MOST_FAULTS = 20


def _understood(raw: bytes, book: presets.Book) -> tuple[bodies.SubmitBody, spec.Work, graph.Payload, bytes]:
    return _read_again(raw, book) if len(raw) <= _LARGEST_KEPT_BYTES else _read(raw, book)


def _read(raw: bytes, book: presets.Book) -> tuple[bodies.SubmitBody, spec.Work, graph.Payload, bytes]:
    """What a body says, with what its preset gives. A pure function of its bytes and of the presets."""
    body = bodies.parse(bodies.SubmitBody, raw)
    what = resolve.resolve(body, book)
    return book.applied(body)[0], what, graph.payload(what), _parameters(_raw.decode(raw), body)


#: farms submit the same body again and again
_read_again = functools.lru_cache(maxsize=256)(_read)


def _parameters(sent: _Raw, body: bodies.SubmitBody) -> bytes:
    """As they were sent, without a stream key, and the blanks and repeated fields that a body may be blown up with."""
    raw = bytes(sent.parameters)
    secrets = bodies.SECRETS & body.parameters.model_fields_set
    if len(raw) <= _LARGEST_KEPT_BYTES and not secrets:
        return raw
    given = msgspec.json.decode(raw)
    if body.parameters.rtmp_url is not None and "rtmp_url" in secrets:
        target = streaming.parse(body.parameters.rtmp_url, body.parameters.stream_key)
        given["rtmp_url"] = target.server if body.parameters.stream_key is not None else str(target)
    if "stream_key" in secrets and given["stream_key"] is not None:
        given["stream_key"] = streaming.HIDDEN
    return msgspec.json.encode(given)


def check(master: context.Master, raw: bytes) -> spec.Work:
    """What the body would become. Raises InvalidInput with every fault."""
    return _understood(raw, master.presets)[1]


async def submit(master: context.Master, raw: bytes, *, idempotency_key: str | None, by: str) -> interface.Submitted:
    body, _, what, parameters = _understood(raw, master.presets)
    new = _plan(master, body, what, parameters, idempotency_key=idempotency_key, raw=raw, by=by)
    return await _store(master, new)


async def submit_batch(
    master: context.Master, raw: bytes, *, idempotency_key: str | None, by: str
) -> list[interface.Submitted]:
    """All are checked before the first is stored. A key stands for the whole batch: each job gets it with its index."""
    batch = bodies.parse(bodies.BatchBody, raw)
    faults: list[errors.Fault] = []
    planned: list[job.NewJob] = []
    whole = hashlib.sha256(raw).digest() if idempotency_key else b""
    for index, (body, sent) in enumerate(zip(batch.jobs, _raw_batch.decode(raw).jobs, strict=True)):
        try:
            what = resolve.resolve(body, master.presets)
        except errors.InvalidInput as error:
            faults += [errors.Fault(f"jobs.{index}.{fault.path}", fault.message, fault.code) for fault in error.faults]
            if len(faults) >= _MOST_FAULTS:
                break
            continue
        key = f"{idempotency_key}#{index}" if idempotency_key else None
        planned.append(
            _plan(
                master,
                master.presets.applied(body)[0],
                graph.payload(what),
                _parameters(sent, body),
                idempotency_key=key,
                raw=whole,
                by=by,
            )
        )
    if faults:
        raise errors.InvalidInput("No job of the batch was taken; see `errors`.", faults=faults)
    stored = await master.store.submit_many(planned)
    await _tell(master, [new for new, made in zip(planned, stored, strict=True) if made.created])
    return stored


async def retry(master: context.Master, ref: str, *, idempotency_key: str | None, by: str) -> interface.Submitted:
    """A new job with the old one's body, that names it. Raises Conflict while the old one is not over, or when it succeeded."""
    old = await master.store.get_job(ref)
    if old.state not in states.JOB_TERMINAL:
        raise errors.Conflict(f"Job {ref} is {old.state}; only a job that is over can be retried.", state=old.state)
    if old.state is states.JobState.COMPLETED:
        raise errors.Conflict(f"Job {ref} completed; submit it again if you want its output anew.", state=old.state)
    new = graph.plan(
        graph.payload(msgspec.json.decode(old.spec, type=spec.Work)),
        scenario=old.scenario,
        confidence=old.confidence,
        engine=old.engine,
        queue=old.queue,
        priority=old.priority,
        parameters=bytes(old.parameters),
        tags=old.tags,
        head_start_us=order.head_start_us(old.queue, old.priority),
        max_retries=old.max_retries,
        new_id=context.new_id,
        retry_of=old.id,
        idempotency_key=idempotency_key,
        body=old.id.encode(),
        by=by,
    )
    return await _store(master, new)


def _plan(
    master: context.Master,
    body: bodies.SubmitBody,
    what: graph.Payload,
    parameters: bytes,
    *,
    idempotency_key: str | None,
    raw: bytes,
    by: str,
) -> job.NewJob:
    return graph.plan(
        what,
        scenario=body.scenario,
        confidence=body.confidence,
        engine=resolve.engine(body),
        queue=body.queue,
        priority=body.priority,
        parameters=parameters,
        tags=dict(body.parameters.tags),
        head_start_us=order.head_start_us(body.queue, body.priority),
        max_retries=master.settings.max_retries if body.max_retries is None else body.max_retries,
        new_id=context.new_id,
        idempotency_key=idempotency_key,
        body=raw,
        by=by,
    )


async def _store(master: context.Master, new: job.NewJob) -> interface.Submitted:
    stored = await master.store.submit(new)
    if stored.created:
        await _tell(master, (new,))
    return stored


async def _tell(master: context.Master, stored: Sequence[job.NewJob]) -> None:
    """Wakes the agents that may run these. Whatever goes wrong here, the jobs are stored: agents find them at their next look."""
    tasks = [task for new in stored for task in new.tasks]
    if any(master.classes.id_of(task.requires_key) is None for task in tasks):
        try:
            await master.classes.reload()
            await master.dispatcher.classes_changed()
        except errors.Unavailable as error:
            master.log.warning("new classes could not be read; the next sweep does", reason=error.message)
    master.dispatcher.ready(
        class_id
        for task in tasks
        if not task.depends_on and (class_id := master.classes.id_of(task.requires_key)) is not None
    )
    master.events.notify()
