"""A master, a network and an agent's shell in simulated time, around one real session core."""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ffrtmp.agent import messages as m
from ffrtmp.agent.moves import Config
from ffrtmp.agent.session import Session
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.domain.job import Grant, OutputFile, Result, TaskKind
from ffrtmp.domain.spec import Codec, Container, Input, InputKind, Rate, RateMode, Spec
from ffrtmp.protocol import agent

SPEC = Spec(
    input=Input(kind=InputKind.GENERATE),
    codec=Codec.H264,
    container=Container.MP4,
    rate=Rate(mode=RateMode.CRF, crf=23),
)


def grant(attempt_id: str) -> Grant:
    return Grant(
        attempt_id=attempt_id, task_id="t", job_id="j", sequence_number=1, kind=TaskKind.ENCODE, number=1, spec=SPEC
    )


@dataclass
class Attempt:
    lease_end: float
    incarnation: str
    state: str = "running"  # running, publishing, done, failed, canceled, returned, lost
    cancel: bool = False
    renamed: bool = False

    @property
    def live(self) -> bool:
        return self.state in ("running", "publishing")


def target_of(report: m.Report) -> str:
    """The state that it asks for."""
    if isinstance(report, agent.Fail) and report.failure.code is Code.CANCELED:
        return "canceled"
    targets = {"Complete": "done", "Fail": "failed", "GiveBack": "returned", "Publish": "publishing"}
    return targets[type(report).__name__]


