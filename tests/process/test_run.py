"""Real children. Every wait is for an event; the limits that are tested are short, but no test measures a time."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import uvloop

from ffrtmp.domain import errors
from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.process import run, spawn

FOREVER = ("sleep", "1000")
#: says that it is ready, and does not hear SIGTERM
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def command(*argv: str, **limits) -> Command:
    return Command(name=argv[0], argv=argv, limits=CommandLimits(**limits))


def shell(script: str, **limits) -> Command:
    return command("sh", "-c", script, **limits)


async def first_line(child_of) -> tuple[run.Child, str]:
    """Start a command and wait for the first line that it says."""
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    child = await run.start(child_of, on_line=lambda line: said.done() or said.set_result(line))
    return child, await said


def gone(pid: int) -> bool:
    """Wait until a process that is not our child has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 30)[0])
    finally:
        os.close(fd)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


async def test_an_exit_code_and_what_was_said():
    outcome = await run.to_end(shell("echo out; echo err >&2; exit 3"))
    assert (outcome.ended, outcome.exit_code, outcome.signal, outcome.ok) == (run.Ended.EXITED, 3, None, False)
    assert outcome.log == "out\nerr\n"


async def test_lines_go_to_the_reader_and_stderr_to_the_log():
    lines: list[str] = []
    outcome = await run.to_end(shell("echo one; echo err >&2; printf two"), on_line=lines.append)
    assert outcome.ok
    assert lines == ["one", "two"]
    assert outcome.log == "err\n"


async def test_a_child_that_is_killed_says_by_which_signal():
    outcome = await run.to_end(shell("kill -SEGV $$"))
    assert (outcome.ended, outcome.exit_code, outcome.signal) == (run.Ended.EXITED, None, signal.SIGSEGV)


async def test_there_is_no_input_to_read():
    assert (await run.to_end(command("cat"))).ok


async def test_a_missing_program_is_told_before_anything_starts():
    with pytest.raises(errors.TaskError, match="no-such-program") as caught:
        await run.start(command("no-such-program"))
    assert caught.value.failure.code is errors.Code.ENCODER_UNAVAILABLE


async def test_our_secrets_are_not_the_childs(monkeypatch):
    monkeypatch.setenv("FFRTMP_API_KEY", "secret")
    outcome = await run.to_end(Command(name="env", argv=("env",), env={"SVT_LOG": "1"}))
    assert "secret" not in outcome.log
    assert "SVT_LOG=1" in outcome.log
    assert "PATH=" in outcome.log


async def test_cpu_time_and_memory_are_the_childs_own():
    program = "x = bytearray(b'x') * 60_000_000; n = sum(range(3_000_000))"
    outcome = await run.to_end(command(sys.executable, "-c", program))
    assert outcome.ok
    assert outcome.cpu_seconds > 0
    assert outcome.max_rss_bytes > 60_000_000


async def test_a_small_child_of_a_big_parent_is_small(monkeypatch):
    """The kernel begins a child's peak with ours: only what was sampled while it ran is its own."""
    monkeypatch.setattr(run, "POLL_SECONDS", 0.01)
    ballast = bytearray(b"x") * 300_000_000
    sampled = asyncio.Event()
    peak = spawn.peak_rss_bytes
    monkeypatch.setattr(spawn, "peak_rss_bytes", lambda pid: (sampled.set(), peak(pid))[1])
    child, _ = await first_line(shell("echo ready; exec sleep 1000"))
    await sampled.wait()
    sampled.clear()
    await sampled.wait()
    outcome = await child.stop()
    assert 0 < outcome.max_rss_bytes < len(ballast)


async def test_stop_ends_the_whole_group():
    child, line = await first_line(shell("sleep 1000 & echo $!; wait"))
    outcome = await child.stop()
    assert outcome.ended is run.Ended.STOPPED
    assert outcome.signal == signal.SIGTERM
    assert gone(int(line))


async def test_a_deaf_child_is_killed():
    child, _ = await first_line(shell(DEAF, stop_grace_seconds=0.05))
    outcome = await child.stop()
    assert (outcome.ended, outcome.signal) == (run.Ended.STOPPED, signal.SIGKILL)


async def test_what_a_child_leaves_behind_is_killed_with_it():
    lines: list[str] = []
    outcome = await run.to_end(shell("sleep 1000 >/dev/null 2>&1 & echo $!"), on_line=lines.append)
    assert outcome.ok
    assert gone(int(lines[0]))


async def test_stopping_an_ended_child_keeps_its_outcome():
    child = await run.start(shell("exit 4"))
    first = await child.wait()
    assert await child.stop() is first
    assert first.exit_code == 4


async def test_the_wall_limit():
    outcome = await run.to_end(command(*FOREVER, wall_seconds=0.05))
    assert (outcome.ended, outcome.ok) == (run.Ended.TIMED_OUT, False)


async def test_one_that_says_that_it_failed_and_stays_is_ended(monkeypatch):
    monkeypatch.setattr(run, "_LAST_SECONDS", 0.05)
    says = "printf 'ERROR: fr' >&2; read -r line; printf 'om element\n' >&2; exec sleep 1000"
    child, _ = await first_line(
        msgspec.structs.replace(shell(f"echo ready; {says} < /dev/null"), last_words="ERROR: from")
    )
    outcome = await child.wait()
    assert (outcome.ended, outcome.ok, outcome.log) == (run.Ended.FAILED, False, "ERROR: from element\n")


