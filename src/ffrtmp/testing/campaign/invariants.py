"""What must hold at the end (docs/guarantees.md), by what was seen from outside. Each returns what broke it, in words.

The same invariants in simulated time are in `simulator/invariants.py`."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import msgspec

from ffrtmp.domain.errors import Code, FailureClass
from ffrtmp.domain.retry import POISON_CRASHES
from ffrtmp.domain.states import JobState
from ffrtmp.protocol import views
from ffrtmp.testing.campaign.history import History, is_terminal

#: over the lease time, what a killed agent's job may take to run again (docs/guarantees.md)
ALLOWED_SECONDS = 5.0
#: kill -9, as the history names it
_KILLED = "kill -9 agent"
#: a machine with more work for each core than this is overloaded: with each so much more a job may take its time once more
_LOAD = 4.0


class Evidence(msgspec.Struct):
    """The history, and what the farm says when it has come to rest."""

    history: History
    jobs: dict[str, views.JobView]  #: all that are listed
    counted: dict[str, dict[str, float]]  #: master → state → jobs, from /metrics
    hashes: dict[str, str]  #: file in the media root → SHA-256
    artifacts: dict[str, str]  #: finished upload in the artifact store → SHA-256
    left: list[str]  #: processes, temporary files and rows that are still there after the drain
    watched: bool  #: every rename was seen


class Verdict(msgspec.Struct, frozen=True):
    name: str
    says: str
    broken: list[str]


def judge(evidence: Evidence) -> list[Verdict]:
    """By what does not depend on how fast the machine is."""
    return [_verdict(check, check(evidence)) for check in CHECKS]


def _verdict(check: Callable[..., object], broken: Iterable[str]) -> Verdict:
    return Verdict(check.__name__, " ".join((check.__doc__ or "").split()), list(broken))


def recovers_in_time(history: History, lease_seconds: float) -> Verdict:
    """After kill -9 of an agent, with no other fault meanwhile, its jobs run again within the lease time + 5 s; on an overloaded
    machine that many times later as it has more than four processes for each core to run."""
    broken = []
    for one in history.recoveries:
        allowed = (lease_seconds + ALLOWED_SECONDS) * max(1.0, one.load / _LOAD)
        if one.fault == _KILLED and history.alone(one) and one.seconds > allowed:
            broken.append(f"{one.seconds:.1f} s instead of at most {allowed:.1f} s (load {one.load:.1f} for each core)")
    return _verdict(recovers_in_time, broken)


def acknowledged_jobs_exist(evidence: Evidence) -> Iterator[str]:
    """G1: each acknowledged job is there at the end."""
    for key, jobs in evidence.history.acknowledged.items():
        for job in jobs - evidence.jobs.keys():
            yield f"{job} was acknowledged for {key} and is gone"


def everyone_is_answered(evidence: Evidence) -> Iterator[str]:
    """Each submission has its answer in the end, however often it had to be sent."""
    for key in sorted(evidence.history.asked - evidence.history.acknowledged.keys()):
        yield f"{key} was submitted and never answered"


def one_job_per_key(evidence: Evidence) -> Iterator[str]:
    """G6: one job for each idempotency key, and no job that nobody asked for."""
    known: set[str] = set()
    for key, jobs in evidence.history.acknowledged.items():
        known |= jobs
        if len(jobs) > 1:
            yield f"{key} was answered with {sorted(jobs)}"
    for job in evidence.jobs.keys() - known:
        yield f"{job} is there, and nobody was told of it"


def answered_rightly(evidence: Evidence) -> Iterator[str]:
    """People get no answer that neither the state of their job nor a fault explains."""
    yield from evidence.history.refused_wrongly


def one_end(evidence: Evidence) -> Iterator[str]:
    """G2: each job's history has no gap, ends in one terminal state, and that is what people were told."""
    for job, moves in evidence.history.moves.items():
        at = ""
        for move in sorted(moves, key=lambda one: one.seq):
            if move.before != at or (at and is_terminal(at)):
                yield f"{job} went from {at or 'nothing'} by {move.before} → {move.after}"
            at = move.after
        if job in evidence.jobs and evidence.jobs[job].state != at:
            yield f"{job} is {evidence.jobs[job].state}, its history ends with {at}"
    for job, view in evidence.jobs.items():
        if not is_terminal(view.state):
            yield f"{job} is still {view.state}"
        if job not in evidence.history.moves:
            yield f"{job} has no history"
    for job, states in evidence.history.told.items():
        if job in evidence.jobs and states != {evidence.jobs[job].state}:
            yield f"{job} is {evidence.jobs[job].state}, its user read {sorted(states)}"


