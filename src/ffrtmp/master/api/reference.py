"""The reference's worker protocol: deployed reference agents work against this master unchanged.

They poll `/jobs/next`, beat with an empty body, report to `/results`, and look at `/api/v1/jobs/{id}` for a cancel, every 5 s while
a job's command runs. They name jobs, not attempts: each job of theirs is a whole file with one live attempt. They repeat no call
whose answer was lost: only their looking tells which jobs they work on. They cannot verify an output; the verdict says so.
"""

from typing import Annotated, Any

import msgspec

from ffrtmp.domain import errors, job, spec, states
from ffrtmp.domain.spec import Engine
from ffrtmp.master import attempts, context
from ffrtmp.master.http.call import Call
from ffrtmp.protocol import agent, views


class ReferenceJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The job as a reference agent reads it; its parameters are plain values and local paths."""

    id: str
    sequence_number: int
    scenario: str
    confidence: str
    engine: str
    parameters: dict[str, Any]
    status: str
    queue: str
    priority: str
    created_at: str
    started_at: str
    retry_count: int


class NextJob(msgspec.Struct, frozen=True, kw_only=True):
    job: ReferenceJob | None


class ReferenceResult(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /results`. Unknown fields are let through: several versions of the reference are deployed."""

    job_id: str
    node_id: str
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["completed", "failed", "canceled"]})]
    metrics: dict[str, Any] | None = None
    analyzer_output: dict[str, Any] | None = None
    error: str = ""
    logs: str = ""
    completed_at: str = ""


class ResultAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    status: str
    retry: int = 0
    max_retries: int = 0


_result = msgspec.json.Decoder(ReferenceResult)


async def next_job(call: Call) -> Any:
    """A job for the node, at once; `{"job": null}` when there is none."""
    node_id = dict(call.query()).get("node_id", "")
    if not node_id:
        raise errors.InvalidInput(faults=[errors.Fault("query.node_id", "is missing", "missing_field")])
    call.principal.may_act_for(node_id)
    master = call.master
    node = await master.store.get_node(node_id)
    if not node.capabilities.reference_protocol:
        raise errors.Conflict(f"Node {node.name} speaks the present protocol; it leases at /nodes/{{id}}/lease.")
    asked = agent.LeaseRequest(incarnation="", request_id=context.new_id(), free_slots=1)
    grants, _ = await attempts.lease(master, node.id, asked, await master.classes.fits(node.id))
    if not grants:
        return NextJob(job=None)
    grant = grants[0]
    # its only report comes at the end, so its attempt counts as started now
    await master.store.beat(attempts.started(node.id, grant.attempt_id))
    master.events.notify()
    found = await master.store.get_job(grant.job_id)
    assert isinstance(grant.spec, spec.Spec)  # it satisfies the class of no other work
    return NextJob(
        job=ReferenceJob(
            id=found.id,
            sequence_number=found.sequence_number,
            scenario=found.scenario,
            confidence=found.confidence,
            engine=(Engine.FFMPEG if found.engine is Engine.AUTO else found.engine).value,
            parameters=_parameters(grant.spec),
            status=found.state.value,
            queue=found.queue.value,
            priority=found.priority.value,
            created_at=views.rfc3339(found.created_at),
            started_at=views.rfc3339(found.started_at or found.updated_at),
            retry_count=found.retry_count,
        )
    )


async def asked_about(master: context.Master, of: job.Job) -> None:
    """Somebody looked at the job where its agent looks while it works on it."""
    if of.node_id is None or of.state in states.JOB_TERMINAL:
        return
    try:
        if (await master.classes.node(of.node_id)).capabilities.reference_protocol:
            await master.store.asked_about(of.id)
    except (errors.NotFound, errors.Unavailable) as error:
        # the agent must still hear of a cancel; the next look may be noted
        master.log.warning("it could not be noted that an agent asked about its job", job_id=of.id, why=error.message)


def _parameters(what: spec.Spec) -> dict[str, Any]:
    """The plain values that the reference's agents read."""
    bitrate = what.rate.bitrate_bps
    values: dict[str, Any] = {
        "input": what.input.path,
        "output": what.output,
        "duration": what.duration,
        "bitrate": f"{bitrate // 1000}k" if bitrate else None,
        "codec": what.codec.value,
        "preset": what.preset.value,
        "output_mode": "file",
        "resolution": str(what.resolution) if what.resolution and what.resolution.width else None,
        "fps": float(what.frame_rate) if what.frame_rate else None,
    }
    return {name: value for name, value in values.items() if value is not None}


async def result(call: Call) -> Any:
    """Taken only from the node that holds the job's attempt; else 409."""
    sent = call.decode(_result)
    call.principal.may_act_for(sent.node_id)
    master = call.master
    found = await master.store.get_job(sent.job_id)
    attempt_id = await master.store.attempt_of(found.id, sent.node_id)
    if sent.logs:
        await master.store.put_log(attempt_id, sent.node_id, sent.logs[-65536:])
    measured = {**(sent.metrics or {}), **({"analyzer": sent.analyzer_output} if sent.analyzer_output else {})}
    made = job.Result(
        engine=Engine.FFMPEG,
        engine_reason="a reference agent ran it",
        verdict=job.Verdict(
            level=spec.VerifyLevel.NONE.value,
            passed=False,
            problems=["not verified: a reference agent made this output and cannot check it"],
        ),
        metrics=measured,
    )
    match sent.status:
        case "completed":
            answer = attempts.ended(master, await master.store.complete(attempt_id, sent.node_id, "", made))
        case "failed":
            failure = errors.Failure(
                code=errors.Code.ENGINE_FAILED, message=(sent.error or "it failed")[-2000:], retriable=True
            )
            answer = attempts.ended(master, await master.store.fail(attempt_id, sent.node_id, "", failure, made))
        case "canceled":
            failure = errors.Failure(code=errors.Code.CANCELED, message="It was canceled.")
            answer = attempts.ended(master, await master.store.fail(attempt_id, sent.node_id, "", failure, None))
        case _:
            raise errors.InvalidInput(
                faults=[errors.Fault("status", f"{sent.status!r} is not known; completed, failed or canceled")]
            )
    if answer.job_state == states.JobState.RETRYING.value:
        return ResultAnswer(status="retrying", retry=answer.retry, max_retries=answer.max_retries)
    return ResultAnswer(status="success")
