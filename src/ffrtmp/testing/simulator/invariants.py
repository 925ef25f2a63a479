"""What must hold of every run, whatever happened in it (docs/guarantees.md). Each returns what broke it, in words."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

import msgspec

from ffrtmp.domain import states
from ffrtmp.domain.job import Result
from ffrtmp.domain.states import JobState
from ffrtmp.testing.simulator.scene import Scene


def broken(scene: Scene) -> list[str]:
    """Everything that is wrong with a run that came to its end."""
    return [f"{check.__name__}: {what}" for check in CHECKS for what in check(scene)]


def acknowledged_jobs_exist(scene: Scene) -> Iterator[str]:
    """G1"""
    there = {row[0] for row in scene.database.rows("SELECT id FROM jobs")}
    for key, jobs in scene.history.acknowledged.items():
        for job in jobs - there:
            yield f"{job} was acknowledged for {key} and is gone"


def one_job_per_key(scene: Scene) -> Iterator[str]:
    """G6"""
    for key, jobs in scene.history.acknowledged.items():
        if len(jobs) > 1:
            yield f"{key} was answered with {sorted(jobs)}"


def one_end(scene: Scene) -> Iterator[str]:
    """G2: the history of each job has no gaps and ends in its only terminal state."""
    found = scene.database.rows(
        "SELECT j.id, j.state, e.data FROM events e JOIN jobs j ON j.seq = e.job_seq"
        " WHERE e.kind = 'job.state' ORDER BY e.seq"
    )
    at: dict[str, JobState] = defaultdict(lambda: JobState.QUEUED)
    for job, _, data in found:
        move = msgspec.json.decode(data)
        before, after = JobState(move["from"]), JobState(move["to"])
        if at[job] is not before or before in states.JOB_TERMINAL:
            yield f"{job} went from {at[job]} by {data}"
        at[job] = after
    for job, state in scene.database.rows("SELECT id, state FROM jobs"):
        if at[job] != state:
            yield f"{job} is {state}, its history ends with {at[job]}"
        if JobState(state) not in states.JOB_TERMINAL:
            yield f"{job} is still {state}"


def published_once(scene: Scene) -> Iterator[str]:
    """G3, G9: one file for each completed job, the one that its result names."""
    published: dict[str, list[str]] = defaultdict(list)
    for one in scene.history.published:
        published[one.job_id].append(one.sha256)
    for job, shas in published.items():
        if len(shas) > 1:
            yield f"{job} was published {len(shas)} times"
    results = scene.database.rows(
        "SELECT j.id, a.result FROM jobs j JOIN attempts a ON a.id = j.result_attempt AND a.job_seq = j.seq"
        " WHERE j.state = 'completed'"
    )
    if len(results) != scene.database.rows("SELECT count(*) FROM jobs WHERE state = 'completed'")[0][0]:
        yield "a completed job has no result"
    for job, result in results:
        made = msgspec.json.decode(result, type=Result)
        file = scene.history.files.get(made.outputs[0].name)
        if file is None or file.sha256 != made.outputs[0].sha256:
            yield f"the result of {job} is not the file that lies there"


def canceled_is_final(scene: Scene) -> Iterator[str]:
    """G5"""
    for one in scene.history.published:
        asked = scene.history.canceled.get(one.job_id)
        if asked is not None and one.at > asked:
            yield f"{one.job_id} was published at {one.at:.3f}, after its cancel was acknowledged at {asked:.3f}"
    ends = dict(scene.database.rows("SELECT id, state FROM jobs"))
    for job in scene.history.canceled:
        if ends.get(job) == "completed":
            yield f"{job} completed although its cancel was acknowledged"


def fenced(scene: Scene) -> Iterator[str]:
    """G4: no two attempts of one task run at a moment, unless a machine stood still."""
    runs = defaultdict(list)
    for run in scene.history.runs:
        runs[run.task_id].append(run)
    for task, those in runs.items():
        those.sort(key=lambda run: run.since)
        for one, other in itertools.pairwise(those):
            if not one.late and (one.until is None or one.until > other.since):
                yield (
                    f"{task}: {one.attempt_id} on {one.host} until {one.until},"
                    f" {other.attempt_id} on {other.host} since {other.since:.3f}"
                )


def nothing_left(scene: Scene) -> Iterator[str]:
    """No lease, no place in line, no process."""
    for table in ("leases", "ready", "delayed"):
        [(count,)] = scene.database.rows(f"SELECT count(*) FROM {table}")  # noqa: S608 - names from above
        if count:
            yield f"{count} rows are left in {table}"
    for run in scene.history.runs:
        if run.until is None:
            yield f"{run.attempt_id} still runs on {run.host}"


def counted(scene: Scene) -> Iterator[str]:
    """Counters equal a recount."""
    told = dict(
        scene.database.rows(
            "SELECT name, sum(value) FROM counters WHERE name LIKE 'job|%' GROUP BY name HAVING sum(value) <> 0"
        )
    )
    found = dict(
        scene.database.rows("SELECT 'job|' || state || '|' || queue || '|' || engine, count(*) FROM jobs GROUP BY 1")
    )
    if told != found:
        yield f"counters say {told}, there are {found}"


def poison_stops(scene: Scene) -> Iterator[str]:
    """G7: three crashes at most, and attempts within the retries."""
    for job, crashes in scene.database.rows(
        "SELECT j.id, t.crashes FROM tasks t JOIN jobs j ON j.seq = t.job_seq WHERE t.crashes > 3"
    ):
        yield f"{job} crashed {crashes} times"


CHECKS = (
    acknowledged_jobs_exist,
    one_job_per_key,
    one_end,
    published_once,
    canceled_is_final,
    fenced,
    nothing_left,
    counted,
    poison_stops,
)
