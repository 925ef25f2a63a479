"""Spec → task graph. A plain job is one `encode` or one `measure`; chunked jobs will add their tasks here."""

import hashlib
from collections.abc import Callable

import msgspec

from ffrtmp.domain import job, spec

_encoder = msgspec.json.Encoder()


class Payload(msgspec.Struct, frozen=True):
    """A spec as it is stored and sent. Made once for submissions that are equal."""

    kind: job.TaskKind
    spec: bytes
    requires_key: str


def payload(what: spec.Work) -> Payload:
    return Payload(job.kind_of(what), _encoder.encode(what), what.requires.key())


def plan(
    what: Payload,
    *,
    scenario: str,
    confidence: str,
    engine: spec.Engine,
    queue: spec.Queue,
    priority: spec.Priority,
    parameters: bytes,
    tags: dict[str, str],
    head_start_us: int,
    max_retries: int,
    new_id: Callable[[], str],
    retry_of: str | None = None,
    idempotency_key: str | None = None,
    body: bytes = b"",
    by: str = "",
) -> job.NewJob:
    """The job with its tasks, ready to be stored. `body` is hashed to recognise a repeat of `idempotency_key`."""
    return job.NewJob(
        id=new_id(),
        scenario=scenario,
        confidence=confidence,
        engine=engine,
        queue=queue,
        priority=priority,
        parameters=parameters,
        spec=what.spec,
        tasks=(
            job.NewTask(
                id=new_id(),
                kind=what.kind,
                requires_key=what.requires_key,
                payload=what.spec,
            ),
        ),
        head_start_us=head_start_us,
        max_retries=max_retries,
        tags=tags,
        retry_of=retry_of,
        idempotency_key=idempotency_key,
        body_sha256=hashlib.sha256(body).hexdigest() if idempotency_key else "",
        by=by,
    )
