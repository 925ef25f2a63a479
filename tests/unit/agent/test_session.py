"""The session core, one rule at a time."""

import itertools
import random
from typing import TypeVar

import pytest
from tests.unit.agent.simulated import grant

from ffrtmp.agent import messages as m
from ffrtmp.agent.moves import Config
from ffrtmp.agent.session import Session
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.domain.job import OutputFile, Progress, Result
from ffrtmp.protocol import agent

E = TypeVar("E")
TTL = 30.0
CANCEL, PAUSE, RESUME, GONE, OK = (agent.CommandKind(name) for name in ("cancel", "pause", "resume", "gone", "ok"))
FILE = OutputFile(name="out.mp4", size_bytes=1, sha256="00")


class Driver:
    """Feeds a session and remembers what it sent."""

    def __init__(self, slots: int = 2) -> None:
        self.session = Session(Config(slots=slots), random.Random(7))
        self.now = 0.0
        self.sent: list[m.Effect] = []

    def feed(self, event: m.Event, *, at: float | None = None) -> list[m.Effect]:
        self.now = self.now if at is None else at
        effects = [effect for effect in self.session.step(self.now, event) if not isinstance(effect, m.Note)]
        self.sent += effects
        return effects

    def last(self, kind: type[E]) -> E:
        return [effect for effect in self.sent if isinstance(effect, kind)][-1]

    def ticks(self, until: float) -> list[tuple[float, m.Effect]]:
        """Let time pass; what was sent, and when."""
        found: list[tuple[float, m.Effect]] = []
        while (due := self.session.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            found += [(self.now, effect) for effect in self.feed(m.Tick())]
        self.now = until
        return found

    def register(self) -> None:
        self.feed(m.Tick())
        reply = agent.Registered(id="n1", name="n", heartbeat_interval_seconds=30, ttl_seconds=TTL)
        self.feed(m.Registered(reply))

    def lease(self, *ids: str, held: float = 0.0, at: float | None = None, **more: object) -> list[m.Effect]:
        asked = self.last(m.SendLease).request
        grants = [grant(each) for each in ids]
        reply = agent.LeaseReply(ttl_seconds=TTL, held_seconds=held, grants=grants, **more)  # type: ignore[arg-type]
        return self.feed(m.Leased(asked.request_id, reply), at=at)

    def answer_beat(
        self, *directives: tuple[str, agent.CommandKind], follow: float = 0.0, **more: object
    ) -> list[m.Effect]:
        told = [agent.Directive(attempt_id=one, command=kind, follow_seconds=follow) for one, kind in directives]
        reply = agent.BeatReply(ttl_seconds=TTL, directives=told, **more)  # type: ignore[arg-type]
        return self.feed(m.BeatAcked(self.last(m.SendBeat).number, reply))

    def taken(self) -> list[m.Effect]:
        sent = self.last(m.SendReport)
        return self.feed(m.ReportTaken(sent.number, sent.attempt_id))

    def refused(self, trouble: m.Trouble = m.Trouble.CONFLICT, retry_after: float | None = None) -> list[m.Effect]:
        sent = self.last(m.SendReport)
        return self.feed(
            m.CallFailed("report", trouble, attempt_id=sent.attempt_id, number=sent.number, retry_after=retry_after)
        )


@pytest.fixture
def driver() -> Driver:
    made = Driver()
    made.register()
    return made


def of(effects: list[m.Effect], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def test_it_registers_then_polls_at_once() -> None:
    driver = Driver()
    assert isinstance(driver.feed(m.Tick())[0], m.SendRegister)
    driver.register()
    request = driver.last(m.SendLease).request
    assert request.free_slots == 2
    assert request.incarnation == driver.session.incarnation


def test_a_grant_starts_at_once_and_a_poll_stays_open(driver: Driver) -> None:
    effects = driver.lease("a1")
    assert of(effects, m.StartTask)[0].grant.attempt_id == "a1"
    request = of(effects, m.SendLease)[0].request
    assert request.free_slots == 1
    assert request.attempts == ["a1"]


def test_the_fence_counts_from_the_request_that_renewed(driver: Driver) -> None:
    driver.lease("a1", held=4.0, at=9.0)  # asked at 0; the answer was 5 s on its way
    killed = [(at, effect) for at, effect in driver.ticks(100.0) if isinstance(effect, m.KillTask)]
    assert killed == [(pytest.approx(4.0 + TTL * 0.9), m.KillTask("a1", True))]
    assert not of(driver.sent, m.SendReport)
    [back] = of(driver.feed(m.TaskEnded("a1")), m.SendReport)  # when nothing of it is left
    assert isinstance(back.report, agent.GiveBack)
    assert back.report.fenced


def test_a_beat_moves_the_fence_from_when_it_was_sent(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.TaskStarted("a1"), at=5.0)
    driver.now = 12.0
    driver.answer_beat(("a1", OK))
    driver.session.step(12.0, m.Tick())
    killed = [at for at, effect in driver.ticks(100.0) if isinstance(effect, m.KillTask)]
    assert killed == [pytest.approx(5.0 + TTL * 0.9)]


def test_beats_come_every_third_of_the_lease_and_not_all_at_once(driver: Driver) -> None:
    driver.lease("a1")
    at = [0.0]
    for _ in range(20):
        [(due, _)] = [one for one in driver.ticks(at[-1] + TTL / 2) if isinstance(one[1], m.SendBeat)]
        driver.now = due
        driver.answer_beat(("a1", OK))
        at.append(due)
    pauses = [later - before for before, later in itertools.pairwise(at)][1:]
    assert all(TTL / 3 * 0.8 <= pause <= TTL / 3 * 1.2 for pause in pauses)
    assert len(set(pauses)) == len(pauses)


def test_a_start_is_told_at_once(driver: Driver) -> None:
    driver.lease("a1")
    beat = of(driver.feed(m.TaskStarted("a1")), m.SendBeat)[0].beat
    assert [(one.attempt_id, one.started) for one in beat.attempts] == [("a1", True)]


def test_a_full_agent_keeps_a_poll_for_commands(driver: Driver) -> None:
    effects = driver.lease("a1", "a2")
    assert of(effects, m.SendLease)[0].request.free_slots == 0
    effects = driver.feed(m.TaskEnded("a1", result=Result()))
    assert [type(effect) for effect in effects] == [m.SendReport, m.AbortLease, m.SendLease]
    assert of(effects, m.SendLease)[0].request.free_slots == 1


def test_more_than_fits_is_given_back(driver: Driver) -> None:
    effects = driver.lease("a1", "a2", "a3")
    assert len(of(effects, m.StartTask)) == 2
    assert [(one.attempt_id, type(one.report)) for one in of(effects, m.SendReport)] == [("a3", agent.GiveBack)]


def test_a_lost_answer_is_asked_again_and_confirmed_before_it_runs(driver: Driver) -> None:
    first = driver.last(m.SendLease).request
    driver.feed(m.CallFailed("lease", m.Trouble.AWAY, request_id=first.request_id))
    driver.ticks(1.0)
    again = driver.last(m.SendLease).request
    assert again.request_id == first.request_id
    assert (first.again, again.again) == (False, True)
    effects = driver.lease("a1")
    assert not of(effects, m.StartTask)
    assert of(effects, m.SendBeat)
    assert of(driver.answer_beat(("a1", OK)), m.StartTask)


def test_an_unconfirmed_grant_that_is_gone_never_runs(driver: Driver) -> None:
    first = driver.last(m.SendLease).request
    driver.feed(m.CallFailed("lease", m.Trouble.AWAY, request_id=first.request_id))
    driver.ticks(1.0)
    driver.lease("a1")
    assert not of(driver.answer_beat(("a1", GONE)), m.StartTask)
    assert driver.session.active == 0


def test_cancel_kills_then_reports(driver: Driver) -> None:
    driver.lease("a1")
    effects = driver.lease(directives=[agent.Directive(attempt_id="a1", command=CANCEL)])
    assert of(effects, m.KillTask) == [m.KillTask("a1", False)]
    assert not of(effects, m.SendReport)
    assert driver.last(m.SendLease).request.attempts == []  # or the master would answer with the cancel again at once
    report = of(driver.feed(m.TaskEnded("a1", result=Result())), m.SendReport)[0].report
    assert isinstance(report, agent.Fail)
    assert report.failure.code is Code.CANCELED
    assert (report.node_id, report.incarnation) == ("n1", driver.session.incarnation)
    driver.taken()
    assert driver.session.active == 0


def test_gone_kills_at_once_and_says_that_we_live(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.TaskStarted("a1"))
    assert of(driver.answer_beat(("a1", GONE)), m.KillTask) == [m.KillTask("a1", True)]
    assert driver.session.active == 1  # its slot is not free before its processes are dead
    [back] = of(driver.feed(m.TaskEnded("a1", result=Result())), m.SendReport)
    assert isinstance(back.report, agent.GiveBack)
    assert back.report.fenced
    assert driver.session.active == 0
    driver.refused()
    assert not [effect for _, effect in driver.ticks(driver.now + 3 * TTL) if isinstance(effect, m.SendReport)]


def test_what_was_fenced_is_said_until_a_master_hears_it_and_its_lease_is_not_renewed(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.TaskStarted("a1"))
    driver.ticks(TTL)
    driver.feed(m.TaskEnded("a1"), at=TTL)
    for _ in range(3):
        report = driver.last(m.SendReport)
        driver.refused(m.Trouble.AWAY)
        sent = [effect for _, effect in driver.ticks(driver.now + TTL) if isinstance(effect, m.SendReport)]
        assert sent[0].report == report.report
    [beat] = of(driver.answer_beat(), m.SendBeat)
    assert not beat.beat.attempts
    driver.taken()
    assert not [effect for _, effect in driver.ticks(driver.now + 3 * TTL) if isinstance(effect, m.SendReport)]


def test_a_result_is_reported_past_the_fence(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.TaskStarted("a1"))
    driver.feed(m.TaskEnded("a1", result=Result()))
    driver.ticks(2 * TTL)
    driver.refused(m.Trouble.AWAY)
    sent = [effect for _, effect in driver.ticks(driver.now + TTL) if isinstance(effect, m.SendReport)]
    assert isinstance(sent[0].report, agent.Complete)


def test_one_who_lost_the_name_gives_back_what_it_had_under_its_old_incarnation(driver: Driver) -> None:
    driver.lease("a1")
    before = driver.session.incarnation
    driver.feed(m.TaskStarted("a1"))
    effects = driver.feed(m.CallFailed("beat", m.Trouble.STALE, number=driver.last(m.SendBeat).number))
    assert of(effects, m.KillTask)
    driver.feed(m.TaskEnded("a1"))
    [(at, register)] = [one for one in driver.ticks(TTL) if isinstance(one[1], m.SendRegister)]
    assert register.incarnation != before
    reply = agent.Registered(id="n1", name="n", heartbeat_interval_seconds=30.0, ttl_seconds=TTL)
    [back] = of(driver.feed(m.Registered(reply), at=at), m.SendReport)
    assert isinstance(back.report, agent.GiveBack)
    assert back.report.incarnation == before


def test_pause_and_resume_are_told_back(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.TaskStarted("a1"))
    effects = driver.answer_beat(("a1", PAUSE))
    assert of(effects, m.PauseTask)
    assert of(effects, m.SendBeat)[0].beat.attempts[0].paused
    effects = driver.answer_beat(("a1", RESUME))
    assert of(effects, m.ResumeTask)
    assert not of(effects, m.SendBeat)[0].beat.attempts[0].paused
    assert not of(driver.answer_beat(("a1", RESUME)), m.ResumeTask)


def test_while_someone_follows_progress_goes_every_second(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.TaskStarted("a1"))
    driver.answer_beat(("a1", OK), follow=10.0)
    driver.feed(m.TaskProgress("a1", Progress(percent=5.0)))
    beats = [(at, effect) for at, effect in driver.ticks(2.0) if isinstance(effect, m.SendBeat)]
    assert beats[0][0] == pytest.approx(1.0)
    assert beats[0][1].beat.attempts[0].progress == Progress(percent=5.0)
    driver.now = 1.1
    driver.answer_beat(("a1", OK))
    assert [at for at, effect in driver.ticks(3.0) if isinstance(effect, m.SendBeat)] == [pytest.approx(2.0)]


def test_a_follower_that_comes_through_the_poll_is_served_soon(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.TaskStarted("a1"))
    driver.answer_beat(("a1", OK))
    driver.lease(directives=[agent.Directive(attempt_id="a1", command=OK, follow_seconds=10.0)])
    assert [at for at, effect in driver.ticks(1.5) if isinstance(effect, m.SendBeat)] == [pytest.approx(1.0)]


def test_publishing_needs_a_yes_and_a_lease(driver: Driver) -> None:
    driver.lease("a1")
    assert not driver.session.may_publish("a1", 1.0)
    sent = of(driver.feed(m.PublishAsked("a1", [FILE])), m.SendReport)[0]
    assert isinstance(sent.report, agent.Publish)
    assert not driver.session.may_publish("a1", 1.0)
    assert of(driver.taken(), m.AllowPublish)
    assert driver.session.may_publish("a1", 1.0)
    assert not driver.session.may_publish("a1", 27.0)


def test_a_lease_is_held_from_the_grant_to_the_fence(driver: Driver) -> None:
    assert not driver.session.holds("a1", 1.0)
    driver.lease("a1")
    assert driver.session.holds("a1", 1.0)
    assert driver.session.holds("a1", 26.9)
    assert not driver.session.holds("a1", 27.0)
    driver.feed(m.TaskStarted("a1"))
    driver.lease(directives=[agent.Directive(attempt_id="a1", command=GONE)])
    assert not driver.session.holds("a1", 1.0)


def test_a_cancel_after_the_yes_comes_too_late(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.PublishAsked("a1", [FILE]))
    driver.taken()
    assert not of(driver.lease(directives=[agent.Directive(attempt_id="a1", command=CANCEL)]), m.KillTask)
    report = of(driver.feed(m.TaskEnded("a1", result=Result())), m.SendReport)[0].report
    assert isinstance(report, agent.Complete)


@pytest.mark.parametrize("asking", ["publish", "complete"])
def test_a_refused_report_asks_why_by_a_beat(driver: Driver, asking: str) -> None:
    driver.lease("a1")
    if asking == "publish":
        driver.feed(m.PublishAsked("a1", [FILE]))
    else:
        driver.feed(m.TaskEnded("a1", result=Result()))
    effects = driver.refused()
    assert of(effects, m.SendBeat)
    if asking == "publish":
        assert of(effects, m.KillTask) == [m.KillTask("a1", False)]
        driver.feed(m.TaskEnded("a1"))
    report = of(driver.answer_beat(("a1", CANCEL)), m.SendReport)[0].report
    assert isinstance(report, agent.Fail)
    assert report.failure.code is Code.CANCELED


def test_reports_are_repeated_until_answered_and_then_forgotten(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.TaskEnded("a1", failure=Failure(code=Code.ENGINE_FAILED, message="x"), result=Result()))
    first = driver.last(m.SendReport)
    assert first.timeout_seconds == TTL / 3  # so that a half-open connection leaves time for another try
    driver.refused(m.Trouble.AWAY, retry_after=3.0)
    repeated = [(at, effect) for at, effect in driver.ticks(4.0) if isinstance(effect, m.SendReport)]
    assert repeated[0][0] >= 3.0
    assert repeated[0][1].report == first.report
    driver.feed(m.ReportTaken(first.number, "a1"))  # a late answer to the first one is not this one's
    assert driver.session.deadline() is not None
    driver.taken()
    assert [effect for _, effect in driver.ticks(25.0) if isinstance(effect, m.SendReport)] == []


def test_stale_means_a_new_incarnation_and_nothing_of_the_old(driver: Driver) -> None:
    driver.lease("a1")
    before = driver.session.incarnation
    driver.feed(m.TaskStarted("a1"))
    number = driver.last(m.SendBeat).number
    effects = driver.feed(m.CallFailed("beat", m.Trouble.STALE, number=number))
    assert of(effects, m.KillTask) == [m.KillTask("a1", True)]
    assert not driver.session.registered
    driver.ticks(10.0)
    assert driver.last(m.SendRegister).incarnation != before


def test_a_lost_credential_keeps_what_runs(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.TaskStarted("a1"))
    number = driver.last(m.SendBeat).number
    effects = driver.feed(m.CallFailed("beat", m.Trouble.UNAUTHENTICATED, number=number))
    assert not of(effects, m.KillTask)
    driver.ticks(1.0)
    assert driver.last(m.SendRegister).incarnation == driver.session.incarnation


def test_a_first_registration_that_is_refused_ends_it() -> None:
    driver = Driver()
    driver.feed(m.Tick())
    effects = driver.feed(m.CallFailed("register", m.Trouble.UNAUTHENTICATED, "the key is wrong"))
    assert effects == [m.Exit(7, "the key is wrong")]


def test_a_beat_sent_before_the_stop_does_not_tell_of_it(driver: Driver) -> None:
    driver.ticks(30.0)
    assert driver.last(m.SendBeat).beat.drain is None
    driver.feed(m.StopRequested(30.0))
    driver.lease()
    told = of(driver.answer_beat(), m.SendBeat)
    assert [one.beat.drain for one in told] == [True]
    assert driver.answer_beat() == [m.Exit(0)]


def _refuse_the_name(driver: Driver) -> list[m.Note]:
    """What it says of it."""
    effects = driver.session.step(driver.now, m.CallFailed("register", m.Trouble.TAKEN, "The name n is taken."))
    assert not of(effects, m.Exit)
    return of(effects, m.Note)


@pytest.mark.parametrize("anew", [False, True])
def test_a_name_that_is_taken_is_waited_for_with_growing_pauses(anew: bool) -> None:
    driver = Driver()
    if anew:
        driver.register()
        driver.feed(m.CallFailed("lease", m.Trouble.STALE, request_id=driver.last(m.SendLease).request.request_id))
        driver.ticks(10.0)
    else:
        for _ in range(3):  # the master is away first: that is told apart
            driver.feed(m.Tick())
            driver.feed(m.CallFailed("register", m.Trouble.AWAY))
            driver.ticks(driver.now + 5.0)
    incarnation = driver.last(m.SendRegister).incarnation
    [told] = _refuse_the_name(driver)
    assert (told.level, told.event, told.detail["why"]) == ("warning", "taking the name failed", "The name n is taken.")
    pauses, lines = [], 0
    for _ in range(12):
        before = driver.now
        [(at, effect)] = driver.ticks(before + 30.0)
        assert effect == m.SendRegister(incarnation)
        pauses.append(at - before)
        driver.now = at
        lines += len(_refuse_the_name(driver))
    assert lines == 1  # of the eighth
    assert max(pauses[:2]) <= 4.0 < max(pauses[4:]) <= 30.0
    driver.ticks(driver.now + 30.0)
    driver.feed(m.Registered(agent.Registered(id="n1", name="n", heartbeat_interval_seconds=30, ttl_seconds=TTL)))
    assert driver.session.registered
    driver.lease("a1")
    assert driver.session.active == 1


def test_an_agent_without_its_name_stops_at_once() -> None:
    driver = Driver()
    driver.feed(m.Tick())
    _refuse_the_name(driver)
    assert driver.feed(m.StopRequested(30.0)) == [m.Exit(0)]


def test_a_master_that_is_away_is_asked_again_with_its_own_pause() -> None:
    driver = Driver()
    driver.feed(m.Tick())
    driver.feed(m.CallFailed("register", m.Trouble.AWAY, retry_after=7.0))
    assert not driver.ticks(6.9)
    assert [type(effect) for _, effect in driver.ticks(12.0)] == [m.SendRegister]


def test_answers_that_are_no_long_polls_do_not_make_it_spin(driver: Driver) -> None:
    for _ in range(3):
        driver.lease()
    assert (driver.session.deadline() or 0) >= 0.1


def test_draining_by_the_master_stops_leasing_until_it_is_over(driver: Driver) -> None:
    effects = driver.lease(drain=True, held=5.0)
    assert of(effects, m.SendLease)[0].request.free_slots == 0
    effects = driver.lease(drain=False, held=5.0)
    assert of(effects, m.SendLease)[0].request.free_slots == 2


def test_stopping_lets_work_finish(driver: Driver) -> None:
    driver.lease("a1")
    effects = driver.feed(m.StopRequested(20.0))
    assert of(effects, m.SendBeat)[0].beat.drain
    assert of(effects, m.SendLease)[0].request.wait_seconds == 0.0  # what the open poll may have been granted
    driver.answer_beat(("a1", OK))
    assert of(driver.lease("a2"), m.SendReport)[0].attempt_id == "a2"  # is given back
    driver.taken()
    driver.feed(m.TaskEnded("a1", result=Result()), at=5.0)
    assert driver.taken()[-1] == m.Exit(0)


def test_stopping_gives_back_what_takes_too_long(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.StopRequested(20.0))
    driver.lease()
    driver.answer_beat(("a1", OK))
    killed = [(at, effect) for at, effect in driver.ticks(21.0) if isinstance(effect, m.KillTask)]
    assert killed == [(pytest.approx(20.0), m.KillTask("a1", False))]
    report = of(driver.feed(m.TaskEnded("a1")), m.SendReport)[0].report
    assert isinstance(report, agent.GiveBack)
    assert driver.taken()[-1] == m.Exit(0)


def test_stopping_gives_back_what_was_slow_to_end(driver: Driver) -> None:
    driver.lease("a1")
    driver.feed(m.StopRequested(20.0))
    driver.lease()
    driver.answer_beat(("a1", OK))
    driver.ticks(20.0)
    effects = driver.feed(m.TaskEnded("a1"), at=26.0)  # deaf to SIGTERM
    assert [type(one.report) for one in of(effects, m.SendReport)] == [agent.GiveBack]
    assert not of(effects, m.Exit)
    assert driver.taken()[-1] == m.Exit(0)


def test_an_idle_agent_stops_at_once_and_without_a_master_soon() -> None:
    driver = Driver()
    driver.register()
    driver.feed(m.StopRequested(30.0))
    assert driver.lease() == []
    assert driver.answer_beat() == [m.Exit(0)]  # not before the master knows: its name is free from then on
    away = Driver()
    away.register()
    away.feed(m.StopRequested(30.0))
    request = away.last(m.SendLease).request
    away.feed(m.CallFailed("lease", m.Trouble.AWAY, request_id=request.request_id))
    assert any(isinstance(effect, m.Exit) for _, effect in away.ticks(5.0))
