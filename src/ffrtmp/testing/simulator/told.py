"""What the history of events tells of a run: it is whole, in order, and says when a retry may begin."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ffrtmp.domain import states
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import AttemptState, JobState
from ffrtmp.testing.simulator.scene import Scene
from ffrtmp.testing.simulator.store import EPOCH_US

#: what docs/guarantees.md says of retries: a random time up to 2, 4, 8 … 300 s
_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 2.0, 300.0


def seconds(at_us: int) -> float:
    """Of the simulation, from the database's clock."""
    return (at_us - EPOCH_US) / 1e6


class Event(msgspec.Struct, frozen=True):
    seq: int
    at: float  #: seconds of the simulation
    kind: str
    job_id: str
    attempt_id: str
    node: str  #: its name
    data: Mapping[str, Any]


def events(scene: Scene) -> list[Event]:
    """All of them, in order."""
    return [
        Event(seq, seconds(at), kind, job or "", attempt or "", node or "", msgspec.json.decode(data))
        for seq, at, kind, job, attempt, node, data in scene.database.rows(
            "SELECT e.seq, e.at, e.kind, j.id, e.attempt_id, n.name, e.data FROM events e"
            " LEFT JOIN jobs j ON j.seq = e.job_seq LEFT JOIN nodes n ON n.id = e.node_id ORDER BY e.seq"
        )
    ]


#: where a job of one task is → what may be told next, and where it is then
_STORY: dict[str, dict[str, str]] = {
    "": {EventKind.JOB_SUBMITTED: "ready"},
    "ready": {EventKind.ATTEMPT_ASSIGNED: "assigned"},
    "assigned": {
        EventKind.ATTEMPT_STARTED: "started",
        EventKind.ATTEMPT_PUBLISHING: "publishing",
        EventKind.ATTEMPT_ENDED: "ended",
    },
    "started": {EventKind.ATTEMPT_PUBLISHING: "publishing", EventKind.ATTEMPT_ENDED: "ended"},
    "publishing": {EventKind.ATTEMPT_ENDED: "ended"},
    "ended": {EventKind.TASK_RETRY: "delayed", EventKind.TASK_READY: "ready"},
    "delayed": {EventKind.TASK_READY: "ready"},
    "over": {},
}
_ABOUT_THE_JOB = (
    EventKind.JOB_STATE,
    EventKind.JOB_CANCEL_REQUESTED,
    EventKind.JOB_PAUSE_REQUESTED,
    EventKind.JOB_RESUME_REQUESTED,
)


def history_is_whole(scene: Scene) -> Iterator[str]:
    """G2: each job's events follow one another without a gap or a repeat, and nothing comes after its end."""
    at: dict[str, str] = defaultdict(str)
    lost: set[str] = set()  #: attempts, until they are excused
    for event in events(scene):
        if not event.job_id:
            continue
        where = at[event.job_id]
        if event.kind == EventKind.ATTEMPT_ENDED and event.data["state"] == AttemptState.LOST:
            lost.add(event.attempt_id)
        if event.kind == EventKind.ATTEMPT_EXCUSED:
            if where == "over" or event.attempt_id not in lost:
                yield f"{event.job_id}: {event.attempt_id} is excused, which was not lost, or is over"
            lost.discard(event.attempt_id)
        elif event.kind in _ABOUT_THE_JOB:
            if where in ("", "over"):
                yield f"{event.job_id}: {event.kind} {event.data} when it was {where or 'not there yet'}"
            elif event.kind == EventKind.JOB_STATE and JobState(event.data["to"]) in states.JOB_TERMINAL:
                if where in ("assigned", "started", "publishing"):
                    yield f"{event.job_id}: over while an attempt is {where}"
                at[event.job_id] = "over"
        elif event.kind in _STORY[where]:
            at[event.job_id] = _STORY[where][event.kind]
        else:
            yield f"{event.job_id}: {event.kind} {event.data} when it was {where or 'not there yet'}"
    for job, where in at.items():
        if where != "over":
            yield f"{job}: its history ends when it is {where}"


def restarts_give_back(scene: Scene) -> Iterator[str]:
    """What a node was given before its agent's process began is over when that process is registered: no lease is waited for."""
    given: dict[str, dict[str, Event]] = defaultdict(dict)
    ended: dict[str, float] = {}
    for event in events(scene):
        if event.kind == EventKind.ATTEMPT_ASSIGNED:
            given[event.node][event.attempt_id] = event
        elif event.kind == EventKind.ATTEMPT_ENDED:
            ended[event.attempt_id] = event.at
    for joined in scene.history.joined:
        for attempt, event in given[joined.node].items():
            if event.at < joined.since and ended.get(attempt, math.inf) > joined.at:
                yield (
                    f"{attempt} was given to {joined.node} at {event.at:.3f} and not taken back at {joined.at:.3f} from a process"
                    f" that began at {joined.since:.3f}"
                )


def stream_is_whole(scene: Scene) -> Iterator[str]:
    """Who follows the events gets each once, in order, without a gap."""
    told = [seq for (seq,) in scene.database.rows("SELECT seq FROM events ORDER BY seq")]
    followed = scene.history.followed
    if followed != told[: len(followed)]:
        first = next(number for number, (one, other) in enumerate(zip(followed, told, strict=False)) if one != other)
        yield f"after {first} events a follower got number {followed[first]}, and {told[first]} was next"


def retries_back_off(scene: Scene) -> Iterator[str]:
    """A retry waits as long as is documented at most, and never shorter than it was told. (No wait is a chance in a million.)"""
    due: dict[str, float] = {}
    for event in events(scene):
        if event.kind == EventKind.TASK_RETRY:
            run_at = seconds(event.data["run_at"])
            ceiling = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2 ** (event.data["retry"] - 1))
            due[event.job_id] = run_at
            if not 0 < run_at - event.at <= ceiling:
                yield (
                    f"{event.job_id}: retry {event.data['retry']} after {run_at - event.at:.6f} s; up to {ceiling:g} s"
                    " was promised"
                )
        elif event.kind == EventKind.ATTEMPT_EXCUSED:
            due.pop(event.job_id, None)
        elif event.kind == EventKind.TASK_READY and event.at < due.pop(event.job_id, 0.0):
            yield f"{event.job_id}: its retry was ready at {event.at:.3f}, before its time"
