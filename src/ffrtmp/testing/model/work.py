"""The model: nodes, leases, what agents report, and the sweeps."""

from collections.abc import Sequence

from ffrtmp.domain import errors, job, node, spec
from ffrtmp.domain.errors import Code, Failure, FailureClass
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import AttemptState, JobState, TaskState
from ffrtmp.protocol.agent import AttemptBeat, CommandKind
from ffrtmp.store import interface
from ffrtmp.testing.model.queue import Queue
from ffrtmp.testing.model.records import Attempt, Job, Node, Task, said

_SECOND_US = 1_000_000
_HOUR_US = 3600 * _SECOND_US
_TOUCH_US = 5 * _SECOND_US
_POISON_CRASHES = 3
_EXCUSED_ATTEMPTS = 20
_NOT_ASKED_US = 2 * _HOUR_US
_ASKED_US = 180 * _SECOND_US
_ASKED_TOUCH_US = 15 * _SECOND_US
_A = AttemptState


class Model(Queue):
    def __init__(self, now: int) -> None:
        super().__init__(now)
        self.requests: dict[tuple[str, str], tuple[int, list[str]]] = {}  #: (node, request) → when, attempts given

    # nodes

    def named_node(self, ref: str) -> Node:
        for known in self.nodes.values():
            if not known.removed and ref in (known.id, known.name):
                return known
        raise errors.NotFound

    def held_by(self, node_id: str) -> list[Attempt]:
        return [attempt for attempt in self.attempts.values() if attempt.live and attempt.node_id == node_id]

    def register(self, new: interface.NewNode) -> tuple[Node, bool, set[str]]:
        """The node, whether it is new, and the jobs that were taken back from the agent's predecessor."""
        try:
            known, created = self.named_node(new.name), False
        except errors.NotFound:
            known, created = self._new_node(new), True
        if known.origin not in ("", new.origin) and not self._free(known):
            raise errors.Conflict(code="name_taken")
        if new.origin and new.origin == known.origin and new.began_us < known.began_us:
            raise errors.Conflict(code="superseded", state=str(known.began_us))
        known.origin, known.began_us = new.origin, new.began_us
        taken = self.held_by(known.id) if known.incarnation != new.incarnation else []
        for of in sorted({attempt.task.of.seq: attempt.task.of for attempt in taken}.items()):
            for attempt in of[1].live:
                if attempt in taken:
                    self._lose(attempt, Code.NODE_LOST, back_off=False)
        known.incarnation, known.slots, known.ttl_us = new.incarnation, new.slots, new.ttl_us
        known.heartbeat_interval_us, known.last_heartbeat = new.heartbeat_interval_us, self.now
        known.stopping = known.silent = False
        self.say(said(EventKind.NODE_REGISTERED, {"name": known.name, "new": created}, node_id=known.id))
        return known, created, {attempt.task.of.id for attempt in taken}

    def _free(self, known: Node) -> bool:
        """Whether another agent may have its name: this one stops or is lost, and nothing of it can run any more."""
        gone = known.stopping or known.last_heartbeat + 3 * known.heartbeat_interval_us < self.now
        return gone and all(attempt.expires_at < self.now for attempt in self.held_by(known.id))

    def _new_node(self, new: interface.NewNode) -> Node:
        made = self.nodes[new.id] = Node(
            id=new.id,
            name=new.name,
            incarnation=new.incarnation,
            origin=new.origin,
            began_us=new.began_us,
            slots=new.slots,
            ttl_us=new.ttl_us,
            heartbeat_interval_us=new.heartbeat_interval_us,
            last_heartbeat=self.now,
        )
        return made

    def drain(self, ref: str, *, on: bool) -> Node:
        known = self.named_node(ref)
        if known.draining is not on:
            known.draining = on
            self.say(said(EventKind.NODE_DRAIN, {"on": on}, node_id=known.id))
        return known

    def remove_node(self, ref: str) -> None:
        known = self.named_node(ref)
        if self.held_by(known.id):
            raise errors.Conflict(state="busy")
        if (status := self.status(known)) is not node.NodeStatus.OFFLINE and not known.stopping:
            raise errors.Conflict(state=status.value)
        known.removed = True
        self.say(said(EventKind.NODE_REMOVED, {"name": known.name}, node_id=known.id))

    def status(self, known: Node) -> node.NodeStatus:
        if known.last_heartbeat + 3 * known.heartbeat_interval_us < self.now:
            return node.NodeStatus.OFFLINE
        if known.draining or known.stopping:
            return node.NodeStatus.DRAINING
        return node.NodeStatus.BUSY if len(self.held_by(known.id)) >= known.slots else node.NodeStatus.AVAILABLE

    # the protocol

    def _asking(self, node_id: str) -> Node:
        known = self.nodes.get(node_id)
        if known is None or known.removed:
            raise errors.NotFound
        return known

    def lease(self, call: interface.LeaseCall, class_keys: Sequence[str]) -> list[Attempt]:
        known = self._asking(call.node_id)
        if known.incarnation != call.incarnation:
            raise errors.Conflict(code="stale_incarnation")
        if (call.node_id, call.request_id) in self.requests:
            _, before = self.requests[call.node_id, call.request_id]
            if not before and not call.last:
                raise errors.Conflict(code=interface.REQUEST_OVER)
            return [self.attempts[one] for one in before if one in self.attempts and self.attempts[one].live]
        if known.silent or known.last_heartbeat < self.now - _TOUCH_US:
            known.silent, known.last_heartbeat = False, self.now
        mine = [task for task in self.line() if task.class_key in class_keys][: call.slots]
        mine = [] if known.draining or known.stopping else mine
        given = [self._assign(task, known, one) for task, one in zip(mine, call.attempt_ids, strict=False)]
        if given or call.last:
            self.requests[call.node_id, call.request_id] = (self.now, [attempt.id for attempt in given])
        return given

    def _assign(self, task: Task, known: Node, attempt_id: str) -> Attempt:
        made = self.attempts[attempt_id] = Attempt(
            id=attempt_id,
            task=task,
            node_id=known.id,
            incarnation=known.incarnation,
            number=len(task.attempts) + 1,
            assigned_at=self.now,
            expires_at=self.now + known.ttl_us,
            renewable_until=None if known.incarnation else self.now + _NOT_ASKED_US,
        )
        task.attempts.append(made)
        task.state = TaskState.ASSIGNED
        task.of.node_id = known.id
        self._say_of(made, EventKind.ATTEMPT_ASSIGNED, {"number": made.number})
        self.settle(task.of)
        return made

    def _say_of(self, attempt: Attempt, kind: EventKind, data: dict[str, object] | None = None) -> None:
        task = attempt.task
        self.say(
            said(
                kind,
                data,
                job_id=task.of.id,
                task_id=task.id,
                attempt_id=attempt.id,
                node_id=attempt.node_id,
            )
        )

    def published_before(self, attempt: Attempt) -> list[job.OutputFile]:
        return [
            output
            for other in attempt.task.attempts
            if other is not attempt and other.outputs is not None
            for output in other.outputs
        ]

    def beat(self, call: interface.BeatCall) -> tuple[dict[str, CommandKind], bool]:
        known = self._asking(call.node_id)
        if known.incarnation != call.incarnation:
            return {one.attempt_id: CommandKind.GONE for one in call.attempts}, False
        known.last_heartbeat, known.silent = self.now, False
        if call.drain is not None and known.stopping is not call.drain:
            known.stopping = call.drain
            self.say(said(EventKind.NODE_DRAIN, {"on": call.drain, "by": "agent"}, node_id=known.id))
        named = {one.attempt_id: one for one in call.attempts}
        if call.all_attempts:
            for attempt in self.held_by(known.id):
                if attempt.renewable_until is not None and attempt.renewable_until < self.now:
                    continue
                silent = AttemptBeat(attempt_id=attempt.id, started=True, paused=attempt.paused)
                named.setdefault(attempt.id, silent)
        commands = {one.attempt_id: self._renew(one, known) for one in named.values()}
        return commands, known.draining or known.stopping

    def asked_about(self, job_id: str) -> None:
        for attempt in self.jobs[job_id].live if job_id in self.jobs else ():
            until = self.now + _ASKED_US
            if attempt.renewable_until is not None and abs(until - attempt.renewable_until) >= _ASKED_TOUCH_US:
                attempt.renewable_until = until

    def _renew(self, heard: AttemptBeat, known: Node) -> CommandKind:
        attempt = self.attempts.get(heard.attempt_id)
        if attempt is None or not self._holds(attempt, known.id, known.incarnation):
            return CommandKind.GONE
        attempt.expires_at, attempt.paused = max(attempt.expires_at, self.now + known.ttl_us), heard.paused
        attempt.progress = heard.progress or attempt.progress
        if heard.started and attempt.state is _A.ASSIGNED:
            of = attempt.task.of
            attempt.state, attempt.started_at = _A.RUNNING, self.now
            of.started_at = of.started_at or self.now
            if attempt.task.state is TaskState.ASSIGNED:
                attempt.task.state = TaskState.RUNNING
            self._say_of(attempt, EventKind.ATTEMPT_STARTED)
            self.settle(of)
        return self.command(attempt)

    def _holds(self, attempt: Attempt, node_id: str, incarnation: str) -> bool:
        return attempt.live and (attempt.node_id, attempt.incarnation) == (node_id, incarnation)

    def command(self, attempt: Attempt) -> CommandKind:
        of = attempt.task.of
        if of.over or of.cancel_requested:
            return CommandKind.CANCEL
        if of.paused is attempt.paused or attempt.state is _A.PUBLISHING:
            return CommandKind.OK
        return CommandKind.PAUSE if of.paused else CommandKind.RESUME

    # reports

    def _reported(self, attempt_id: str, node_id: str, incarnation: str, *replays: AttemptState) -> Attempt | None:
        """The attempt, if it is that node's and live; None: this report was taken before."""
        attempt = self.attempts.get(attempt_id)
        if attempt is None:
            raise errors.NotFound
        if self._holds(attempt, node_id, incarnation):
            return attempt
        mine = (attempt.node_id, attempt.incarnation) == (node_id, incarnation)
        if mine and attempt.state in replays:
            return None
        code = "canceled" if mine and attempt.state is _A.CANCELED else "stale_attempt"
        raise errors.Conflict(state=attempt.state.value, code=code)

    def _end(
        self, attempt: Attempt, state: AttemptState, failure: Code | None = None, result: job.Result | None = None
    ) -> None:
        attempt.state, attempt.finished_at, attempt.failure, attempt.result = state, self.now, failure, result
        data: dict[str, object] = {"number": attempt.number, "state": state.value}
        if failure is not None:
            data["code"] = failure.value
            if failure is not Code.CANCELED:
                self.tally.failures[failure] += 1
        self._say_of(attempt, EventKind.ATTEMPT_ENDED, data)

    def publish(self, attempt_id: str, node_id: str, incarnation: str, outputs: list[job.OutputFile]) -> Attempt | None:
        attempt = self._reported(attempt_id, node_id, incarnation)
        if attempt is None or attempt.state is _A.PUBLISHING:
            return None
        of = attempt.task.of
        if of.over or of.cancel_requested:
            raise errors.Conflict(state=attempt.state.value, code="canceled")
        attempt.state, attempt.outputs = _A.PUBLISHING, outputs
        attempt.started_at = attempt.started_at or self.now
        self._say_of(attempt, EventKind.ATTEMPT_PUBLISHING)
        return attempt

    def complete(self, attempt_id: str, node_id: str, incarnation: str, result: job.Result) -> Attempt | None:
        attempt = self._reported(attempt_id, node_id, incarnation, _A.DONE)
        if attempt is None:
            return None
        task, of = attempt.task, attempt.task.of
        if of.over or (of.cancel_requested and attempt.state is not _A.PUBLISHING):
            raise errors.Conflict(state=attempt.state.value, code="canceled")
        uploads = {output.upload_id for output in result.outputs if output.upload_id}
        if any(one not in self.uploads or not self.uploads[one].complete for one in uploads):
            raise errors.InvalidInput(faults=[errors.Fault("result.outputs", "")])
        of.uploads |= uploads
        self._end(attempt, _A.DONE, result=result)
        of.started_at = of.started_at or self.now
        task.state = TaskState.DONE
        for other in of.tasks:
            if task.position in other.waits_for:
                other.waits_for.discard(task.position)
                if not other.waits_for and other.state is TaskState.BLOCKED:
                    self.make_ready(other)
        self.settle(of)
        if of.state is JobState.COMPLETED:
            of.result = result
            # what ran it, else what was asked for, else the default: never AUTO
            asked = spec.Engine.FFMPEG if of.new.engine is spec.Engine.AUTO else of.new.engine
            self.tally.engines[asked if result.engine in (None, spec.Engine.AUTO) else result.engine] += 1
        return attempt

    def fail(
        self, attempt_id: str, node_id: str, incarnation: str, failure: Failure, result: job.Result | None
    ) -> Attempt | None:
        attempt = self._reported(attempt_id, node_id, incarnation, _A.FAILED, _A.TIMED_OUT, _A.CANCELED)
        if attempt is None:
            return None
        task, of = attempt.task, attempt.task.of
        publishing = attempt.state is _A.PUBLISHING
        if failure.code is Code.CANCELED or of.cancel_requested or of.over:
            self._end(attempt, _A.FAILED if publishing else _A.CANCELED, failure.code, result)
            self._cancel(task)
            return attempt
        late = failure.code is Code.TIMED_OUT and not publishing
        self._end(attempt, _A.TIMED_OUT if late else _A.FAILED, failure.code, result)
        crashed = failure.failure_class is FailureClass.CRASH
        self._try_again(task, failure, crashed=crashed, back_off=True)
        if of.over:
            of.result = result
        return attempt

    def _cancel(self, task: Task) -> None:
        if not task.over:
            task.state = TaskState.CANCELED
        self.settle(task.of)

    def _try_again(self, task: Task, failure: Failure, *, crashed: bool, back_off: bool) -> None:
        """Or not: G7, and the retries that the job has. The benches draw the longest back-off there can be."""
        of = task.of
        task.crashes += crashed
        task.failures += not crashed
        tries = task.crashes + task.failures
        retriable = failure.retriable
        if retriable is None:
            retriable = failure.failure_class is not FailureClass.PERMANENT
        if task.crashes >= _POISON_CRASHES or not retriable or tries > of.new.max_retries:
            of.failure = Code.POISON if task.crashes >= _POISON_CRASHES else failure.code
            task.state = TaskState.TIMED_OUT if of.failure is Code.TIMED_OUT else TaskState.FAILED
            self.settle(of)
            return
        of.retries += 1
        self.tally.retries += 1
        if back_off:
            task.state = TaskState.RETRYING
            task.run_at = self.now + min(300, 2**tries) * _SECOND_US
            data = {"retry": of.retries, "run_at": task.run_at}
            self.say(said(EventKind.TASK_RETRY, data, job_id=of.id, task_id=task.id))
        else:
            self.make_ready(task, keep_place=True)
        self.settle(of)

    def _lose(self, attempt: Attempt, code: Code, *, back_off: bool) -> None:
        self._end(attempt, _A.LOST, code)
        if attempt.task.of.cancel_requested or attempt.task.of.over:
            self._cancel(attempt.task)
        else:
            self._try_again(attempt.task, Failure(code=code, message=""), crashed=True, back_off=back_off)

    def give_back(self, attempt_id: str, node_id: str, incarnation: str, *, fenced: bool) -> Attempt | None:
        attempt = self._reported(attempt_id, node_id, incarnation, _A.RETURNED, _A.LOST)
        if attempt is None:
            self._excuse(self.attempts[attempt_id])
            return None
        if fenced and attempt.number >= _EXCUSED_ATTEMPTS:
            self._lose(attempt, Code.LEASE_EXPIRED, back_off=True)
            return attempt
        if attempt.state is _A.PUBLISHING and not fenced:
            raise errors.Conflict(state=attempt.state.value, code="publishing")
        self._end(attempt, _A.RETURNED)
        if attempt.task.of.cancel_requested or attempt.task.of.over:
            self._cancel(attempt.task)
        else:
            self.make_ready(attempt.task, keep_place=True)
            self.settle(attempt.task.of)
        return attempt

    def _excuse(self, attempt: Attempt) -> None:
        task = attempt.task
        if attempt.state is not _A.LOST or attempt.excused or task.over or len(task.attempts) >= _EXCUSED_ATTEMPTS:
            return
        attempt.excused = True
        task.crashes -= 1
        task.of.retries -= 1
        self._say_of(attempt, EventKind.ATTEMPT_EXCUSED)
        if task.state is TaskState.RETRYING:
            self.make_ready(task, keep_place=True)
        self.settle(task.of)

    def put_log(self, attempt_id: str, node_id: str, text: str) -> None:
        attempt = self.attempts.get(attempt_id)
        if attempt is None:
            raise errors.NotFound
        if attempt.node_id != node_id:
            raise errors.Conflict(state=attempt.state.value, code="stale_attempt")
        attempt.log = text

    def attempt_of(self, job_id: str, node_id: str) -> str:
        of = self.jobs.get(job_id)
        if of is None:
            raise errors.NotFound
        mine = [attempt for attempt in of.live if attempt.node_id == node_id]
        if not mine:
            raise errors.Conflict(state=of.state.value, code="stale_attempt")
        return max(mine, key=lambda attempt: attempt.number).id

    # sweeps

    def rescue(self) -> tuple[set[str], int]:
        """The attempts that were lost, and how long the oldest of them had been expired."""
        for known in self.nodes.values():
            if not known.removed and not known.silent and self.status(known) is node.NodeStatus.OFFLINE:
                known.silent = True
                self.say(said(EventKind.NODE_LOST, node_id=known.id))
        expired = {of.id: self._expired(of) for of in list(self.jobs.values())}
        lost = [attempt for those in expired.values() for attempt in those]
        for attempt in lost:
            self.tally.lease_expiries += 1
            self._lose(attempt, Code.LEASE_EXPIRED, back_off=True)
        oldest = max((self.now - attempt.expires_at for attempt in lost), default=0)
        return {attempt.id for attempt in lost}, oldest

    def _expired(self, of: Job) -> list[Attempt]:
        return [attempt for attempt in of.live if attempt.expires_at < self.now]

    def promote(self) -> tuple[int, set[str], int | None]:
        """How many are queued again, of which classes, and µs until the next."""
        due = [task for task in self.delayed() if task.run_at is not None and task.run_at <= self.now]
        for task in due:
            self.make_ready(task)
            self.settle(task.of)
        later = [task.run_at - self.now for task in self.delayed() if task.run_at is not None]
        return len(due), {task.class_key for task in due}, min(later, default=None)

    def forget_requests(self) -> None:
        """A lease request is not repeated after an hour."""
        self.requests = {key: made for key, made in self.requests.items() if made[0] >= self.now - _HOUR_US}

    def waiting(self, class_keys: Sequence[str], older_than_us: int) -> set[str]:
        until = self.now - older_than_us
        return {task.of.id for task in self.line() if task.class_key in class_keys and task.ready_at <= until}
