"""Faults of the agent: its fence, what it asks before it publishes, and the commands that it is given."""

from typing import Any

import msgspec

from ffrtmp.agent import messages as m
from ffrtmp.agent import session
from ffrtmp.agent.held import Stage, Want
from ffrtmp.agent.session import Session
from ffrtmp.protocol.agent import CommandKind
from ffrtmp.testing.mutants.patches import Mutant, Simulated, Tested, both, replace
from ffrtmp.transfer import local


def _no_fence(_: Any) -> Any:
    return lambda _, renewed_at: renewed_at + 1e9


def _lease_from_receipt(was: Any) -> Any:
    def on_leased(self: Session, now: float, request_id: str, reply: Any) -> None:
        if self._poll is not None:
            self._poll.sent_at = now - reply.held_seconds
        was(self, now, request_id, reply)

    return on_leased


def _beat_from_receipt(was: Any) -> Any:
    def on_beat(self: Session, now: float, number: int, reply: Any) -> None:
        if self._beat is not None:
            self._beat = (self._beat[0], now, self._beat[2])
        was(self, now, number, reply)

    return on_beat


def _publish_unfenced(_: Any) -> Any:
    def may_publish(self: Session, attempt_id: str, _: float) -> bool:
        held = self._held.get(attempt_id)
        return held is not None and held.stage is Stage.PUBLISHING

    return may_publish


def _publish_unasked(was: Any) -> Any:
    def apply(self: Session, now: float, event: m.Event) -> None:
        held = self._held.get(event.attempt_id) if isinstance(event, m.PublishAsked) else None
        if held is not None and held.stage is Stage.RUNNING:
            held.stage = Stage.PUBLISHING
            self._effects.append(m.AllowPublish(held.id))
        else:
            was(self, now, event)

    return apply


def _unconfirmed(was: Any) -> Any:
    def on_leased(self: Session, now: float, request_id: str, reply: Any) -> None:
        if self._poll is not None:
            self._poll.resent = False
        was(self, now, request_id, reply)

    return on_leased


def _deaf_to(kind: CommandKind) -> Any:
    def make(was: Any) -> Any:
        def obey(self: Session, now: float, directive: Any) -> None:
            if directive.command is kind:
                directive = msgspec.structs.replace(directive, command=CommandKind.OK)
            was(self, now, directive)

        return obey

    return make


def _reported_once(was: Any) -> Any:
    def on_report_failed(self: Session, now: float, failed: m.CallFailed) -> None:
        was(self, now, failed)
        held = self._held.get(failed.attempt_id)
        if held is not None and held.stage is Stage.ENDED and held.want is Want.RESULT and not held.reporting:
            del self._held[held.id]

    return on_report_failed


MUTANTS = {
    "no-fence": Mutant(
        "an agent never fences itself", Simulated("fenced", seed=2), replace(session.Session, "_fence", _no_fence)
    ),
    "fence-from-receipt": Mutant(
        "the fence counts from when the answer came, not from when it was asked for",
        Simulated("killed_in_time", seed=6),
        both(
            replace(Session, "_on_leased", _lease_from_receipt),
            replace(Session, "_on_beat", _beat_from_receipt),
        ),
    ),
    "publish-past-the-fence": Mutant(
        "the fence is not looked at before the rename",
        Simulated("not_in_its_own_way", seed=157, jobs=60, faults=("freeze_agent", "slow_disk")),
        replace(Session, "may_publish", _publish_unfenced),
    ),
    "publish-unasked": Mutant(
        "an output is published without asking the master",
        Simulated("canceled_is_final", seed=2),
        replace(Session, "_apply", _publish_unasked),
    ),
    "grant-unconfirmed": Mutant(
        "what a repeated request was granted starts without asking whether the lease still holds",
        Tested("tests/unit/agent/test_session.py::test_a_lost_answer_is_asked_again_and_confirmed_before_it_runs"),
        replace(Session, "_on_leased", _unconfirmed),
    ),
    "cancel-unheeded": Mutant(
        "an agent goes on with a canceled attempt",
        Simulated("canceled_ends_soon", seed=13),
        replace(Session, "_obey", _deaf_to(CommandKind.CANCEL)),
    ),
    "pause-unheeded": Mutant(
        "an agent goes on with a paused attempt",
        Simulated("paused_rests", seed=5),
        replace(Session, "_obey", _deaf_to(CommandKind.PAUSE)),
    ),
    "reported-once": Mutant(
        "a report that got no answer is not repeated",
        Tested("tests/unit/agent/test_session.py::test_reports_are_repeated_until_answered_and_then_forgotten"),
        replace(Session, "_on_report_failed", _reported_once),
    ),
    "publish-replaces": Mutant(
        "a file that is there is replaced, although nobody asked for that",
        Tested("tests/unit/transfer/test_local.py::test_publishing_replaces_nothing_unless_asked"),
        replace(local, "_rename_new", lambda _: lambda stage, output: stage.replace(output)),
    ),
    "publish-unsynced": Mutant(
        "a file gets its name before the disk has its bytes",
        Tested("tests/unit/transfer/test_local.py::test_a_file_is_on_the_disk_before_it_has_its_name[False]"),
        replace(local, "_sync", lambda _: lambda *_: None),
    ),
}
