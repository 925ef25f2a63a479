"""What people asked for is done: canceled and paused attempts rest, drained nodes get nothing, nobody is overtaken for ever."""

from collections.abc import Iterator

from ffrtmp.domain.job import EventKind
from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.testing.simulator.history import Order, Run
from ffrtmp.testing.simulator.network import STRAY_SECONDS
from ffrtmp.testing.simulator.scene import SECONDS_TO_A_MINUTE, Scene
from ffrtmp.testing.simulator.told import Event, events

#: an agent's clock may run so much slower or faster than the database's
_DRIFT = 0.02
#: between the agent's knowing and the end or rest of the processes; a kill may take two seconds here
_SLACK_SECONDS = 2.5


def _heard_by(scene: Scene, since: float) -> float:
    """When an agent has done at the latest what was asked: each renewal of its lease tells it, and without one it fences itself."""
    return since + scene.plan.ttl_seconds * (1 + _DRIFT) + _SLACK_SECONDS


def canceled_ends_soon(scene: Scene) -> Iterator[str]:
    """G5: the processes of a canceled job end within a lease time. (Those that only wait to publish are refused.)"""
    for run in scene.history.runs:
        asked = scene.history.canceled.get(run.job_id)
        if asked is None or run.late:
            continue
        latest = _heard_by(scene, asked)
        if run.encodes_at(latest) or run.since > latest:
            yield f"{run.attempt_id} on {run.host} ran from {run.since:.3f} until {run.until}, canceled at {asked:.3f}"


def paused_rests(scene: Scene) -> Iterator[str]:
    """Nothing of a job starts from the answer to its pause until its resume is asked, and what runs rests within a lease time."""
    paused = {order.of: order for order in scene.history.paused}
    for event in _assigned(scene):
        order = paused.get(event.job_id)
        if order and order.since < event.at < order.until:
            yield f"{event.job_id} was given to {event.node} at {event.at:.3f}, paused since {order.since:.3f}"
    for run in scene.history.runs:
        order = paused.get(run.job_id)
        if order and _encodes_in(run, _heard_by(scene, order.since), order.until):
            yield f"{run.attempt_id} went on on {run.host}, although {run.job_id} was paused at {order.since:.3f}"


def _encodes_in(run: Run, since: float, until: float) -> bool:
    return since < until and not run.late and run.encodes_at(since)


def drained_rests(scene: Scene) -> Iterator[str]:
    """A node gets nothing from the answer to its drain until the end of it is asked."""
    drained: list[Order] = []
    before: dict[str, float] = {}
    for order in scene.history.drained:
        if order.since > before.get(order.of, 0.0) + STRAY_SECONDS:
            drained.append(order)
        before[order.of] = order.until
    for event in _assigned(scene):
        for order in drained:
            if order.of == event.node and order.since < event.at < order.until:
                yield f"{event.node} got {event.attempt_id} at {event.at:.3f}, drained since {order.since:.3f}"


def _assigned(scene: Scene) -> list[Event]:
    return [event for event in events(scene) if event.kind == EventKind.ATTEMPT_ASSIGNED]


#: head starts as docs/guarantees.md bounds them, in minutes; live work goes strictly first
_QUEUES = {Queue.LIVE: 10**9, Queue.DEFAULT: 120, Queue.BATCH: 0}
_PRIORITIES = {Priority.HIGH: 60, Priority.MEDIUM: 30, Priority.LOW: 0}


def no_starvation(scene: Scene) -> Iterator[str]:
    """G8: work goes out by the time it became ready less the head start of its rank; what was given back keeps its time.

    All jobs of a simulation can run on all of its nodes, so that whatever is given must be the first in line of its class. (A
    master may learn of a new class a little later than another.)
    """
    head_start: dict[str, float] = {}
    classes: dict[str, int] = {}
    for job, queue, priority, class_id in scene.database.rows(
        "SELECT j.id, j.queue, j.priority, t.class_id FROM jobs j JOIN tasks t ON t.job_seq = j.seq"
    ):
        head_start[job] = (_QUEUES[Queue(queue)] + _PRIORITIES[Priority(priority)]) * SECONDS_TO_A_MINUTE
        classes[job] = class_id
    line = _Line(head_start, classes)
    given: list[Event] = []
    for event in events(scene):
        # a transaction gives work out last, to several agents at once
        if given and event.at != given[0].at:
            yield from line.give(given)
            given = []
        if event.kind == EventKind.ATTEMPT_ASSIGNED:
            given.append(event)
        elif event.job_id:
            line.see(event)
    yield from line.give(given)


class _Line:
    def __init__(self, head_start: dict[str, float], classes: dict[str, int]) -> None:
        self._classes = classes
        self._head_start = head_start
        self._keys: dict[str, float] = {}  #: job → ready time − head start, of the last time that it became ready
        self._waiting: set[str] = set()
        self._held: set[str] = set()
        self._retrying: set[str] = set()

    def see(self, event: Event) -> None:
        job = event.job_id
        match event.kind:
            case EventKind.JOB_SUBMITTED | EventKind.TASK_READY:
                if event.kind == EventKind.JOB_SUBMITTED or job in self._retrying:
                    self._keys[job] = event.at - self._head_start[job]
                self._retrying.discard(job)
                self._waiting.add(job)
            case EventKind.TASK_RETRY:
                self._retrying.add(job)
            case EventKind.ATTEMPT_EXCUSED:
                self._retrying.discard(job)  # it keeps its time, as if it had been given back
            case EventKind.JOB_PAUSE_REQUESTED | EventKind.JOB_CANCEL_REQUESTED:
                self._held.add(job)
            case EventKind.JOB_RESUME_REQUESTED:
                self._held.discard(job)

    def give(self, given: list[Event]) -> Iterator[str]:
        """They leave the line together. Who stayed behind must not have been before any of them."""
        for event in given:
            self._waiting.discard(event.job_id)
        left = sorted((self._keys[job], job) for job in self._waiting - self._held)
        for event in given:
            first = next((one for one in left if self._classes[one[1]] == self._classes[event.job_id]), None)
            if first is not None and first[0] < self._keys[event.job_id]:
                yield (
                    f"{event.job_id} was given to {event.node} at {event.at:.3f} before {first[1]}, which was"
                    f" {self._keys[event.job_id] - first[0]:.3f} s ahead of it"
                )
