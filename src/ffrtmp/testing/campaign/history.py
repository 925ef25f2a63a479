"""What was seen from outside: what people were told, what got a name on the disk, which processes ran, what was done to the
farm."""

import contextlib
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ffrtmp.domain.errors import Code
from ffrtmp.domain.states import JOB_TERMINAL, JobState
from ffrtmp.testing.renames import Renamed

_TERMINAL = frozenset(state.value for state in JOB_TERMINAL)


class Move(msgspec.Struct, frozen=True):
    """A job went from one state to another, as the event stream told it."""

    seq: int
    before: str
    after: str


class Attempt(msgspec.Struct):
    """From its lease to its end, as the event stream told it: by the master's clock, seconds since the epoch."""

    job: str
    node: str
    since: float
    until: float = math.inf


class Kill(msgspec.Struct, frozen=True):
    """kill -9 of an agent, or of the FFmpeg of these attempts of it. Seconds since the epoch."""

    at: float
    agent: str
    attempts: frozenset[str] = frozenset()  #: none: the agent, and with it all that it had


class Sighting(msgspec.Struct):
    """An attempt's processes. Seconds since the epoch."""

    attempt_id: str
    first: float
    last: float


class Recovery(msgspec.Struct, frozen=True):
    """A job whose agent was taken away at `since` runs again, or has its end, at `at`. `load`: of the machine then, processes that
    run or want to, for each core (the average of a minute)."""

    fault: str
    since: float
    at: float
    load: float

    @property
    def seconds(self) -> float:
        return self.at - self.since


class Span(msgspec.Struct):
    """A fault from when it is prepared until it is over."""

    since: float
    until: float = math.inf


class History:
    """Kept here to be checked, and as JSON lines in a file to be read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self.asked: set[str] = set()  #: idempotency keys under which a job was submitted
        self.acknowledged: dict[str, set[str]] = {}  #: idempotency key → job ids that were answered
        self.outputs: dict[str, str] = {}  #: job → its file in the media root, "" for the artifact store
        self.canceled: dict[str, float] = {}  #: job → when the cancel was acknowledged, seconds since the epoch
        self.doomed: dict[str, Code] = {}  #: job → the code that it was made to fail with
        self.told: dict[str, set[str]] = {}  #: job → the terminal states that its user read
        self.moves: dict[str, list[Move]] = {}
        self.finished = 0  #: jobs that are over
        self.attempts: dict[str, Attempt] = {}
        self.registered: dict[str, list[float]] = {}  #: node → when its agent registered, by the master's clock
        self.kills: list[Kill] = []
        self.published: list[Renamed] = []
        self.sightings: dict[str, Sighting] = {}
        self.overlaps: list[str] = []  #: attempts of one job whose processes ran at the same moment
        self.refused_wrongly: list[str] = []  #: answers that no fault explains
        self.faults: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()  #: of them, those that found nothing to strike
        self.ended_by_itself: Counter[str] = Counter()
        self.recoveries: list[Recovery] = []
        self.cancel_seconds: list[float] = []
        self.spans: list[Span] = []
        self.frozen: dict[str, list[tuple[float, float]]] = {}  #: agent → when it stood still

    def note(self, kind: str, **fields: Any) -> None:
        self._file.write(msgspec.json.encode({"at": round(time.time(), 4), "kind": kind, **fields}) + b"\n")

    def fault(self, kind: str, victim: str, **fields: Any) -> None:
        self.faults[kind] += 1
        self.note("fault", fault=kind, victim=victim, **fields)

    @contextlib.contextmanager
    def hurting(self) -> Iterator[None]:
        """While a fault is under way."""
        span = Span(time.time())
        self.spans.append(span)
        try:
            yield
        finally:
            span.until = time.time()

    def alone(self, one: Recovery) -> bool:
        """Whether no other fault was under way until that job ran again."""
        return sum(span.since < one.at and span.until > one.since for span in self.spans) <= 1

    def miss(self, kind: str) -> None:
        """A fault that was noted found nothing: no process was there, no such bytes came."""
        self.missed[kind] += 1
        self.note("missed", fault=kind)

    def acknowledge(self, key: str, job: str) -> None:
        self.acknowledged.setdefault(key, set()).add(job)
        self.note("acknowledged", key=key, job=job)

    def tell(self, job: str, state: str) -> None:
        """What a user read of a job."""
        if state in _TERMINAL:
            self.told.setdefault(job, set()).add(state)

    def move(self, job: str, move: Move) -> None:
        self.moves.setdefault(job, []).append(move)
        self.note("state", job=job, before=move.before, after=move.after)
        self.finished += move.after in _TERMINAL

    def overlap(self, what: str) -> None:
        """Once, however long it lasts."""
        if what not in self.overlaps:
            self.overlaps.append(what)
            self.note("overlap", what=what)

    def kill(self, kill: Kill) -> None:
        self.kills.append(kill)
        self.note("killed", agent=kill.agent, attempts=sorted(kill.attempts))

    def struck(self, job: str) -> set[str]:
        """The job's attempts that a kill -9 took down: those whose FFmpeg was killed, and those that an agent had which was killed,
        with what the master gave it until it heard of the next one."""
        found: set[str] = set()
        for kill in self.kills:
            back = min((at for at in self.registered.get(kill.agent, ()) if at > kill.at), default=math.inf)
            for name, one in self.attempts.items():
                there = one.node == kill.agent and one.since < back and one.until >= kill.at
                if one.job == job and (name in kill.attempts if kill.attempts else there):
                    found.add(name)
        return found

    def stood_still(self, agent: str, since: float) -> bool:
        """Whether the agent stood still at any time after `since`."""
        return any(end >= since for _, end in self.frozen.get(agent, ()))

    def close(self) -> None:
        self._file.close()


def is_terminal(state: str) -> bool:
    return JobState(state) in JOB_TERMINAL


def middle(values: Iterable[float]) -> float:
    """The median; 0 of nothing."""
    found = list(values)
    return statistics.median(found) if found else 0.0
