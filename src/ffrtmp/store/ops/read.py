"""Reading jobs and what belongs to them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ffrtmp.domain import errors, job, spec, states
from ffrtmp.store import interface
from ffrtmp.store.ops import rows
from ffrtmp.store.ops.unit import sequence_number
from ffrtmp.store.tx import Row, Tx

_failure = msgspec.json.Decoder(errors.Failure).decode
_result = msgspec.json.Decoder(job.Result).decode
_progress = msgspec.json.Decoder(job.Progress).decode
_tags = msgspec.json.Decoder(dict[str, str]).decode
_LIVE = frozenset({states.JobState.ASSIGNED, states.JobState.RUNNING, states.JobState.PAUSED})
_CUT_SHORT = states.JOB_TERMINAL - {states.JobState.COMPLETED}
_NO_CURSOR = 2**62


async def by_seqs(tx: Tx, seqs: Iterable[int]) -> list[job.Job]:
    wanted = sorted(seqs)
    return await _jobs(tx, await tx.all("jobs_whole", seqs=wanted)) if wanted else []


async def get_job(tx: Tx, ref: str) -> job.Job:
    seq = sequence_number(ref)
    found = await _jobs(tx, await tx.all("job_whole", id=ref, seq=-1 if seq is None else seq))
    if not found:
        raise no_job(ref)
    return found[0]


def no_job(ref: str) -> errors.NotFound:
    return errors.NotFound(f"There is no job {ref}.")


async def list_jobs(tx: Tx, which: interface.JobFilter, before: int | None, limit: int) -> interface.Page:
    """One walk for each state that was asked for, merged: each stops after a page."""
    if which.node is not None:
        known = await tx.one("node_known", ref=which.node)
        if known is None:
            raise errors.NotFound(f"There is no node {which.node}.")
        which = msgspec.structs.replace(which, node=known[0])
    wanted: Sequence[states.JobState | None] = which.states or (None,)
    found: list[Row] = []
    for state in dict.fromkeys(wanted):
        more, values = _filters(which, state)
        values |= {"before": _NO_CURSOR if before is None else before, "count": limit + 1}
        found += await tx.variant("job_page", more, values)
    found.sort(key=lambda row: -row[0])
    page = found[:limit]
    return interface.Page(await _jobs(tx, page), page[-1][0] if len(found) > limit and page else None)


def _filters(
    which: interface.JobFilter, state: states.JobState | None
) -> tuple[tuple[tuple[str, str], ...], dict[str, Any]]:
    equal = {
        "state": state,
        "queue": which.queue,
        "priority": which.priority,
        "engine": which.engine,
        "scenario": which.scenario,
        "node_id": which.node,
    }
    values: dict[str, Any] = {name: value for name, value in equal.items() if value is not None}
    filters = [f"j.{name} = :{name}" for name in values]
    sources, order = "", "j.seq"
    for index, (name, value) in enumerate(sorted(which.tags.items())):
        # the walk goes along the first tag's rows; SQLite joins in the order written when it says CROSS JOIN
        before = f"t{index - 1}" if index else "j"
        values |= {f"tag_{index}": name, f"value_{index}": value}
        sources += f"job_tags t{index} CROSS JOIN "
        filters.append(f"t{index}.name = :tag_{index} AND t{index}.value = :value_{index}")
        filters.append(f"{before}.{'job_seq' if index else 'seq'} = t{index}.job_seq")
        order = "t0.job_seq"
    filters.append(f"{order} < :before")
    return (("more_sources", sources), ("more_filters", " AND ".join(filters)), ("more_order", order)), values


async def _jobs(tx: Tx, found: Sequence[Row]) -> list[job.Job]:
    jobs = [_job(row) for row in found]
    counts = {row[0]: row[24] for row in found}
    live = [one.sequence_number for one in jobs if one.state in _LIVE]
    cut_short = [one.sequence_number for one in jobs if one.state in _CUT_SHORT]
    if not live and not cut_short:
        return jobs
    progress = await _progress_of(tx, live, counts) if live else {}
    if cut_short:
        progress |= await _last_progress_of(tx, cut_short, counts)
    return [
        msgspec.structs.replace(one, progress=progress[one.sequence_number]) if one.sequence_number in progress else one
        for one in jobs
    ]


async def _progress_of(tx: Tx, seqs: list[int], counts: Mapping[int, int]) -> dict[int, job.Progress]:
    """Of a job with one task, what its attempt said; of a graph, the share of the work that is done."""
    said: dict[int, list[job.Progress]] = {}
    for seq, text in await tx.all("progress_of_jobs", seqs=seqs):
        if text is not None:
            said.setdefault(seq, []).append(_progress(text))
    graphs = [seq for seq in seqs if counts[seq] > 1]
    done = dict(map(tuple, await tx.all("tasks_done_of_jobs", seqs=graphs))) if graphs else {}
    progress = {seq: found[0] for seq, found in said.items() if counts[seq] == 1}
    for seq in graphs:
        percents = sum(one.percent or 0.0 for one in said.get(seq, ()))
        progress[seq] = job.Progress(percent=round((100.0 * done.get(seq, 0) + percents) / counts[seq], 2))
    return progress


async def _last_progress_of(tx: Tx, seqs: list[int], counts: Mapping[int, int]) -> dict[int, job.Progress]:
    """How far jobs came that did not complete."""
    said = {
        seq: job.Progress(percent=_progress(text).percent)
        for seq, text in await tx.all("last_progress_of_jobs", seqs=seqs)
        if counts[seq] == 1
    }
    graphs = [seq for seq in seqs if counts[seq] > 1]
    done = dict(map(tuple, await tx.all("tasks_done_of_jobs", seqs=graphs))) if graphs else {}
    return said | {seq: job.Progress(percent=round(100.0 * done.get(seq, 0) / counts[seq], 2)) for seq in graphs}


def _job(row: Row) -> job.Job:
    return job.Job(
        sequence_number=row[0],
        id=row[1],
        state=rows.JOB_STATES[row[2]],
        scenario=row[3],
        confidence=row[4],
        engine=spec.Engine(row[5]),
        queue=spec.Queue(row[6]),
        priority=spec.Priority(row[7]),
        parameters=msgspec.Raw(row[8].encode()),
        spec=msgspec.Raw(row[9].encode()),
        tags=_tags(row[10]),
        retry_of=row[11],
        paused=bool(row[12]),
        cancel_requested=bool(row[13]),
        max_retries=row[14],
        retry_count=row[15],
        created_at=row[16],
        updated_at=row[17],
        started_at=row[18],
        finished_at=row[19],
        node_id=row[20],
        node_name=row[21],
        progress=None,
        failure=None if row[22] is None else _failure(row[22]),
        result=None if row[23] is None else _result(row[23]),
    )


async def _must_exist(tx: Tx, job_id: str) -> None:
    if await tx.one("job_seq", id=job_id) is None:
        raise no_job(job_id)


async def tasks(tx: Tx, job_id: str) -> list[job.Task]:
    found = await tx.all("tasks_whole", id=job_id)
    if not found:
        await _must_exist(tx, job_id)
    return [
        job.Task(
            id=row[0],
            job_id=row[1],
            kind=job.TaskKind(row[2]),
            state=rows.TASK_STATES[row[3]],
            class_id=row[4],
            pending_deps=row[5],
            failures=row[6],
            crashes=row[7],
            run_at=row[8],
            created_at=row[9],
            updated_at=row[10],
        )
        for row in found
    ]


async def attempts(tx: Tx, job_id: str) -> list[job.Attempt]:
    found = await tx.all("attempts_whole", id=job_id)
    if not found:
        await _must_exist(tx, job_id)
    return [
        job.Attempt(
            id=row[0],
            task_id=row[1],
            job_id=row[2],
            node_id=row[3],
            node_name=row[4],
            number=row[5],
            state=rows.ATTEMPT_STATES[row[6]],
            assigned_at=row[7],
            started_at=row[8],
            finished_at=row[9],
            failure=None if row[10] is None else _failure(row[10]),
            result=None if row[11] is None else _result(row[11]),
        )
        for row in found
    ]


async def logs(tx: Tx, job_id: str) -> list[tuple[job.Attempt, str]]:
    texts = {row[0]: row[1] for row in await tx.all("logs_whole", id=job_id)}
    return [(attempt, texts[attempt.id]) for attempt in await attempts(tx, job_id) if attempt.id in texts]


async def events(tx: Tx, after: int, limit: int, job_id: str | None, node_id: str | None) -> list[job.Event]:
    values: dict[str, Any] = {"after": after, "count": limit}
    if job_id is not None:
        found = await tx.all("events_of_job", job_id=job_id, **values)
        if node_id is not None:
            found = [row for row in found if row[6] == node_id]
    elif node_id is not None:
        found = await tx.all("events_of_node", node_id=node_id, **values)
    else:
        found = await tx.all("events_after", **values)
    return _events(found)


async def last_events(tx: Tx, job_id: str, limit: int) -> list[job.Event]:
    return _events(await tx.all("events_of_job_last", job_id=job_id, count=limit))[::-1]


def _events(found: Sequence[Row]) -> list[job.Event]:
    return [
        job.Event(
            seq=row[0],
            at=row[1],
            kind=job.EventKind(row[2]),
            job_id=row[3],
            task_id=row[4],
            attempt_id=row[5],
            node_id=row[6],
            data=msgspec.Raw(row[7].encode()),
        )
        for row in found
    ]


async def last_event(tx: Tx) -> int:
    row = await tx.one("event_last")
    return int(row[0]) if row else 0


async def waiting(tx: Tx, class_ids: Sequence[int], until: int, limit: int) -> list[str]:
    found: list[str] = []
    for class_id in class_ids:
        if len(found) >= limit:
            break
        rest = limit - len(found)
        found += [row[0] for row in await tx.all("waiting_jobs", class_id=class_id, until=until, count=rest)]
    return list(dict.fromkeys(found))


async def ahead(tx: Tx, job_id: str, class_ids: Collection[int], limit: int) -> int:
    first = await tx.one("queued_first", job_id=job_id)
    if first is None:
        return 0
    own, sort_key, job_seq, position = first
    key = {"sort_key": sort_key, "job_seq": job_seq, "position": position}
    count = 0
    for class_id in {own, *class_ids}:
        if count == limit:
            break
        for row in await tx.all("ready_ahead", class_id=class_id, count=limit - count, **key):
            count += row[0]
    return count


async def attempt_of(tx: Tx, job_id: str, node_id: str) -> str:
    row = await tx.one("attempt_held", job_id=job_id, node_id=node_id)
    if row is not None:
        return str(row[0])
    of = await get_job(tx, job_id)
    raise errors.Conflict(
        f"Node {node_id} has no attempt of job {job_id}, which is {of.state.value}.",
        state=of.state.value,
        code="stale_attempt",
    )


async def classes(tx: Tx) -> list[interface.Class]:
    found = await tx.all("classes_all")
    return [interface.Class(row[0], msgspec.json.decode(row[1], type=spec.Requires)) for row in found]


async def counts(tx: Tx) -> interface.Counts:
    jobs: dict[tuple[states.JobState, spec.Queue, spec.Engine], int] = {}
    engines: dict[spec.Engine, int] = {}
    failures: dict[errors.Code, int] = {}
    plain = {"retries": 0, "lease_expiries": 0, "nodes": 0}
    for name, value in await tx.all("counters_all"):
        kind, *rest = name.split("|")
        if kind == "job":
            if value:
                jobs[(states.JobState(rest[0]), spec.Queue(rest[1]), spec.Engine(rest[2]))] = value
        elif kind == "engine":
            engines[spec.Engine(rest[0])] = value
        elif kind == "failure":
            failures[errors.Code(rest[0])] = value
        elif kind in plain:
            plain[kind] = value
    return interface.Counts(jobs=jobs, completed_by_engine=engines, failures=failures, **plain)


async def depths(tx: Tx) -> list[interface.QueueDepth]:
    found: list[interface.QueueDepth] = []
    for name, value in await tx.all("counters_all"):
        kind, *rest = name.split("|")
        if kind == "task" and value:
            found.append(
                interface.QueueDepth(
                    class_id=int(rest[0]), queue=spec.Queue(rest[1]), state=rows.TASK_STATES[rest[2]], count=value
                )
            )
    return sorted(found, key=lambda depth: (depth.class_id, depth.queue, depth.state))


async def get_upload(tx: Tx, upload_id: str) -> interface.Upload:
    found = await uploads(tx, [upload_id])
    if upload_id not in found:
        raise errors.NotFound(f"There is no upload {upload_id}.")
    return found[upload_id]


async def upload_of_node(tx: Tx, upload_id: str, node_id: str) -> bool:
    return await tx.one("upload_of_node", upload_id=upload_id, node_id=node_id) is not None


async def orphans(tx: Tx, created_before: int, limit: int) -> list[str]:
    return [row[0] for row in await tx.all("upload_orphans", before=created_before, count=limit)]


async def removed_uploads(tx: Tx, limit: int) -> list[str]:
    return [row[0] for row in await tx.all("removed_uploads", count=limit)]


async def uploads(tx: Tx, ids: Sequence[str]) -> dict[str, interface.Upload]:
    return {
        row[0]: interface.Upload(
            id=row[0],
            name=row[1],
            size_bytes=row[2],
            sha256=row[3],
            complete=bool(row[4]),
            created_at=row[5],
        )
        for row in await tx.all("uploads_some", ids=list(ids))
    }