async def test_one_that_says_that_it_failed_and_ends_has_its_own_exit_code():
    outcome = await run.to_end(msgspec.structs.replace(shell("echo ERROR: from; exit 3"), last_words="ERROR: from"))
    assert (outcome.ended, outcome.exit_code) == (run.Ended.EXITED, 3)


async def test_the_stall_limit_waits_for_progress():
    child, _ = await first_line(shell("echo ready; exec sleep 1000", stall_seconds=0.05))
    assert (await child.wait()).ended is run.Ended.STALLED


async def test_a_paused_child_stands_still_and_goes_on():
    # no command in the loop: a shell that is stopped while its vfork(2)ed child is too never shows as stopped itself
    child, _ = await first_line(shell("trap 'exit 7' USR1; echo ready; while :; do :; done"))
    child.pause()
    assert child.paused
    assert await until(lambda: state(child.pid) == "T")
    os.kill(child.pid, signal.SIGUSR1)  # is heard only once it runs again
    child.resume()
    outcome = await child.wait()
    assert outcome.exit_code == 7


async def test_no_limit_runs_while_paused():
    child, _ = await first_line(shell("echo ready; exec sleep 1000", wall_seconds=0.2, stop_grace_seconds=10))
    child.pause()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(child.wait(), 0.5)  # it outlives its limit
    child.resume()
    assert (await child.wait()).ended is run.Ended.TIMED_OUT


async def test_a_paused_child_can_be_stopped():
    child, _ = await first_line(shell("echo ready; exec sleep 1000"))
    child.pause()
    outcome = await child.stop()
    assert (outcome.ended, outcome.signal) == (run.Ended.STOPPED, signal.SIGTERM)


async def until(condition) -> bool:
    """Yield to the other processes until it holds; the test's own time limit is the end of patience."""
    while not condition():
        await asyncio.to_thread(os.sched_yield)
    return True


@pytest.mark.parametrize(
    ("limits", "ended"),
    [
        ({"disk_bytes": 50_000, "disk_reserve_bytes": 1}, run.Ended.DISK_LIMIT),
        ({"disk_reserve_bytes": 1 << 62}, run.Ended.DISK_FULL),
    ],
)
async def test_the_disk_limits(tmp_path, monkeypatch, limits, ended):
    monkeypatch.setattr(run, "POLL_SECONDS", 0.01)
    script = f"head -c 200000 /dev/zero > '{tmp_path}/file'; exec sleep 1000"
    outcome = await run.to_end(shell(script, watch=(tmp_path,), **limits))
    assert outcome.ended is ended


async def test_a_child_that_cannot_be_watched_is_not_left_to_itself(tmp_path, monkeypatch):
    def stale(_: object) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(run, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(run.disk, "breach", stale)
    child = await run.start(command(*FOREVER, watch=(tmp_path,)))
    with pytest.raises(OSError, match="Stale"):
        await child.wait()
    assert gone(child.pid)


async def test_a_flood_of_errors_does_not_fill_memory():
    outcome = await run.to_end(shell("yes 'the same old error' | head -c 20000000 >&2; echo last >&2"))
    assert outcome.ok
    assert len(outcome.log) < 100_000
    assert outcome.log.endswith("last\n")
    assert "bytes left out" in outcome.log


async def test_what_the_reader_of_lines_raises_ends_the_child_and_is_raised():
    def fails(line: str) -> None:
        raise ValueError(line)

    child = await run.start(shell("echo boom; exec sleep 1000"), on_line=fails)
    with pytest.raises(ValueError, match="boom"):
        await child.wait()
    assert (await child.stop()).ended is run.Ended.STOPPED


async def test_cancelling_to_end_ends_the_child():
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run.to_end(shell("echo $$; exec sleep 1000"), on_line=said.set_result))
    pid = int(await said)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(pid)


PARENT = """
import asyncio
from ffrtmp.domain.command import Command
from ffrtmp.process import run

async def main():
    child = await run.start(Command(name="sleep", argv=("sleep", "1000")))
    print(child.pid, flush=True)
    await child.wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("way", ["setpriv", "preexec"])
def test_no_child_outlives_a_killed_parent(way):
    without = "from ffrtmp.process import spawn; spawn._setpriv = lambda: None\n" if way == "preexec" else ""
    parent = subprocess.Popen([sys.executable, "-c", without + PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert state(pid) in "SDR"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


async def test_a_child_whose_parent_is_already_gone_does_not_start(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # somebody else than who will fork
    outcome = await run.to_end(command("touch", str(tmp_path / "ran")))
    assert outcome.exit_code == 127
    assert not (tmp_path / "ran").exists()


def test_it_runs_under_uvloop_too():
    async def main() -> None:
        lines: list[str] = []
        assert (await run.to_end(shell("echo one; echo two"), on_line=lines.append)).ok
        assert lines == ["one", "two"]
        child, _ = await first_line(shell(DEAF, stop_grace_seconds=0.05))
        assert (await child.stop()).signal == signal.SIGKILL
        outcomes = await asyncio.gather(*(run.to_end(shell("exit 5")) for _ in range(20)))
        assert {outcome.exit_code for outcome in outcomes} == {5}

    uvloop.run(main())
