"""`jobs explain`: what the spec became, why it waits, where it can run, what happened."""

from typing import Any

import msgspec

from ffrtmp.domain import job, node, spec, states
from ffrtmp.master.context import Master
from ffrtmp.protocol import views
from ffrtmp.scheduling import waiting

#: counted no further: a look at a job costs the same at a million of them
_MOST_AHEAD = 1000
#: the newest of a job; all of them are at /jobs/{id}/events
_MOST_EVENTS = 1000


async def fits(master: Master, what: spec.Work) -> list[views.NodeFit]:
    """Each node, and what it lacks for this spec."""
    return [_fit(what.requires, known) for known in await master.store.nodes()]


def _fit(requires: spec.Requires, known: node.Node) -> views.NodeFit:
    missing = node.unmet(requires, known)
    return views.NodeFit(node_name=known.name, status=known.status.value, fits=not missing, unmet=missing)


async def explain(master: Master, ref: str) -> views.ExplainView:
    found = await master.store.get_job(ref)
    what = msgspec.json.decode(found.spec, type=spec.Work)
    known = await master.store.nodes()
    events = await master.store.last_events(found.id, limit=_MOST_EVENTS + 1)
    names = {one.id: one.name for one in known}
    why = await _backoff(master, found) or _waiting(found, what, known)
    eta = found.progress.eta_seconds if found.progress and found.state is states.JobState.RUNNING else None
    return views.ExplainView(
        job_id=found.id,
        state=found.state.value,
        spec=views.plain(spec.shown(what)),
        decisions=_decisions(found, what),
        nodes=[_fit(what.requires, one) for one in known],
        history=[_sentence(event, names) for event in events[-_MOST_EVENTS:]],
        earlier_left_out=len(events) > _MOST_EVENTS,
        waiting_code=why.code.value if why else None,
        waiting_reason=why.reason if why else None,
        ahead=await _ahead(master, found, what, known) if found.state is states.JobState.QUEUED else None,
        eta_seconds=eta,
        search=found.result.search if found.result else None,
        fit=found.result.fit if found.result else None,
    )


async def _ahead(master: Master, found: job.Job, what: spec.Work, known: list[node.Node]) -> int:
    classes = [(one.id, one.requires) for one in await master.store.classes()]
    rivals = waiting.rivals(what.requires, classes, known)
    return await master.store.ahead(found.id, rivals, limit=_MOST_AHEAD)


async def _backoff(master: Master, found: job.Job) -> waiting.Waiting | None:
    """What failed, and when it is tried again."""
    if found.state is not states.JobState.RETRYING:
        return None
    last = max(await master.store.attempts(found.id), key=lambda attempt: attempt.finished_at or 0)
    due = min((task.run_at for task in await master.store.tasks(found.id) if task.run_at is not None), default=0)
    left = max(0, due - await master.store.now_us()) / 1e6
    why = f" ({last.failure.code.value}: {last.failure.message.rstrip('.')})" if last.failure else ""
    return waiting.Waiting(
        waiting.WaitingCode.BACKOFF,
        f"Attempt {last.number} on {last.node_name} failed{why}; the next starts in {left:.1f} s. Pauses are random, and may be"
        " longer after each failure.",
    )


def _waiting(found: job.Job, what: spec.Work, known: list[node.Node]) -> waiting.Waiting | None:
    match found.state:
        case states.JobState.QUEUED:
            return waiting.why(what.requires, known)
        case states.JobState.PAUSED:
            return waiting.Waiting(
                waiting.WaitingCode.PAUSED, f"It was paused; `ffrtmp jobs resume {found.sequence_number}` goes on."
            )
        case _:
            return None


def _decisions(found: job.Job, what: spec.Work) -> list[str]:
    made = list(what.decisions)
    if found.result and found.result.engine_reason:
        made.append(f"engine: {found.result.engine}, {found.result.engine_reason}")
    if found.result and found.result.encoder:
        where = f" on {found.result.device}" if found.result.device else ""
        why = f", {found.result.encoder_reason}" if found.result.encoder_reason else ""
        made.append(f"encoder: {found.result.encoder}{where}{why}")
        made += [
            f"tried {step.settings}: {step.failure.code.value}, {step.failure.message}"
            for step in found.result.steps
            if step.failure
        ]
    if found.result:
        made += found.result.decisions
        made += [_rung(rung) for rung in found.result.ladder]
    if found.result and (pushed := found.result.pushed):
        made.append(
            f"streamed: {pushed.seconds:.1f} s to {pushed.target}, {pushed.reconnects} reconnects,"
            f" {pushed.away_seconds:.1f} s without the server, {pushed.dropped_frames} frames dropped"
        )
    if found.result and found.result.quality:
        made += [f"measured: {note}" for note in found.result.quality.notes]
    return made


def _rung(made: job.RungMade) -> str:
    average, peak = (round(bps / 1000) for bps in (made.average_bps, made.peak_bps))
    takes = f"it takes {average} kb/s, at most {peak}" if peak else f"its file takes {average} kb/s, sound and all"
    return f"rung {made.name}: {made.width}x{made.height}, {made.asked}, {made.why}; {takes}"


def _sentence(event: job.Event, names: dict[str, str]) -> str:
    data: dict[str, Any] = msgspec.json.decode(event.data)
    if run_at := data.pop("run_at", None):
        data["again_in"] = f"{max(0, run_at - event.at) / 1e6:.1f} s"
    where = f" on {names.get(event.node_id, event.node_id)}" if event.node_id else ""
    detail = ", ".join(f"{key}: {value}" for key, value in data.items() if value not in (None, ""))
    return f"{views.rfc3339(event.at)} {event.kind.value}{where}" + (f" ({detail})" if detail else "")
