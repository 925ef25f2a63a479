"""What must hold of every run, whatever happened in it (docs/guarantees.md). Each returns what broke it, in words.

What people asked for is in `orders`, what the event stream told in `told`.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterator

import msgspec

from ffrtmp.domain import states
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.domain.job import EventKind, Result
from ffrtmp.domain.states import JobState
from ffrtmp.testing.simulator import orders, told
from ffrtmp.testing.simulator.scene import Scene

#: an idle farm's first step with a new job: a long-poll is woken, the lease is committed and answered
_AT_ONCE_SECONDS = 2.0
#: with several masters, which tell each other nothing here: a poll finds it (docs/guarantees.md, "Hints")
_BY_A_POLL_SECONDS = 18.0
#: agents that a job may take down (G7)
_POISON_CRASHES = 3


def broken(scene: Scene, *, at_rest: bool = True) -> list[str]:
    """Everything that is wrong with a run: the name of the invariant, and what broke it. `at_rest`: it came to its end."""
    checks = (*ALWAYS, *AT_REST) if at_rest else ALWAYS
    return [f"{check.__name__}: {what}" for check in checks for what in check(scene)]


def acknowledged_jobs_exist(scene: Scene) -> Iterator[str]:
    """G1"""
    there = {row[0] for row in scene.database.rows("SELECT id FROM jobs")}
    for key, jobs in scene.history.acknowledged.items():
        for job in jobs - there:
            yield f"{job} was acknowledged for {key} and is gone"


def one_job_per_key(scene: Scene) -> Iterator[str]:
    """G6: one job for each key, and none besides of a request that came twice or whose answer was lost."""
    known: set[str] = set()
    for key, jobs in scene.history.acknowledged.items():
        known |= jobs
        if len(jobs) > 1:
            yield f"{key} was answered with {sorted(jobs)}"
    # a try without an answer may have come after the one that was refused, and when the job was over
    made = "SELECT key, id FROM jobs LEFT JOIN idempotency ON job_seq = seq ORDER BY seq"
    for key, job in scene.database.rows(made):
        if job not in known and key not in scene.history.refused:
            yield f"{job} is there, and nobody was told of it"


def another_body_is_refused(scene: Scene) -> Iterator[str]:
    """G6: a known key with another body is a mistake, and no answer."""
    for key in scene.history.taken_wrongly:
        yield f"{key} was taken with another body too"


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
    done = scene.database.rows(
        "SELECT job_seq, count(*) FROM attempts WHERE state = 'done' GROUP BY 1 HAVING count(*) > 1"
    )
    for seq, count in done:
        yield f"{count} attempts of job {seq} count as its result"
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
        if result is None:
            yield f"{job} completed without a result"
            continue
        made = msgspec.json.decode(result, type=Result)
        if made.outputs[0].path is None:
            continue  # in the artifact store
        file = scene.history.files.get(made.outputs[0].name)
        if file is None or file.sha256 != made.outputs[0].sha256:
            yield f"the result of {job} is not the file that lies there"


def not_in_its_own_way(scene: Scene) -> Iterator[str]:
    """G3: no job fails over a file that an earlier attempt of its own published. (A retry has its parent's output.)"""
    for job, failure in scene.database.rows(
        "SELECT id, failure FROM jobs WHERE state = 'failed' AND retry_of IS NULL AND failure IS NOT NULL"
    ):
        if msgspec.json.decode(failure, type=Failure).code is Code.OUTPUT_EXISTS:
            yield f"{job} failed over its own output"


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


_EXPIRED = re.compile(r"its lease ended, ([\d.]+) s ago")


def killed_in_time(scene: Scene) -> Iterator[str]:
    """G4: where a lease could not be renewed, its processes ended before it, unless their machine stood still."""
    runs = {run.attempt_id: run for run in scene.history.runs if not run.late}
    for attempt, at, failure in scene.database.rows(
        "SELECT id, finished_at, failure FROM attempts WHERE state = 'lost'"
    ):
        why = msgspec.json.decode(failure, type=Failure)
        run = runs.get(attempt)
        if why.code is not Code.LEASE_EXPIRED or run is None:
            continue
        ago = _EXPIRED.search(why.message)
        assert ago is not None, why.message
        # told with one decimal
        ended = told.seconds(at) - float(ago[1]) + 0.1
        if run.until is None or run.until > ended:
            yield f"{attempt} ran on {run.host} from {run.since:.3f} until {run.until}, its lease ended at {ended:.1f}"


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
    """G7: a job takes three agents down at most."""
    for job, agents in scene.history.taken_down.items():
        if agents > _POISON_CRASHES:
            yield f"{job} took {agents} agents down"
    for job, crashes in scene.database.rows("SELECT j.id, t.crashes FROM tasks t JOIN jobs j ON j.seq = t.job_seq"):
        if crashes > _POISON_CRASHES:
            yield f"{job} crashed {crashes} times"


def calm_is_calm(scene: Scene) -> Iterator[str]:
    """Without faults each job completes at its first attempt, and an idle farm takes one at once."""
    if scene.plan.faults:
        return
    for job, state, attempts in scene.database.rows(
        "SELECT j.id, j.state, t.attempts FROM jobs j JOIN tasks t ON t.job_seq = j.seq"
        " WHERE j.state <> 'completed' OR t.attempts <> 1"
    ):
        yield f"{job} is {state} after {attempts} attempts, and nothing was wrong"
    longest = _AT_ONCE_SECONDS + (_BY_A_POLL_SECONDS if scene.plan.masters > 1 else 0.0)
    slots = scene.plan.agents * scene.plan.slots
    busy = 0
    waiting: dict[str, float] = {}  # jobs that came to an idle farm, and when
    full: list[float] = []  # when the last slot was taken
    for event in told.events(scene):
        busy += (event.kind == EventKind.ATTEMPT_ASSIGNED) - (event.kind == EventKind.ATTEMPT_ENDED)
        if event.kind == EventKind.JOB_SUBMITTED and not busy:
            waiting[event.job_id] = event.at
        if event.kind == EventKind.ATTEMPT_ASSIGNED and busy == slots:
            full.append(event.at)
    for job, at in waiting.items():
        begun = [one.since for one in scene.history.runs if one.job_id == job]
        # what came a little later and goes first may have filled the farm before the poll
        filled = any(at <= when <= at + longest for when in full)
        if not begun or (begun[0] - at > longest and not filled):
            yield f"{job} waited until {begun}, submitted at {at:.3f} to a farm that was idle"


Check = Callable[[Scene], Iterator[str]]
#: of any run at any time
ALWAYS: tuple[Check, ...] = (
    acknowledged_jobs_exist,
    one_job_per_key,
    another_body_is_refused,
    published_once,
    not_in_its_own_way,
    canceled_is_final,
    orders.canceled_ends_soon,
    orders.paused_rests,
    orders.drained_rests,
    orders.no_starvation,
    fenced,
    killed_in_time,
    poison_stops,
    counted,
    told.restarts_give_back,
    told.stream_is_whole,
    told.retries_back_off,
)
#: of one that came to its end
AT_REST: tuple[Check, ...] = (one_end, told.history_is_whole, nothing_left, calm_is_calm)
