"""What a failed call means."""

import pytest

from ffrtmp.agent import messages as m
from ffrtmp.agent.executor import trouble
from ffrtmp.agent.log import AttemptLog
from ffrtmp.domain import errors
from ffrtmp.process.run import Ended, Outcome


@pytest.mark.parametrize(
    ("call", "error", "meaning"),
    [
        ("beat", errors.Unavailable(), m.Trouble.AWAY),
        ("beat", errors.FfrtmpError("500"), m.Trouble.AWAY),
        ("beat", errors.NotFound(), m.Trouble.STALE),
        ("lease", errors.Conflict(code="stale_incarnation"), m.Trouble.STALE),
        ("lease", errors.Conflict(), m.Trouble.REFUSED),
        ("lease", errors.Unauthenticated(), m.Trouble.UNAUTHENTICATED),
        ("register", errors.Forbidden(), m.Trouble.UNAUTHENTICATED),
        ("register", errors.InvalidInput("x"), m.Trouble.REFUSED),
        ("register", errors.Conflict(code="name_taken"), m.Trouble.TAKEN),
        ("report", errors.Conflict(code="stale_incarnation"), m.Trouble.CONFLICT),
        ("report", errors.NotFound(), m.Trouble.CONFLICT),
    ],
)
def test_trouble(call: str, error: errors.FfrtmpError, meaning: m.Trouble) -> None:
    assert trouble(call, error) is meaning


def test_the_log_of_an_attempt_is_bounded_and_says_how_commands_ended() -> None:
    log = AttemptLog()
    log.command(["ffmpeg", "-i", "file:/a b"])
    outcome = Outcome(
        ended=Ended.STALLED,
        exit_code=None,
        signal=9,
        wall_seconds=1.5,
        cpu_seconds=0.25,
        max_rss_bytes=5_000_000,
        log="x\n",
    )
    log.outcome("ffmpeg", outcome)
    assert log.text() == "$ ffmpeg -i 'file:/a b'\nx\nffmpeg: signal 9 (stalled), 1.50 s, 0.25 CPU-s, 5 MB\n"
    log.note("y" * 500_000)
    assert len(log.text()) < 210_000
    assert "left out" in log.text()
