"""The model: how jobs come, go on and end, and what people do to them."""

from collections.abc import Sequence

from ffrtmp.domain import errors, job, states
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import AttemptState, JobState, TaskState
from ffrtmp.testing.model.records import Attempt, Job, Node, Said, Tally, Task, Upload, said

_DAY_US = 24 * 3600 * 1_000_000


class Queue:
    """Every function answers as a store must, or raises the error that a store must raise (its message apart)."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.jobs: dict[str, Job] = {}
        self.nodes: dict[str, Node] = {}
        self.attempts: dict[str, Attempt] = {}
        self.keys: dict[str, tuple[str, Job]] = {}  #: idempotency key → (hash of its body, its job)
        self.uploads: dict[str, Upload] = {}
        self.tally = Tally()
        self._said: list[Said] = []

    # what any part of the model does

    def say(self, event: Said) -> None:
        self._said.append(event)

    def history(self) -> list[Said]:
        """The events of the last step. A job that is in another state than before says so, once."""
        for of in self.jobs.values():
            if of.state is not of.told:
                self.say(
                    said(
                        EventKind.JOB_STATE,
                        {"from": of.told.value, "to": of.state.value},
                        job_id=of.id,
                        node_id=of.node_id or "",
                    )
                )
                of.told = of.state
        events, self._said = self._said, []
        return events

    def settle(self, of: Job) -> None:
        """An end of one task that is not success ends its job, and the other tasks with it."""
        if of.over:
            return
        of.state = states.job_state((task.state for task in of.tasks), paused=of.paused)
        if of.over:
            of.finished_at = self.now
            for task in of.tasks:
                if not task.over:
                    task.state = TaskState.CANCELED

    def make_ready(self, task: Task, *, keep_place: bool = False) -> None:
        task.state, task.run_at = TaskState.QUEUED, None
        if not keep_place:
            task.ready_at, task.sort_key = self.now, self.now - task.of.new.head_start_us
        self.say(said(EventKind.TASK_READY, job_id=task.of.id, task_id=task.id))

    def line(self) -> list[Task]:
        """Who goes first: by sort key, then by number."""
        ready = [
            task for of in self.jobs.values() if not of.held for task in of.tasks if task.state is TaskState.QUEUED
        ]
        return sorted(ready, key=lambda task: (task.sort_key, task.of.seq, task.position))

    def delayed(self) -> list[Task]:
        return [
            task for of in self.jobs.values() if not of.held for task in of.tasks if task.state is TaskState.RETRYING
        ]

    def find(self, ref: str) -> Job:
        """By id or number."""
        for of in self.jobs.values():
            if ref in (of.id, str(of.seq)):
                return of
        raise errors.NotFound

    # submitting

    def refusal(self, new: job.NewJob, upload_id: str | None) -> errors.FfrtmpError | None:
        if new.idempotency_key in self.keys:
            same = self.keys[new.idempotency_key][0] == new.body_sha256
            return None if same else errors.IdempotencyMismatch()
        upload = self.uploads.get(upload_id or "")
        if upload_id is not None and (upload is None or not upload.complete):
            return errors.InvalidInput(faults=[errors.Fault("parameters.input", "")])
        return None

    def submit(self, new: job.NewJob, upload_id: str | None, seq: int) -> tuple[Job, bool]:
        """The job and whether it is new. `seq` is the number the store gave it."""
        refused = self.refusal(new, upload_id)
        if refused is not None:
            raise refused
        if new.idempotency_key in self.keys:
            return self.keys[new.idempotency_key][1], False
        of = self.jobs[new.id] = Job(new=new, seq=seq, created_at=self.now, uploads={upload_id} if upload_id else set())
        for position, task in enumerate(new.tasks):
            of.tasks.append(
                Task(
                    id=task.id,
                    of=of,
                    position=position,
                    class_key=task.requires_key,
                    waits_for=set(task.depends_on),
                    state=TaskState.BLOCKED if task.depends_on else TaskState.QUEUED,
                    ready_at=self.now,
                    sort_key=self.now - new.head_start_us,
                )
            )
        if new.idempotency_key is not None:
            self.keys[new.idempotency_key] = (new.body_sha256, of)
        self.say(said(EventKind.JOB_SUBMITTED, {"to": "queued"}, job_id=of.id))
        return of, True

    def batch_refusal(self, batch: Sequence[tuple[job.NewJob, str | None]]) -> errors.FfrtmpError | None:
        """Why not all of them can be taken: two bodies under one key, before faults."""
        bodies = {key: body for key, (body, _) in self.keys.items()}
        faults: list[errors.Fault] = []
        for index, (new, upload_id) in enumerate(batch):
            key = new.idempotency_key
            if key is not None and bodies.setdefault(key, new.body_sha256) != new.body_sha256:
                return errors.IdempotencyMismatch()
            refused = self.refusal(new, upload_id)
            if isinstance(refused, errors.InvalidInput):
                faults += [errors.Fault(f"jobs.{index}.{fault.path}", fault.message) for fault in refused.faults]
        return errors.InvalidInput(faults=faults) if faults else None

    # what people do

    def cancel(self, ref: str) -> Job:
        of = self.find(ref)
        if of.state is JobState.CANCELED:
            return of
        if of.over:
            raise errors.Conflict(state=of.state.value)
        if any(attempt.state is AttemptState.PUBLISHING for attempt in of.live):
            raise errors.Conflict(state=of.state.value, code="publishing")
        if not of.cancel_requested:
            of.cancel_requested = True
            self.say(said(EventKind.JOB_CANCEL_REQUESTED, job_id=of.id))
            if not of.live:
                self._end_all(of, TaskState.CANCELED)
        return of

    def _end_all(self, of: Job, state: TaskState) -> None:
        for task in of.tasks:
            if not task.over:
                task.state = state
        self.settle(of)

    def pause(self, ref: str, *, on: bool) -> Job:
        of = self.find(ref)
        if of.over:
            raise errors.Conflict(state=of.state.value)
        if of.cancel_requested:
            raise errors.Conflict(state=of.state.value, code="canceled")
        if of.paused is not on:
            of.paused = on
            kind = EventKind.JOB_PAUSE_REQUESTED if on else EventKind.JOB_RESUME_REQUESTED
            self.say(said(kind, job_id=of.id))
            self.settle(of)
        return of

    def reject(self, job_ids: Sequence[str]) -> list[str]:
        rejected = []
        for job_id in job_ids:
            of = self.jobs.get(job_id)
            if of is None or of.held or of.live or not any(task.state is TaskState.QUEUED for task in of.tasks):
                continue
            of.failure = Code.UNSATISFIABLE
            self._end_all(of, TaskState.REJECTED)
            rejected.append(of.id)
        return rejected

    # retention and uploads

    def expire(self, finished_before: int) -> tuple[int, list[str]]:
        """How many jobs went, and which uploads with them."""
        old = [
            of
            for of in self.jobs.values()
            if of.finished_at is not None
            and of.finished_at < finished_before
            and not of.live
            # G6: a key is known for a day, whatever the retention
            and (of.new.idempotency_key is None or of.created_at < self.now - _DAY_US)
        ]
        for of in old:
            del self.jobs[of.id]
            for attempt in of.attempts:
                del self.attempts[attempt.id]
        self.keys = {key: known for key, known in self.keys.items() if known[1].id in self.jobs}
        named = sorted({upload_id for of in old for upload_id in of.uploads})
        return len(old), self.remove_uploads(named)

    def named(self, upload_id: str) -> bool:
        return any(upload_id in of.uploads for of in self.jobs.values())

    def remove_uploads(self, upload_ids: Sequence[str]) -> list[str]:
        gone = sorted({one for one in upload_ids if one in self.uploads and not self.named(one)})
        for upload_id in gone:
            del self.uploads[upload_id]
        return gone

    def create_upload(self, upload_id: str) -> Upload:
        return self.uploads.setdefault(upload_id, Upload(id=upload_id, created_at=self.now))

    def finish_upload(self, upload_id: str) -> Upload:
        upload = self.upload(upload_id)
        upload.complete = True
        return upload

    def upload(self, upload_id: str) -> Upload:
        if upload_id not in self.uploads:
            raise errors.NotFound
        return self.uploads[upload_id]

    def orphans(self, created_before: int) -> list[str]:
        return sorted(
            one.id for one in self.uploads.values() if one.created_at < created_before and not self.named(one.id)
        )
