"""The agent's side of the protocol as a pure core: events in, effects out. No I/O, no clock and no randomness of its own.

The rules that it keeps (`docs/guarantees.md`):

- an attempt runs only before its *fence*: the send time of the request that renewed its lease + held + ttl − margin. What is
  still running then is killed and nothing of it is published (G4). It is given back, at once or when a master hears us again: an
  agent that lives was not taken down by it (G7);
- a long-poll is always open, with no free slot too: it carries the commands;
- every attempt that was granted ends in one report, which is repeated until a master answers, past the fence too: the master knows
  whether the attempt is still ours;
- a lost answer costs nothing: a lease is asked again under its `request_id`, reports are repeated until they are answered.

`step` first lets the event change what we know, then sends what has become due. `deadline` says when to come with a Tick.
"""

import msgspec

from ffrtmp.agent import messages as m
from ffrtmp.agent.backoff import TAKING_THE_NAME, worth_a_line
from ffrtmp.agent.held import Held, Poll, Stage, Want, canceled, fail, give_back
from ffrtmp.agent.moves import FOLLOW_SECONDS, Moves
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.protocol import agent

#: empty answers one after another sooner than this are no long-polls: do not spin
_HASTY_SECONDS = 0.05
#: why a registration failed that may succeed later
_MENDS = (m.Trouble.AWAY, m.Trouble.TAKEN)
#: how long a stop waits for the master's last answers
_FAREWELL_SECONDS = 3.0