@dataclass
class World:
    """`drop`, `twice`: chances that a request or an answer is lost, or that a request arrives two times."""

    seed: int
    slots: int = 2
    tasks: int = 8
    ttl: float = 10.0
    drop: float = 0.1
    twice: float = 0.05
    restarts: int = 1  # of the node under our name by somebody else (stale incarnation)
    horizon: float = 120.0
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now = 0.0
        self.session = Session(
            Config(slots=self.slots, poll_seconds=4.0, heartbeat_seconds=6.0), random.Random(self.seed)
        )
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.ids = itertools.count(1)
        self.attempts: dict[str, Attempt] = {}
        self.answers: dict[str, list[Grant]] = {}
        self.queue = self.tasks
        self.incarnation = ""
        self.running: dict[str, float] = {}
        self.granted: set[str] = set()  # seen by the session
        self.killed: set[str] = set()
        self.gone: set[str] = set()  # the session was told so
        self.lost: set[str] = set()  # the session gave it up
        self.finals: dict[str, set[str]] = {}
        self.aborted: set[str] = set()
        self.calls: dict[str, int] = {}
        self.exit: m.Exit | None = None
        self.quiet = False
        self.steps = 0

    # time

    def at(self, delay: float, do: Callable[[], None]) -> None:
        heapq.heappush(self.heap, (self.now + delay, next(self.ids), do))

    def run(self) -> None:
        for _ in range(self.restarts):
            self.at(self.rng.uniform(5, self.horizon), self.impostor)
        for _ in range(self.tasks // 2):
            self.at(self.rng.uniform(1, self.horizon), self.cancel_one)
        self.at(self.horizon, self.stop)
        self.feed(m.Tick())
        while self.exit is None:
            self.steps += 1
            assert self.steps < 50_000, "the session spins"
            due = self.session.deadline()
            if self.heap and (due is None or self.heap[0][0] <= due):
                self.now, _, do = heapq.heappop(self.heap)
                do()
            elif due is not None:
                self.now = max(self.now, due)
                self.feed(m.Tick())
            else:
                raise AssertionError("the session waits for nothing")
            self.check()

    def stop(self) -> None:
        self.quiet = True  # the network is whole again
        self.feed(m.StopRequested(5.0))

    def feed(self, event: m.Event) -> None:
        for effect in self.session.step(self.now, event):
            self.act(effect)

    # invariants

    def check(self) -> None:
        for attempt in self.attempts.values():
            if attempt.live and attempt.lease_end <= self.now:
                attempt.state = "lost"
        if len(self.running) > self.slots:
            self.violations.append(f"{len(self.running)} tasks run in {self.slots} slots")
        for attempt_id in self.running:
            attempt = self.attempts[attempt_id]
            if self.now > attempt.lease_end and attempt.incarnation == self.incarnation:
                self.violations.append(f"{attempt_id} runs at {self.now} past its lease's end {attempt.lease_end}")

    def finish(self) -> None:
        for attempt_id, attempt in self.attempts.items():
            if attempt_id in self.running:
                self.violations.append(f"{attempt_id} still runs")
            if attempt_id in self.granted - self.lost and attempt.live and self.now < attempt.lease_end:
                self.violations.append(f"{attempt_id} was neither reported nor lost: {attempt}")
            if attempt.renamed and attempt.state == "canceled":
                self.violations.append(f"{attempt_id} was published and canceled")
        for attempt_id, kinds in self.finals.items():
            if len(kinds) > 1:
                self.violations.append(f"{attempt_id} was reported as {kinds}")

    # the shell

    def act(self, effect: m.Effect) -> None:
        match effect:
            case m.StartTask(given):
                self.start(given.attempt_id)
            case m.KillTask(attempt_id, now):
                self.killed.add(attempt_id)
                self.at(self.rng.uniform(0, 0.3 if now else 2.0), lambda: self.end(attempt_id, m.TaskEnded(attempt_id)))
            case m.AllowPublish(attempt_id):
                self.at(self.rng.uniform(0, 1.0), lambda: self.rename(attempt_id))
            case m.SendRegister(incarnation):
                self.call("register", lambda: self.on_register(incarnation), m.CallFailed("register", m.Trouble.AWAY))
            case m.SendLease(_, request):
                self.aborted.discard(request.request_id)
                wait = self.rng.uniform(0, request.wait_seconds)
                self.call(
                    request.request_id,
                    lambda: self.on_lease(request, wait),
                    m.CallFailed("lease", m.Trouble.AWAY, request_id=request.request_id),
                    wait=wait,
                )
            case m.AbortLease(request_id):
                self.calls[request_id] = 0
            case m.SendBeat(number, _, beat, timeout):
                self.call(
                    f"beat {number}",
                    lambda: self.on_beat(number, beat),
                    m.CallFailed("beat", m.Trouble.AWAY, number=number),
                    timeout=timeout,
                )
            case m.SendReport(number, attempt_id, report):
                if attempt_id in self.gone | self.lost and target_of(report) not in ("returned", "canceled"):
                    self.violations.append(f"{attempt_id} was gone and is reported")
                if not isinstance(report, agent.Publish):
                    self.finals.setdefault(attempt_id, set()).add(type(report).__name__)
                self.call(
                    f"report {number}",
                    lambda: self.on_report(number, attempt_id, report),
                    m.CallFailed("report", m.Trouble.AWAY, attempt_id=attempt_id, number=number),
                )
            case m.Note(_, "attempt lost", detail):
                self.lost.add(detail["attempt"])
            case m.Exit():
                self.exit = effect

    def start(self, attempt_id: str) -> None:
        if attempt_id in self.granted:
            self.violations.append(f"{attempt_id} was started twice")
        self.granted.add(attempt_id)
        self.running[attempt_id] = self.now
        self.at(self.rng.uniform(0, 0.5), lambda: self.tell(attempt_id, m.TaskStarted(attempt_id)))
        length = self.rng.choice([0.5, 3.0, 20.0]) * self.rng.uniform(0.5, 2)
        if self.rng.random() < 0.2:
            failure = Failure(code=Code.ENGINE_FAILED, message="x")
            self.at(length, lambda: self.end(attempt_id, m.TaskEnded(attempt_id, failure=failure)))
        elif self.rng.random() < 0.5:
            self.at(
                length,
                lambda: self.tell(
                    attempt_id, m.PublishAsked(attempt_id, [OutputFile(name="a", size_bytes=1, sha256="")])
                ),
            )
        else:
            self.at(length, lambda: self.end(attempt_id, m.TaskEnded(attempt_id, result=Result())))

    def tell(self, attempt_id: str, event: m.Event) -> None:
        if attempt_id in self.running and attempt_id not in self.killed:
            self.feed(event)

    def rename(self, attempt_id: str) -> None:
        if attempt_id not in self.running:
            return
        if self.session.may_publish(attempt_id, self.now):
            attempt = self.attempts[attempt_id]
            if attempt.incarnation == self.incarnation and (
                attempt.state != "publishing" or self.now >= attempt.lease_end
            ):
                self.violations.append(f"{attempt_id} was renamed in state {attempt.state}")
            attempt.renamed = True
            self.end(attempt_id, m.TaskEnded(attempt_id, result=Result()))

    def end(self, attempt_id: str, event: m.TaskEnded) -> None:
        if attempt_id in self.running and (attempt_id not in self.killed or event.result is event.failure is None):
            del self.running[attempt_id]
            self.feed(event)

    # the network

    def call(
        self,
        name: str,
        handle: Callable[[], m.Event | None],
        failed: m.CallFailed,
        *,
        wait: float = 0.0,
        timeout: float = 5.0,
    ) -> None:
        self.calls[name] = mine = next(self.ids)

        def answer(event: m.Event | None) -> None:
            if self.calls.get(name) == mine and event is not None:
                self.calls[name] = 0
                if isinstance(event, m.CallFailed) and event.trouble is m.Trouble.CONFLICT:
                    self.finals.pop(event.attempt_id, None)
                if isinstance(event, m.BeatAcked):
                    told = [each for each in event.reply.directives if each.command is agent.CommandKind.GONE]
                    self.gone |= {each.attempt_id for each in told if each.attempt_id in self.running}
                self.feed(event)

        def arrive() -> None:
            event = handle()
            if self.chance(self.drop):
                return
            self.at(self.delay(), lambda: answer(event))

        self.at(wait + timeout, lambda: answer(failed))
        if not self.chance(self.drop):
            self.at(self.delay() + wait, arrive)
        if self.chance(self.twice):
            self.at(self.delay() + wait + self.rng.uniform(0, 3), lambda: (handle(), None)[1])

    def delay(self) -> float:
        if self.quiet:
            return self.rng.uniform(0, 0.01)
        return self.rng.choice([0.001, 0.05, 0.5, 3.0]) * self.rng.random()

    def chance(self, of: float) -> bool:
        return not self.quiet and self.rng.random() < of

    # the master

    def on_register(self, incarnation: str) -> m.Event:
        if incarnation != self.incarnation:
            self.give_back_all()
        self.incarnation = incarnation
        return m.Registered(agent.Registered(id="n1", name="n", heartbeat_interval_seconds=6, ttl_seconds=self.ttl))

    def on_lease(self, request: agent.LeaseRequest, held: float) -> m.Event:
        if request.incarnation != self.incarnation:
            return m.CallFailed("lease", m.Trouble.STALE, request_id=request.request_id)
        known = self.answers.get(request.request_id) if request.free_slots else []
        if not known:
            known = []
            for _ in range(min(request.free_slots, self.queue, self.rng.randint(0, 2))):
                self.queue -= 1
                attempt_id = f"a{next(self.ids)}"
                self.attempts[attempt_id] = Attempt(self.now + self.ttl, self.incarnation)
                known.append(grant(attempt_id))
            if known:
                self.answers[request.request_id] = known
        live = [each for each in known if self.attempts[each.attempt_id].state == "running"]
        directives = [
            agent.Directive(attempt_id=attempt_id, command=agent.CommandKind.CANCEL)
            for attempt_id in request.attempts
            if self.attempts[attempt_id].cancel and self.attempts[attempt_id].live
        ]
        reply = agent.LeaseReply(ttl_seconds=self.ttl, held_seconds=held, grants=live, directives=directives)
        return m.Leased(request.request_id, reply)

    def on_beat(self, number: int, beat: agent.Beat) -> m.Event:
        if beat.incarnation != self.incarnation:
            return m.CallFailed("beat", m.Trouble.STALE, number=number)
        directives = []
        for named in beat.attempts:
            attempt = self.attempts[named.attempt_id]
            command = agent.CommandKind.OK
            if not attempt.live or attempt.lease_end <= self.now:
                command = agent.CommandKind.GONE
            else:
                attempt.lease_end = self.now + self.ttl
                if attempt.cancel and attempt.state == "running":
                    command = agent.CommandKind.CANCEL
            directives.append(agent.Directive(attempt_id=named.attempt_id, command=command))
        return m.BeatAcked(number, agent.BeatReply(ttl_seconds=self.ttl, directives=directives))

    def on_report(self, number: int, attempt_id: str, report: m.Report) -> m.Event:
        attempt = self.attempts[attempt_id]
        refused = m.CallFailed("report", m.Trouble.CONFLICT, attempt_id=attempt_id, number=number)
        taken = m.ReportTaken(number, attempt_id)
        target = target_of(report)
        if attempt.state == target:
            return taken
        if not attempt.live or attempt.lease_end <= self.now or report.incarnation != self.incarnation:
            return refused
        if target in ("publishing", "done") and attempt.cancel and attempt.state == "running":
            return refused
        attempt.state = target
        if target == "returned":
            self.queue += 1
        return taken

    def cancel_one(self) -> None:
        able = [attempt for attempt in self.attempts.values() if attempt.state == "running"]
        if able:
            self.rng.choice(able).cancel = True

    def impostor(self) -> None:
        self.give_back_all()
        self.incarnation = "another"

    def give_back_all(self) -> None:
        for attempt in self.attempts.values():
            if attempt.live:
                attempt.state = "lost"