def published_once(evidence: Evidence) -> Iterator[str]:
    """G3, G9: at most one file for each job, whole, the one that its result names."""
    if not evidence.watched:
        yield "some renames were not seen"
    names = Counter(one.name for one in evidence.history.published)
    for name, count in names.items():
        if count > 1:
            yield f"{name} was published {count} times"
    for job, view in evidence.jobs.items():
        if view.state != JobState.COMPLETED:
            continue
        output = view.result.outputs[0] if view.result and view.result.outputs else None
        if output is None:
            yield f"{job} completed without a result"
        elif output.upload_id is not None:
            if evidence.artifacts.get(output.upload_id) != output.sha256:
                yield f"the result of {job} is not what the artifact store has under {output.upload_id}"
        elif output.name not in names or evidence.hashes.get(output.name) != output.sha256:
            yield f"the result of {job} is not the file that lies there: {output.name}"


def fails_over_faults_alone(evidence: Evidence) -> Iterator[str]:
    """G3, G7: media are good and outputs free, but for jobs that are meant to fail: no other fails over a file that it published
    itself, or over a mistake of ours; as poison only after three of its attempts were taken down by kill -9 of their agent or
    FFmpeg."""
    for job, view in evidence.jobs.items():
        failure = view.failure if view.state == JobState.FAILED else None
        if failure is None or failure.code == evidence.history.doomed.get(job):
            continue
        if failure.code == Code.POISON:
            struck = len(evidence.history.struck(job))
            if struck < POISON_CRASHES:
                yield f"{job}: {failure.code}, and {struck} of its attempts were killed: {failure.message}"
        elif failure.failure_class == FailureClass.PERMANENT or failure.code == Code.INTERNAL:
            yield f"{job}: {failure.code}, {failure.message}"


def canceled_is_final(evidence: Evidence) -> Iterator[str]:
    """G5: nothing of a job is published after its cancel was acknowledged, and it does not complete."""
    at = {one.name: one.at for one in evidence.history.published}
    for job, asked in evidence.history.canceled.items():
        name = evidence.history.outputs.get(job, "")
        if at.get(name, 0.0) > asked:
            yield f"{job} was published {at[name] - asked:.3f} s after its cancel was acknowledged"
        if job in evidence.jobs and evidence.jobs[job].state == JobState.COMPLETED:
            yield f"{job} completed although its cancel was acknowledged"


def fenced(evidence: Evidence) -> Iterator[str]:
    """G4: processes of two attempts of one job never ran at the same moment, unless an agent stood still."""
    yield from evidence.history.overlaps


def poison_stops(evidence: Evidence) -> Iterator[str]:
    """G7: no job is tried more often than its retries allow."""
    for job, view in evidence.jobs.items():
        if view.retry_count > view.max_retries:
            yield f"{job} was tried {view.retry_count} times more, {view.max_retries} were allowed"


def nothing_left(evidence: Evidence) -> Iterator[str]:
    """After the drain: no process, temporary file, partial upload or lease."""
    yield from evidence.left


def counted(evidence: Evidence) -> Iterator[str]:
    """Counters equal a recount of the jobs."""
    found = Counter(view.state for view in evidence.jobs.values())
    for master, told in evidence.counted.items():
        if {state: count for state, count in told.items() if count} != dict(found):
            yield f"{master} counts {told}, there are {dict(found)}"


CHECKS = (
    acknowledged_jobs_exist,
    everyone_is_answered,
    one_job_per_key,
    answered_rightly,
    one_end,
    published_once,
    fails_over_faults_alone,
    canceled_is_final,
    fenced,
    poison_stops,
    nothing_left,
    counted,
)
