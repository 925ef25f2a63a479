"""States and the transitions between them, as data.

The store holds a row, checks its next state against these tables, and writes it WHERE the state is still the one it read; the
database has a trigger that forbids leaving a terminal state. `job_state` is the only place where a job's state is derived.
"""

import enum
from collections.abc import Iterable


class JobState(enum.StrEnum):
    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    PAUSED = "paused"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELED = "canceled"
    REJECTED = "rejected"


class TaskState(enum.StrEnum):
    BLOCKED = "blocked"  # waits for other tasks of its job
    QUEUED = "queued"  # ready: a node may take it
    ASSIGNED = "assigned"  # a node has it, its command has not started
    RUNNING = "running"
    RETRYING = "retrying"  # waits for run_at
    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELED = "canceled"
    REJECTED = "rejected"


class AttemptState(enum.StrEnum):
    ASSIGNED = "assigned"
    RUNNING = "running"
    PUBLISHING = "publishing"  # may publish: a cancel comes too late
    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELED = "canceled"
    LOST = "lost"  # its lease ended or its agent restarted
    RETURNED = "returned"  # given back without penalty (drain, shutdown)


JOB_TERMINAL = frozenset(
    {JobState.COMPLETED, JobState.FAILED, JobState.TIMED_OUT, JobState.CANCELED, JobState.REJECTED}
)
TASK_TERMINAL = frozenset(
    {TaskState.DONE, TaskState.FAILED, TaskState.TIMED_OUT, TaskState.CANCELED, TaskState.REJECTED}
)
ATTEMPT_TERMINAL = frozenset(
    {
        AttemptState.DONE,
        AttemptState.FAILED,
        AttemptState.TIMED_OUT,
        AttemptState.CANCELED,
        AttemptState.LOST,
        AttemptState.RETURNED,
    }
)

_T = TaskState
#: what may follow what
TASK_TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    _T.BLOCKED: frozenset({_T.QUEUED, _T.CANCELED, _T.REJECTED}),
    _T.QUEUED: frozenset({_T.ASSIGNED, _T.CANCELED, _T.REJECTED}),
    _T.ASSIGNED: frozenset({_T.RUNNING, _T.DONE, _T.QUEUED, _T.RETRYING, _T.FAILED, _T.TIMED_OUT, _T.CANCELED}),
    _T.RUNNING: frozenset({_T.DONE, _T.QUEUED, _T.RETRYING, _T.FAILED, _T.TIMED_OUT, _T.CANCELED}),
    _T.RETRYING: frozenset({_T.QUEUED, _T.CANCELED, _T.REJECTED}),
    _T.DONE: frozenset(),
    _T.FAILED: frozenset(),
    _T.TIMED_OUT: frozenset(),
    _T.CANCELED: frozenset(),
    _T.REJECTED: frozenset(),
}

_A = AttemptState
_ENDS = frozenset({_A.FAILED, _A.TIMED_OUT, _A.CANCELED, _A.LOST, _A.RETURNED})
ATTEMPT_TRANSITIONS: dict[AttemptState, frozenset[AttemptState]] = {
    _A.ASSIGNED: frozenset({_A.RUNNING, _A.PUBLISHING, _A.DONE}) | _ENDS,
    _A.RUNNING: frozenset({_A.PUBLISHING, _A.DONE}) | _ENDS,
    # No CANCELED: a cancel that comes while the output is being published is refused (G5).
    _A.PUBLISHING: frozenset({_A.DONE, _A.FAILED, _A.LOST, _A.RETURNED}),
    **{state: frozenset() for state in ATTEMPT_TERMINAL},
}


#: a job ends as its worst task did
_BY_WEIGHT = (
    (_T.FAILED, JobState.FAILED),
    (_T.TIMED_OUT, JobState.TIMED_OUT),
    (_T.REJECTED, JobState.REJECTED),
    (_T.CANCELED, JobState.CANCELED),
)


def job_state(tasks: Iterable[TaskState], *, paused: bool) -> JobState:
    """The state of a job with these tasks.

    An end of one task that is not `done` ends the job (the store cancels the others in the same transaction). Otherwise a
    job whose pause was asked is paused, and else it is where its most advanced task is.
    """
    states = set(tasks)
    for task, job in _BY_WEIGHT:
        if task in states:
            return job
    if states <= {TaskState.DONE}:
        return JobState.COMPLETED
    if paused:
        return JobState.PAUSED
    if TaskState.RUNNING in states:
        return JobState.RUNNING
    if TaskState.ASSIGNED in states:
        return JobState.ASSIGNED
    if TaskState.RETRYING in states:
        return JobState.RETRYING
    # a graph with something done and nothing running waits for a slot between two of its tasks
    return JobState.RUNNING if TaskState.DONE in states else JobState.QUEUED
