"""What a session remembers, and the small moves that its rules are made of."""

import itertools
import random

import msgspec

from ffrtmp.agent import messages as m
from ffrtmp.agent.backoff import Backoff
from ffrtmp.agent.held import Held, Poll, Stage, Want, give_back

#: the fence lies this share of the ttl before the lease's end: the time that a SIGKILL and a late event loop may take
_MARGIN_SHARE = 0.1
#: between beats while someone follows an attempt
FOLLOW_SECONDS = 1.0


class Config(msgspec.Struct, frozen=True):
    slots: int = 1
    poll_seconds: float = 10.0
    heartbeat_seconds: float = 30.0


class Moves:
    def __init__(self, config: Config, rng: random.Random) -> None:
        self._config = config
        self._rng = rng
        self._incarnation = self._new_id()
        self._node_id = ""
        self._ever_registered = False
        self._ttl = 30.0
        self._held: dict[str, Held] = {}
        self._poll: Poll | None = None
        self._numbers = itertools.count(1)
        self._beat: tuple[int, float, tuple[str, ...]] | None = None  # number, sent at, attempts named
        self._registering = False
        self._register_at = 0.0
        self._lease_at = 0.0
        self._beat_at = 0.0
        self._beat_now = False
        self._hasty = 0
        self._backoff = Backoff(rng)
        self._drained = False  # the master wants no more leases
        self._stop_at: float | None = None  # when what still runs is given back
        self._told = False  # the master knows that we stop, and gives our name to whoever asks
        self._exit: m.Exit | None = None
        self._effects: list[m.Effect] = []

    def _start(self, held: Held, renewed_at: float) -> None:
        held.fence, held.stage = self._fence(renewed_at), Stage.RUNNING
        self._beat_at = min(self._beat_at, self._after_beat(renewed_at))  # its input may take longer than its lease
        self._effects.append(m.StartTask(held.grant))

    def _lose(self, now: float, held: Held, why: str) -> None:
        """It is not ours any more, or may not be: its processes are killed and nothing of it is published. That we live is said by
        giving it back, which the master may hear before it rescues the attempt or after."""
        self._note("warning", "attempt lost", attempt=held.id, why=why)
        held.lost, held.fence = why, None
        if held.stage in (Stage.WAITING, Stage.ENDED):
            held.stage, held.want = Stage.ENDED, Want.RETURN
            self._queue(now, held, give_back(why, fenced=True))
        else:
            self._kill(held, held.want if held.want is Want.CANCELED else Want.RETURN, now=True)

    def _kill(self, held: Held, want: Want, *, now: bool) -> None:
        if held.stage is Stage.WAITING:
            del self._held[held.id]
            return
        if held.stage is not Stage.ENDING or now:
            self._effects.append(m.KillTask(held.id, now))
        held.stage, held.want, held.report = Stage.ENDING, want, None

    def _abort(self, poll: Poll) -> None:
        self._effects.append(m.AbortLease(poll.request_id))
        poll.in_flight = False

    def _queue(self, now: float, held: Held, report: m.Report) -> None:
        held.report, held.report_at, held.report_tries, held.reporting = report, now, 0, 0

    def _fence(self, renewed_at: float) -> float:
        return renewed_at + self._ttl * (1 - _MARGIN_SHARE)

    def _next_beat(self) -> float:
        if self._beat_now:
            return self._beat_at if self._backoff.failures("beat") else 0.0
        return self._beat_at

    def _after_beat(self, sent_at: float) -> float:
        """Every third of the ttl ± 20 % with attempts, every second while someone follows one."""
        if not self._held:
            return sent_at + self._config.heartbeat_seconds
        if any(held.follow_until > sent_at and held.stage is Stage.RUNNING for held in self._held.values()):
            return sent_at + min(FOLLOW_SECONDS, self._ttl / 3)
        return sent_at + self._ttl / 3 * self._rng.uniform(0.8, 1.2)

    def _set_drained(self, drain: bool) -> None:
        if drain != self._drained:
            self._note("info", "drained" if drain else "no longer drained")
        self._drained = drain

    def _new_id(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _note(self, level: str, event: str, **detail: str) -> None:
        self._effects.append(m.Note(level, event, detail))
