"""What a failed call means."""

import random
from typing import cast

import pytest

from ffrtmp.agent import messages as m
from ffrtmp.agent.executor import trouble
from ffrtmp.agent.log import AttemptLog
from ffrtmp.agent.moves import Config
from ffrtmp.agent.shell import Shell
from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.process.run import Ended, Outcome
from ffrtmp.protocol import agent
from ffrtmp.telemetry import metrics


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
        ("register", errors.Conflict(code="superseded"), m.Trouble.AWAY),
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


class _Master:
    """Knows a later start of this agent: its machine was set back to a snapshot of its memory."""

    known = 10**15

    def __init__(self) -> None:
        self.asked: list[agent.Register] = []

    async def register(self, asked: agent.Register) -> agent.Registered:
        self.asked.append(asked)
        if asked.began_us <= self.known:
            raise errors.Conflict(code="superseded", state=str(self.known))
        return agent.Registered(id="n", name="n", heartbeat_interval_seconds=30, ttl_seconds=30)


async def test_an_agent_whose_clock_was_set_back_registers_as_the_latest() -> None:
    master = _Master()
    shell = Shell(
        Config(), cast(Client, master), agent.Register(name="n"), metrics.Registry(metrics.AGENT), random.Random(1)
    )
    for incarnation in ("one", "two"):
        with pytest.raises(errors.Conflict):
            await shell.send_register(incarnation)
        await shell.send_register(incarnation)
        await shell.send_register(incarnation)
        assert [asked.began_us for asked in master.asked[-2:]] == 2 * [master.known + 1]
        assert 0 < master.asked[-3].began_us < master.known
