"""The look at a store after each step: all that can be seen of it must be what the model has."""

from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec

from ffrtmp.domain import spec, states
from ffrtmp.domain.job import Event
from ffrtmp.protocol.agent import CommandKind
from ffrtmp.store import interface
from ffrtmp.testing.model import seen
from ffrtmp.testing.model.benches import Bench
from ffrtmp.testing.model.records import Job, Said, as_text
from ffrtmp.testing.model.work import Model

T = TypeVar("T")
_MANY = 10_000


class Watch:
    def __init__(self, bench: Bench, model: Model) -> None:
        self._bench = bench
        self._store = bench.store
        self._model = model
        self.class_ids: dict[str, int] = {}
        self._history: dict[str, list[Said]] = {}
        self._ends: dict[str, states.JobState] = {}
        self._updated: dict[str, int] = {}
        self._last_number = 0
        [(self._last_event,)] = bench.rows("SELECT coalesce(max(seq), 0) FROM events")
        self.learn_classes()

    def _run(self, call: Awaitable[T]) -> T:
        return self._bench.run(call)

    def new_number(self, seq: int) -> None:
        assert seq > self._last_number, "a number never names another job"
        self._last_number = seq

    def learn_classes(self) -> None:
        known = self._run(self._store.classes())
        self.class_ids = {one.requires.key(): one.id for one in known}
        assert len(self.class_ids) == len(known), "one class for equal requirements"

    def ids_of(self, codecs: Sequence[spec.Codec]) -> list[int]:
        keys = [spec.Requires(codec=codec).key() for codec in codecs]
        return [self.class_ids[key] for key in keys if key in self.class_ids]

    def step(self) -> None:
        """After each step: the jobs, the lines, the leases, the numbers, and the jobs of which there is news in detail."""
        news = self._events()
        self._jobs()
        self._lines()
        self._numbers()
        for job_id in sorted({event.job_id for event in news}):
            if job_id in self._model.jobs:
                self._job(self._model.jobs[job_id])

    def _events(self) -> list[Said]:
        """What the step wrote down, in any order: one transaction has no order that was promised."""
        numbers = {of.seq: of.id for of in self._model.jobs.values()}
        found = self._bench.rows(
            "SELECT seq, at, kind, job_seq, task_id, attempt_id, node_id, data FROM events"  # noqa: S608 - a number
            f" WHERE seq > {self._last_event} ORDER BY seq"
        )
        news: list[Said] = []
        for seq, at, kind, number, task_id, attempt_id, node_id, data in found:
            self._last_event = seq
            assert at == self._model.now
            job_id = "" if number is None else numbers[number]
            text = as_text(msgspec.json.decode(data))
            news.append(Said(kind, job_id, task_id or "", attempt_id or "", node_id or "", text))
            self._history.setdefault(job_id, []).append(news[-1])
        said, wanted = Counter(news), Counter(self._model.history())
        assert said == wanted, f"only the store says {said - wanted}\nonly the model says {wanted - said}"
        return news

    def _jobs(self) -> None:
        page = self._run(self._store.list_jobs(interface.JobFilter(), before=None, limit=_MANY))
        expected = sorted(self._model.jobs.values(), key=lambda of: -of.seq)
        assert [seen.of_job(one) for one in page.jobs] == [seen.of_model_job(self._model, of) for of in expected]
        for one in page.jobs:
            assert self._updated.get(one.id, one.created_at) <= one.updated_at <= self._model.now
            self._updated[one.id] = one.updated_at
            assert self._ends.get(one.id, one.state) is one.state, "a job never leaves its end"
            if one.state in states.JOB_TERMINAL:
                self._ends[one.id] = one.state

    def _lines(self) -> None:
        model = self._model
        assert self._bench.rows(
            "SELECT class_id, sort_key, job_seq, position FROM ready ORDER BY sort_key, job_seq, position"
        ) == [(self.class_ids[task.class_key], task.sort_key, task.of.seq, task.position) for task in model.line()]
        assert self._bench.rows("SELECT run_at, job_seq, position FROM delayed ORDER BY 1, 2, 3") == sorted(
            (task.run_at, task.of.seq, task.position) for task in model.delayed()
        )
        assert self._bench.rows(
            "SELECT attempt_id, state, paused, expires_at, renewable_until FROM leases ORDER BY attempt_id"
        ) == sorted(
            (one.id, one.state.value, int(one.paused), one.expires_at, one.renewable_until)
            for one in model.attempts.values()
            if one.live
        )

    def _numbers(self) -> None:
        model = self._model
        assert self._run(self._store.counts()) == seen.counts(model)
        depths = self._run(self._store.depths())
        assert {(one.class_id, one.queue, one.state): one.count for one in depths} == seen.depths(model, self.class_ids)
        here = sorted((known for known in model.nodes.values() if not known.removed), key=lambda known: known.name)
        nodes = self._run(self._store.nodes())
        assert [seen.of_node(one) for one in nodes] == [seen.of_model_node(model, known) for known in here]

    def _job(self, of: Job) -> None:
        run, store = self._run, self._store
        assert seen.of_job(run(store.get_job(of.id))) == seen.of_model_job(self._model, of)
        assert [seen.of_task(one) for one in run(store.tasks(of.id))] == [seen.of_model_task(one) for one in of.tasks]
        attempts = sorted(of.attempts, key=lambda one: (one.assigned_at, one.number, one.id))
        found = [seen.of_attempt(one) for one in run(store.attempts(of.id))]
        assert found == [seen.of_model_attempt(one) for one in attempts]
        history = [_said(event) for event in run(store.events(after=0, limit=_MANY, job_id=of.id))]
        assert history == self._history[of.id]
        _gapless(of, history)

    def everything(self) -> None:
        """What is not looked at after each step."""
        run, store, model = self._run, self._store, self._model
        assert run(store.now_us()) == model.now
        for of in model.jobs.values():
            self._job(of)
            texts = {one.id: text for one, text in run(store.logs(of.id))}
            assert texts == {one.id: one.log for one in of.attempts if one.log is not None}
        for known in model.nodes.values():
            commands = {one.id: model.command(one) for one in model.held_by(known.id)}
            wanted = {one: kind for one, kind in commands.items() if kind is not CommandKind.OK}
            assert run(store.directives(known.id)) == wanted
            for upload_id in model.uploads:
                named = any(upload_id in one.task.of.uploads for one in model.held_by(known.id))
                assert run(store.upload_of_node(upload_id, known.id)) is named
        for upload in model.uploads.values():
            found = run(store.get_upload(upload.id))
            assert (found.complete, found.created_at) == (upload.complete, upload.created_at)
        orphans = run(store.orphans(created_before=model.now, limit=_MANY))
        assert sorted(orphans) == model.orphans(model.now)
        for key, class_id in self.class_ids.items():
            waiting = run(store.waiting([class_id], older_than_us=5_000_000, limit=_MANY))
            assert set(waiting) == model.waiting([key], 5_000_000)


def _said(event: Event) -> Said:
    return Said(
        event.kind.value,
        event.job_id or "",
        event.task_id or "",
        event.attempt_id or "",
        event.node_id or "",
        as_text(msgspec.json.decode(event.data)),
    )


def _gapless(of: Job, history: Sequence[Said]) -> None:
    """From queued to the state it is in, each step beginning where the one before ended."""
    at = states.JobState.QUEUED.value
    for event in history:
        if event.kind == "job.state":
            move = msgspec.json.decode(event.data)
            assert move["from"] == at
            at = move["to"]
    assert at == of.state.value
