"""What a store was asked and what it acknowledged, kept outside of what is killed, and what a database must hold after that."""

from typing import Any

import msgspec

from ffrtmp.domain import errors, job, states
from ffrtmp.domain.states import AttemptState, JobState
from ffrtmp.protocol.agent import CommandKind
from ffrtmp.store import calls
from ffrtmp.testing.story import Sql


class Asked(msgspec.Struct):
    number: int
    call: Any


class Answered(msgspec.Struct):
    """`answer`: the value, or the error that refuses the call. Not Unavailable, which says nothing of what was done."""

    number: int
    answer: Any


class Seen(msgspec.Struct):
    """Events that a reader was given, and will not ask for again."""

    events: list[tuple[int, str]]


_ALIVE = (AttemptState.ASSIGNED, AttemptState.RUNNING, AttemptState.PUBLISHING)


def _rank(state: AttemptState) -> int:
    return _ALIVE.index(state) if state in _ALIVE else len(_ALIVE)


class Ledger:
    """Of one database, over all its crashes."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.unknown: list[Any] = []  #: calls that were asked and not answered
        self.submissions: dict[str, job.NewJob] = {}  #: acknowledged ones by idempotency key
        self.keys: dict[str, str] = {}  #: idempotency key → job id, acknowledged
        self.violations: list[str] = []
        self._open: dict[int, Any] = {}
        self._numbers: dict[int, str] = {}
        self._ended: dict[str, JobState] = {}
        self._canceled: set[str] = set()
        self._attempts: dict[str, AttemptState] = {}
        self._nodes: set[str] = set()
        self._events: dict[int, str] = {}

    def note(self, record: Asked | Answered | Seen) -> None:
        match record:
            case Asked(number, call):
                self._open[number] = call
            case Answered(number, answer):
                self.acknowledged += 1
                self.learn(self._open.pop(number), answer)
            case Seen(events):
                for seq, kind in events:
                    self._event(seq, kind)

    def crashed(self) -> None:
        """Nobody will answer what is open."""
        self.unknown += self._open.values()
        self._open.clear()

    def learn(self, call: Any, answer: Any) -> None:
        match call:
            case _ if isinstance(answer, errors.FfrtmpError):
                pass
            case calls.Submit(new):
                key = new.idempotency_key or ""
                self._job(answer.job.id, answer.job.sequence_number)
                self.submissions[key] = new
                if self.keys.setdefault(key, answer.job.id) != answer.job.id:
                    self._wrong(f"the key {key} was answered with {self.keys[key]} and with {answer.job.id}")
            case calls.Register():
                self._nodes.add(answer.node.id)
            case calls.Lease():
                for grant in answer:
                    self._attempt(grant.attempt_id, AttemptState.ASSIGNED)
            case calls.Beat(beat):
                for one in beat.attempts:
                    if one.started and answer.commands.get(one.attempt_id) is CommandKind.OK:
                        self._attempt(one.attempt_id, AttemptState.RUNNING)
            case calls.Report():
                self._report(answer)
            case calls.Rescue():
                for result in answer.attempts:
                    self._report(result)
            case calls.Cancel():
                self._canceled.add(answer.job.id)
            case calls.Reject():
                for job_id in answer:
                    self._end(job_id, JobState.REJECTED)

    def _report(self, result: Any) -> None:
        self._attempt(result.attempt_id, result.attempt_state)
        if result.job_state in states.JOB_TERMINAL:
            self._end(result.job_id, result.job_state)

    def _job(self, job_id: str, number: int) -> None:
        if self._numbers.setdefault(number, job_id) != job_id:
            self._wrong(f"the number {number} was given to {self._numbers[number]} and to {job_id}")

    def _end(self, job_id: str, state: JobState) -> None:
        if self._ended.setdefault(job_id, state) is not state:
            self._wrong(f"{job_id} was {self._ended[job_id]}, then {state}")

    def _attempt(self, attempt_id: str, state: AttemptState) -> None:
        known = self._attempts.get(attempt_id, AttemptState.ASSIGNED)
        if _rank(known) == len(_ALIVE) == _rank(state) and known is not state:
            self._wrong(f"attempt {attempt_id} was {known}, then {state}")
        self._attempts[attempt_id] = max(known, state, key=_rank)

    def _event(self, seq: int, kind: str) -> None:
        if self._events.setdefault(seq, kind) != kind:
            self._wrong(f"event {seq} was {self._events[seq]}, then {kind}")

    def _wrong(self, what: str) -> None:
        self.violations.append(what)

    async def compare(self, sql: Sql) -> None:
        """All that was acknowledged, or found after an earlier crash, must be in the tables."""
        jobs = {row[1]: row for row in await sql("SELECT seq, id, state, cancel_requested FROM jobs")}
        for job_id in self.keys.values():
            if job_id not in jobs:
                self._wrong(f"job {job_id} was acknowledged and is lost")
        for number, job_id, *_ in jobs.values():
            self._job(job_id, number)
        for job_id, state in self._ended.items():
            if job_id in jobs and jobs[job_id][2] != state:
                self._wrong(f"job {job_id} was acknowledged as {state} and is {jobs[job_id][2]}")
        for job_id in self._canceled & set(jobs):
            if not jobs[job_id][3] and JobState(jobs[job_id][2]) not in states.JOB_TERMINAL:
                self._wrong(f"the cancel of job {job_id} was acknowledged and is lost")
        attempts = {row[0]: AttemptState(row[1]) for row in await sql("SELECT id, state FROM attempts")}
        for attempt_id, known in self._attempts.items():
            found = attempts.get(attempt_id)
            if found is None or _rank(found) < _rank(known) or (_rank(known) == len(_ALIVE) and found is not known):
                self._wrong(f"attempt {attempt_id} was acknowledged as {known} and is {found or 'lost'}")
        for node_id in self._nodes - {row[0] for row in await sql("SELECT id FROM nodes")}:
            self._wrong(f"node {node_id} was acknowledged and is lost")
        events: dict[int, str] = dict(await sql("SELECT seq, kind FROM events"))
        for seq in self._events.keys() - events.keys():
            self._wrong(f"event {seq} ({self._events[seq]}) was read and is lost")
        for seq, kind in events.items():
            self._event(seq, kind)