class Session(Moves):
    # what the shell may ask

    @property
    def registered(self) -> bool:
        return bool(self._node_id)

    @property
    def incarnation(self) -> str:
        return self._incarnation

    @property
    def active(self) -> int:
        """Attempts whose processes may be running."""
        return sum(held.stage is not Stage.ENDED for held in self._held.values())

    def may_publish(self, attempt_id: str, now: float) -> bool:
        """Asked in the instant before a rename."""
        held = self._held.get(attempt_id)
        return held is not None and held.stage is Stage.PUBLISHING and held.fence is not None and now < held.fence

    def holds(self, attempt_id: str, now: float) -> bool:
        """Asked before each piece that goes where another attempt's must not go at the same time."""
        held = self._held.get(attempt_id)
        return held is not None and held.fence is not None and now < held.fence

    def deadline(self) -> float | None:
        """When a Tick is due; None: only an event can change anything."""
        if self._exit is not None:
            return None
        times = [held.fence for held in self._held.values() if held.fence is not None and held.want is not Want.NOTHING]
        if not self.registered:
            times += [] if self._registering else [self._register_at]
        else:
            times += [held.report_at for held in self._held.values() if held.report is not None and not held.reporting]
            times += [] if self._beat is not None else [self._next_beat()]
            times += [self._lease_at] if self._wants_poll() else []
        if self._stop_at is not None:
            if self._to_return():
                times.append(self._stop_at)
            elif not self.active:
                times.append(self._stop_at + _FAREWELL_SECONDS)
        return min(times, default=None)

    def step(self, now: float, event: m.Event) -> list[m.Effect]:
        """`now` never goes back. A Tick changes nothing by itself."""
        if self._exit is not None:
            return []
        self._apply(now, event)
        self._pump(now)
        effects, self._effects = self._effects, []
        return effects

    # what an event changes

    def _apply(self, now: float, event: m.Event) -> None:
        match event:
            case m.Registered(reply):
                self._on_registered(now, reply)
            case m.Leased(request_id, reply):
                self._on_leased(now, request_id, reply)
            case m.BeatAcked(number, reply):
                self._on_beat(now, number, reply)
            case m.ReportTaken(number, attempt_id):
                self._on_report(number, attempt_id)
            case m.CallFailed():
                self._on_failure(now, event)
            case m.TaskStarted(attempt_id):
                if (held := self._held.get(attempt_id)) and not held.started:
                    held.started = self._beat_now = True
            case m.TaskProgress(attempt_id, progress):
                if held := self._held.get(attempt_id):
                    held.progress = progress
            case m.PublishAsked(attempt_id, outputs):
                held = self._held.get(attempt_id)
                if held is not None and held.stage is Stage.RUNNING:
                    held.stage = Stage.ASKING
                    self._queue(now, held, agent.Publish(node_id="", incarnation="", outputs=outputs))
            case m.TaskEnded():
                self._on_ended(now, event)
            case m.StopRequested(grace_seconds):
                end = now + grace_seconds
                self._stop_at = end if self._stop_at is None else min(self._stop_at, end)
                self._beat_now = True  # tells the master

    def _on_registered(self, now: float, reply: agent.Registered) -> None:
        self._registering = False
        self._backoff.fine("register", TAKING_THE_NAME)
        self._node_id, self._ttl, self._ever_registered = reply.id, reply.ttl_seconds, True
        self._lease_at = self._beat_at = now
        if not self._held:
            self._beat_at = now + self._config.heartbeat_seconds  # registering was as good as a beat
        self._note("info", "registered", node=reply.name, node_id=reply.id, ttl=f"{reply.ttl_seconds:g} s")

    def _on_leased(self, now: float, request_id: str, reply: agent.LeaseReply) -> None:
        poll = self._poll
        if poll is None or poll.request_id != request_id:
            return  # of a poll that we gave up, which could hold no grant
        self._poll = None
        self._backoff.fine("lease")
        self._hasty = 0 if reply.grants or reply.held_seconds >= _HASTY_SECONDS else self._hasty + 1
        self._lease_at = now + (self._rng.uniform(0.1, 0.3) if self._hasty > 1 else 0.0)
        self._ttl = reply.ttl_seconds
        self._set_drained(reply.drain)
        for grant in reply.grants:
            if grant.attempt_id in self._held:
                continue
            held = Held(grant, self._incarnation)
            fence = self._fence(poll.sent_at + reply.held_seconds)
            returning = self._stop_at is not None or self.active >= self._config.slots
            self._held[grant.attempt_id] = held
            if returning:
                held.stage, held.want = Stage.ENDED, Want.RETURN
                held.fence = self._fence(now) if poll.resent else fence
                self._queue(now, held, give_back("the agent is stopping or full"))
            elif poll.resent or fence <= now:
                # `held` counts from this answer's request, but the lease may be as old as the first one: ask before starting
                self._beat_now = True
            else:
                self._start(held, poll.sent_at + reply.held_seconds)
        for directive in reply.directives:
            self._obey(now, directive)

    def _on_beat(self, now: float, number: int, reply: agent.BeatReply) -> None:
        if self._beat is None or self._beat[0] != number:
            return
        _, sent_at, named = self._beat
        self._beat = None
        self._backoff.fine("beat")
        self._told |= self._stop_at is not None and not self._beat_now
        self._ttl = reply.ttl_seconds
        self._beat_at = self._after_beat(sent_at)
        self._set_drained(reply.drain)
        told = {directive.attempt_id: directive for directive in reply.directives}
        for attempt_id in named:
            held = self._held.get(attempt_id)
            if held is None or held.want is Want.NOTHING:
                continue
            directive = told.get(attempt_id) or agent.Directive(attempt_id=attempt_id, command=agent.CommandKind.OK)
            if directive.command is not agent.CommandKind.GONE:
                fence = self._fence(sent_at)
                if held.stage is Stage.WAITING and fence > now and directive.command is agent.CommandKind.OK:
                    self._start(held, sent_at)
                elif held.stage is not Stage.WAITING and held.fence is not None:
                    held.fence = max(held.fence, fence)
            self._obey(now, directive)

    def _obey(self, now: float, directive: agent.Directive) -> None:
        held = self._held.get(directive.attempt_id)
        if held is None or held.want is Want.NOTHING:
            return
        if directive.follow_seconds > 0:
            held.follow_until = max(held.follow_until, now + directive.follow_seconds)
            self._beat_at = min(self._beat_at, now + FOLLOW_SECONDS)
        kind = directive.command
        if kind is agent.CommandKind.GONE:
            if held.stage is not Stage.ENDED or held.want is Want.ASK:
                self._lose(now, held, "the master gave it to another or knows it no more")
            # a report under way will hear for itself; most likely it was taken and crossed this answer
        elif kind is agent.CommandKind.CANCEL:
            self._cancel(now, held)
        elif kind is agent.CommandKind.PAUSE and held.stage is Stage.RUNNING and not held.paused:
            held.paused = self._beat_now = True
            self._effects.append(m.PauseTask(held.id))
        elif kind is agent.CommandKind.RESUME and held.stage is Stage.RUNNING and held.paused:
            held.paused, self._beat_now = False, True
            self._effects.append(m.ResumeTask(held.id))
        elif kind is agent.CommandKind.OK and held.stage is Stage.ENDED and held.want is Want.ASK:
            failure = Failure(
                code=Code.INTERNAL, message="The master did not let the attempt publish and does not say why."
            )
            self._queue(now, held, agent.Fail(node_id="", incarnation="", failure=failure))

    def _cancel(self, now: float, held: Held) -> None:
        if held.stage is Stage.WAITING or (held.stage is Stage.ENDED and held.want is Want.ASK):
            held.stage, held.want = Stage.ENDED, Want.CANCELED
            held.fence = held.fence if held.fence is not None else self._fence(now)
            self._queue(now, held, canceled())
        elif held.stage is Stage.RUNNING:
            self._kill(held, Want.CANCELED, now=False)
        elif held.stage is Stage.ENDING and held.want in (Want.ASK, Want.RETURN):
            held.want = Want.CANCELED
        # while asking, the answer decides; from a yes on a cancel is too late (G5)

    def _on_report(self, number: int, attempt_id: str) -> None:
        held = self._held.get(attempt_id)
        if held is None or held.report is None or held.reporting != number:
            return
        held.reporting = 0
        if isinstance(held.report, agent.Publish):
            held.report = None
            if held.stage is Stage.ASKING:
                held.stage = Stage.PUBLISHING
                self._effects.append(m.AllowPublish(attempt_id))
        else:
            self._backoff.fine("stale")
            del self._held[attempt_id]

    def _on_failure(self, now: float, failed: m.CallFailed) -> None:
        if failed.call == "report":
            self._on_report_failed(now, failed)
            return
        if failed.call == "lease":
            if self._poll is None or self._poll.request_id != failed.request_id:
                return
            self._poll.in_flight = False
        elif failed.call == "beat":
            if self._beat is None or self._beat[0] != failed.number:
                return
            self._beat = None
        else:
            self._registering = False
        if failed.call != "register" and failed.trouble in (m.Trouble.STALE, m.Trouble.UNAUTHENTICATED):
            self._reregister(now, failed)
            return
        if failed.call == "register" and not self._ever_registered and failed.trouble not in _MENDS:
            self._exit = m.Exit(7 if failed.trouble is m.Trouble.UNAUTHENTICATED else 1, failed.detail)
            self._effects.append(self._exit)
            return
        what = TAKING_THE_NAME if failed.trouble is m.Trouble.TAKEN else failed.call
        at = now + self._backoff.failed(what, failed.retry_after, self._ttl)
        tries = self._backoff.failures(what)
        if worth_a_line(tries):
            self._note("warning", f"{what} failed", why=failed.detail, tries=str(tries))
        if failed.call == "lease":
            self._lease_at = at
        elif failed.call == "beat":
            self._beat_at = at
        else:
            self._register_at = at

    def _on_report_failed(self, now: float, failed: m.CallFailed) -> None:
        held = self._held.get(failed.attempt_id)
        if held is None or held.report is None or held.reporting != failed.number:
            return
        held.reporting = 0
        if failed.trouble in (m.Trouble.AWAY, m.Trouble.UNAUTHENTICATED):
            held.report_tries += 1
            held.report_at = now + self._backoff.delay(held.report_tries, failed.retry_after, self._ttl)
            self._note("warning", "report failed", attempt=held.id, why=failed.detail)
        elif held.want is Want.RESULT and failed.trouble is m.Trouble.CONFLICT:
            # canceled meanwhile, or not ours any more: a beat will tell which
            held.report, self._beat_now = None, True
            if held.stage is Stage.ENDED:
                held.want = Want.ASK
            else:
                self._kill(held, Want.ASK, now=False)
        else:
            self._note("warning", "report refused", attempt=held.id, why=failed.detail)
            if held.stage is Stage.ENDED:
                del self._held[failed.attempt_id]
            else:
                self._kill(held, Want.NOTHING, now=True)

    def _on_ended(self, now: float, ended: m.TaskEnded) -> None:
        held = self._held.get(ended.attempt_id)
        if held is None or held.stage is Stage.ENDED:
            return
        want, held.stage, held.report = held.want, Stage.ENDED, None
        self._stop_at = self._stop_at and max(self._stop_at, now)  # there is something to say yet
        if want is Want.NOTHING:
            del self._held[ended.attempt_id]
        elif want is Want.CANCELED:
            self._queue(now, held, canceled())
        elif want is Want.ASK:
            self._beat_now = True
        elif held.lost:
            self._queue(now, held, give_back(held.lost, fenced=True))
        elif ended.failure is not None:
            self._queue(now, held, fail(ended.failure, ended.result))
        elif ended.result is not None:
            self._queue(now, held, agent.Complete(node_id="", incarnation="", result=ended.result))
        else:
            self._queue(now, held, give_back("the agent is stopping"))

    def _reregister(self, now: float, failed: m.CallFailed) -> None:
        """Without a valid credential our attempts are still ours; under a new incarnation they are not."""
        self._node_id = ""
        if self._poll is not None and self._poll.in_flight:
            self._abort(self._poll)
        self._beat = None
        if failed.trouble is not m.Trouble.STALE:
            self._register_at = now + self._backoff.failed("register", failed.retry_after, self._ttl)
            self._note("warning", "registering again", why=failed.detail)
            return
        self._register_at = now + self._backoff.stale()
        self._note("warning", "registering anew; does another agent use this --name?", why=failed.detail)
        for held in list(self._held.values()):
            self._lose(now, held, "the master gave this node's attempts back")
        self._poll = None
        self._incarnation = self._new_id()

    # what is due

    def _pump(self, now: float) -> None:
        if self._exit is not None:
            return
        for held in list(self._held.values()):
            if held.fence is not None and held.fence <= now and held.want is not Want.NOTHING:
                if held.stage is Stage.ENDED and held.report is not None:
                    held.fence = None  # nothing of it runs, and whether its report counts is the master's to say
                else:
                    self._lose(now, held, "its lease could not be renewed")
        if self._stop_at is not None and self._pump_stop(now):
            return
        if not self.registered:
            if not self._registering and now >= self._register_at:
                self._registering = True
                self._effects.append(m.SendRegister(self._incarnation))
            return
        for held in self._held.values():
            if held.report is not None and not held.reporting and now >= held.report_at:
                held.reporting = next(self._numbers)
                report = msgspec.structs.replace(held.report, node_id=self._node_id, incarnation=held.incarnation)
                self._effects.append(m.SendReport(held.reporting, held.id, report, max(1.0, self._ttl / 3)))
        if self._beat is None and now >= self._next_beat():
            self._pump_beat(now)
        self._pump_lease(now)

    def _pump_stop(self, now: float) -> bool:
        """Whether we are through."""
        assert self._stop_at is not None
        if all(held.stage is Stage.ENDED and held.fence is None for held in self._held.values()):
            self._stop_at = min(self._stop_at, now)  # what is past its fence is worth a farewell, and no more
        for held in self._to_return():
            if held.stage is Stage.WAITING:
                held.stage, held.want, held.fence = Stage.ENDED, Want.RETURN, self._fence(now)
                self._queue(now, held, give_back("the agent is stopping"))
            elif now >= self._stop_at:
                self._kill(held, Want.RETURN, now=False)
        settled = not self._held and (not self.registered or (self._told and not (self._poll and self._poll.may_grant)))
        if settled or (now >= self._stop_at + _FAREWELL_SECONDS and not self.active):
            if self._poll is not None and self._poll.in_flight:
                self._abort(self._poll)
            self._exit = m.Exit(0)
            self._effects.append(self._exit)
            return True
        return False

    def _to_return(self) -> list[Held]:
        return [held for held in self._held.values() if held.stage in (Stage.WAITING, Stage.RUNNING)]

    def _pump_beat(self, now: float) -> None:
        named = [held for held in self._held.values() if held.want is not Want.NOTHING and not held.lost]
        beat = agent.Beat(
            incarnation=self._incarnation,
            attempts=[
                agent.AttemptBeat(attempt_id=held.id, started=held.started, paused=held.paused, progress=held.progress)
                for held in named
            ],
            drain=True if self._stop_at is not None else None,
        )
        number = next(self._numbers)
        self._beat = (number, now, tuple(held.id for held in named))
        self._beat_now = False
        self._effects.append(m.SendBeat(number, self._node_id, beat, max(1.0, self._ttl / 3)))

    def _pump_lease(self, now: float) -> None:
        stopping = self._stop_at is not None
        free = 0 if stopping or self._drained else max(self._config.slots - self.active, 0)
        poll = self._poll
        if poll is not None and poll.in_flight:
            if free > 0 and poll.free_slots == 0:
                self._abort(poll)
                self._poll = poll = None if not poll.resent else poll
            elif stopping and poll.may_grant and not poll.settling:
                self._abort(poll)  # asked again at once under its id: what it may have been granted is given back
                self._lease_at = now
            else:
                return
        if now < self._lease_at or not self._wants_poll():
            return
        if poll is None:
            self._poll = poll = Poll(self._new_id(), free, now)
        else:
            poll.resent = poll.may_grant
            # never lower than before: a master looks for what it granted only where there are slots
            poll.free_slots, poll.sent_at, poll.in_flight = max(free, poll.free_slots), now, True
        poll.settling = stopping and poll.resent
        request = agent.LeaseRequest(
            incarnation=self._incarnation,
            request_id=poll.request_id,
            free_slots=poll.free_slots,
            wait_seconds=0.0 if poll.settling else self._config.poll_seconds * self._rng.uniform(0.8, 1.0),
            again=poll.resent,
            attempts=[held.id for held in self._held.values() if held.stage in (Stage.RUNNING, Stage.ASKING)],
        )
        self._effects.append(m.SendLease(self._node_id, request))

    def _wants_poll(self) -> bool:
        if self._poll is not None and self._poll.in_flight:
            return False
        return self._stop_at is None or self.active > 0 or (self._poll is not None and self._poll.may_grant)
