"""Jobs: submit, list, look at, change."""

from typing import Any
from urllib.parse import quote

import msgspec

from ffrtmp.domain import errors, spec, states
from ffrtmp.master import explain, submission
from ffrtmp.master.api import reference
from ffrtmp.master.http.call import Call, Reply
from ffrtmp.protocol import views
from ffrtmp.store import interface

_PAGE_DEFAULT = 100
_PAGE_MAX = 1000
_MOST_TAGS = 32
#: how long a follower's request keeps a job reporting every second; followers ask again well before
_FOLLOW_SECONDS = 10.0
_RUNNING = frozenset({states.JobState.ASSIGNED, states.JobState.RUNNING})


def _idempotency_key(call: Call) -> str | None:
    key = call.header("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        raise errors.InvalidInput(faults=[errors.Fault("header.Idempotency-Key", "must have 1 to 255 characters")])
    return key


async def submit(call: Call) -> Any:
    stored = await submission.submit(call.master, call.body, idempotency_key=_idempotency_key(call), by=call.who)
    view = views.job_view(stored.job)
    return view if stored.created else Reply(body=view, status=200, headers={"Idempotent-Replay": "true"})


async def submit_batch(call: Call) -> Any:
    stored = await submission.submit_batch(call.master, call.body, idempotency_key=_idempotency_key(call), by=call.who)
    view = views.BatchView(jobs=[views.job_view(one.job) for one in stored], count=len(stored))
    if any(one.created for one in stored):
        return view
    return Reply(body=view, status=200, headers={"Idempotent-Replay": "true"})


async def dry_run(call: Call) -> Any:
    """What a submission would become, without storing it."""
    what = submission.check(call.master, call.body)
    return views.SpecView(
        spec=views.plain(spec.shown(what)), decisions=what.decisions, nodes=await explain.fits(call.master, what)
    )


async def listing(call: Call) -> Any:
    which, before, limit = _filter(call)
    page = await call.master.store.list_jobs(which, before=before, limit=limit)
    return views.JobPage(
        jobs=[views.job_view(job) for job in page.jobs],
        count=len(page.jobs),
        next_cursor=None if page.next_cursor is None else str(page.next_cursor),
    )


def _filter(call: Call) -> tuple[interface.JobFilter, int | None, int]:
    """Query → filter, cursor, page size. Raises InvalidInput with all faults."""
    faults: list[errors.Fault] = []
    chosen: dict[str, Any] = {}
    found_states: list[states.JobState] = []
    tags: dict[str, str] = {}
    before: int | None = None
    limit = _PAGE_DEFAULT
    kinds: dict[str, Any] = {"queue": spec.Queue, "priority": spec.Priority, "engine": spec.Engine}
    for name, value in call.query():
        try:
            if name in ("state", "status"):
                found_states += [states.JobState(part.strip()) for part in value.split(",")]
            elif name in kinds:
                chosen[name] = kinds[name](value)
            elif name in ("scenario", "node"):
                chosen[name] = value or None
            elif name == "tag":
                key, separator, wanted = value.partition(":")
                if not separator:
                    raise ValueError("write it like tag=name:value")
                tags[key] = wanted
                if len(tags) == _MOST_TAGS + 1:
                    raise ValueError(f"more than {_MOST_TAGS} tags are asked for; a job has no more")
            elif name == "cursor":
                before = _cursor(value)
            elif name == "limit":
                limit = _number(value, 1, _PAGE_MAX, f"must be a number from 1 to {_PAGE_MAX}")
        except ValueError as error:
            message = str(error)
            if "is not a valid" in message:
                known = ", ".join(kinds.get(name, states.JobState))
                message = f"{value!r} is not known; choose one of {known}"
            faults.append(errors.Fault(f"query.{name}", message))
    if faults:
        raise errors.InvalidInput(faults=faults)
    return interface.JobFilter(states=tuple(found_states), tags=tags, **chosen), before, limit


def _cursor(value: str) -> int:
    return _number(value, 0, 10**18, "is not a cursor of this API; use next_cursor of the page before")


def _number(value: str, lowest: int, highest: int, message: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 18 and lowest <= int(value) <= highest):
        raise ValueError(f"{value[:40]!r} {message}")
    return int(value)


async def one(call: Call) -> Any:
    job = await call.master.store.get_job(call.path["ref"])
    if call.principal.node_id not in (None, job.node_id):
        raise errors.Forbidden("A node's credential shows only the jobs that this node has or had last.")
    if ("follow", "true") in call.query() and job.state not in states.JOB_TERMINAL:
        dispatcher = call.master.dispatcher
        if dispatcher.follow_left(job.id) < _FOLLOW_SECONDS / 2:
            attempts = await call.master.store.attempts(job.id) if job.node_id else []
            live = [
                (attempt.node_id, attempt.id) for attempt in attempts if attempt.state not in states.ATTEMPT_TERMINAL
            ]
            dispatcher.follow(job.id, live, seconds=_FOLLOW_SECONDS)
            call.master.store.hints.tell(
                interface.Hint(follows=(interface.Follow(job.id, tuple(live), _FOLLOW_SECONDS),))
            )
    view = views.job_view(job)
    if call.scope["path"].startswith("/api/v1/"):
        await reference.asked_about(call.master, job)
        if job.cancel_requested:
            # a reference agent knows a cancel only by this word, and stops its command when it reads it
            return msgspec.structs.replace(view, status=states.JobState.CANCELED.value)
    return view


async def tasks(call: Call) -> Any:
    job = await call.master.store.get_job(call.path["ref"])
    return views.TasksView(
        tasks=[views.task_view(task) for task in await call.master.store.tasks(job.id)],
        attempts=[views.attempt_view(attempt) for attempt in await call.master.store.attempts(job.id)],
    )


async def logs(call: Call) -> Any:
    job = await call.master.store.get_job(call.path["ref"])
    found = [
        views.AttemptLog(attempt_id=attempt.id, number=attempt.number, node_name=attempt.node_name, text=text)
        for attempt, text in await call.master.store.logs(job.id)
    ]
    return views.LogsView(job_id=job.id, logs="\n".join(log.text for log in found), attempts=found)


async def job_events(call: Call) -> Any:
    job = await call.master.store.get_job(call.path["ref"])
    after = 0
    for _, value in call.query():
        try:
            after = _cursor(value)
        except ValueError as error:
            raise errors.InvalidInput(faults=[errors.Fault("query.cursor", str(error))]) from None
    events = await call.master.store.events(after=after, limit=_PAGE_MAX + 1, job_id=job.id)
    page = events[:_PAGE_MAX]
    return views.EventsView(
        events=[views.event_view(event) for event in page],
        count=len(page),
        next_cursor=str(page[-1].seq) if len(events) > len(page) else None,
    )


async def explained(call: Call) -> Any:
    return await explain.explain(call.master, call.path["ref"])


async def outputs(call: Call) -> Any:
    job = await call.master.store.get_job(call.path["ref"])
    result = job.result
    return views.OutputsView(
        job_id=job.id,
        outputs=[
            views.OutputView(
                name=output.name,
                size_bytes=output.size_bytes,
                sha256=output.sha256,
                url=f"/jobs/{job.id}/outputs/{quote(output.name, safe='')}" if output.upload_id else None,
                path=output.path,
                node_name=job.node_name if output.path else None,
            )
            for output in (result.outputs if result else [])
        ],
        verdict=result.verdict if result else None,
    )


async def cancel(call: Call) -> Any:
    return await _change(call, await call.master.store.cancel(call.path["ref"], by=call.who))


async def pause(call: Call) -> Any:
    """A stream that runs is not paused: its server would drop it, and its viewers see it stand still."""
    found = await call.master.store.get_job(call.path["ref"])
    what = msgspec.json.decode(found.spec, type=spec.Work)
    if found.state in _RUNNING and isinstance(what, spec.Spec) and what.target is not None:
        raise errors.Conflict(
            f"Job {found.sequence_number} streams to {what.target}, and servers drop a stream that stands still; cancel it, and"
            " submit the rest with `start`.",
            state=found.state,
            code="streams",
        )
    return await _change(call, await call.master.store.pause(call.path["ref"], by=call.who))


async def resume(call: Call) -> Any:
    return await _change(call, await call.master.store.resume(call.path["ref"], by=call.who))


async def _change(call: Call, change: interface.JobChange) -> views.ChangeView:
    call.master.dispatcher.command(node_id for node_id, _ in change.attempts)
    call.master.dispatcher.ready(change.ready_class_ids)
    call.master.events.notify()
    return _changed(change.job)


async def retry(call: Call) -> Any:
    stored = await submission.retry(call.master, call.path["ref"], idempotency_key=_idempotency_key(call), by=call.who)
    return _changed(stored.job)


def _changed(job: Any) -> views.ChangeView:
    view = views.job_view(job)
    return views.ChangeView(status=view.state, job_id=view.id, job=view)
