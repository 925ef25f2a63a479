"""Limits that the kernel holds, with real processes; where this machine has no control groups the tests of those skip."""

import asyncio
import contextlib
import os
import select
import sys
from pathlib import Path

import pytest

from ffrtmp.domain import errors
from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.process import cgroups, confine, run

MEBIBYTE = 1 << 20
#: takes memory a MiB at a time, without end, and touches it
HOG = "held = []\nwhile True: held.append(b'x' * (1 << 20))"
#: the same in a child; the parent needs little and fails when the child was killed
HIDDEN_HOG = f"import os, sys\nif os.fork() == 0:\n    exec({HOG!r})\nsys.exit(os.wait()[1] != 0)"
#: busy until it has used so much CPU time itself
BUSY = "import time\nwhile time.process_time() < 0.4: pass"


def leaving(then: str) -> str:
    """A parent that ends as soon as its child has gone into a session of its own, where the child does `then`."""
    child = f"os.setsid()\n    os.close(1)\n    os.close(2)\n    os.write(w, b'x')\n    exec({then!r})\n    os._exit(0)"
    return f"import os\nr, w = os.pipe()\nif os.fork() == 0:\n    {child}\nos.read(r, 1)"


def python(script: str, **limits) -> Command:
    return Command(name="python", argv=(sys.executable, "-c", script), limits=CommandLimits(**limits))


def _tree() -> cgroups.Tree:
    tree, why = cgroups.find()
    if tree is None:
        pytest.skip(f"no control groups for us here: {why}")
    if tree.version == 2 and not (tree.places[0] / cgroups.PROGRAMS).exists():
        pytest.skip("cgroup v2: the tests do not move the processes beside them into another group")
    return tree


@pytest.fixture
async def confined():
    """A confinement in control groups."""
    tree = _tree()
    made = confine.Limiter(tree, owner=f"test{os.getpid()}").attempt("a1")
    assert made.group is not None
    assert all(folder.is_dir() for folder in made.group.folders)
    yield made
    await made.close()
    assert not any(folder.exists() for folder in made.group.folders)


@pytest.fixture
async def loose():
    """A confinement without them."""
    made = confine.Limiter().attempt("a1")
    assert made.group is None
    yield made
    await made.close()


async def finished(command: Command, confinement: confine.Confinement) -> run.Outcome:
    return await (await run.start(command, confinement=confinement)).wait()


def needs_memory(made: confine.Confinement) -> None:
    if _tree().memory is None:
        pytest.skip("the memory controller is not ours here")


def needs_quota(made: confine.Confinement) -> None:
    if _tree().cpu is None:
        pytest.skip("the cpu controller is not ours here")


async def test_a_memory_hog_is_ended_by_the_kernel_and_the_outcome_says_so(confined):
    needs_memory(confined)
    outcome = await finished(python(HOG, memory_bytes=64 * MEBIBYTE, wall_seconds=60), confined)
    assert outcome.ended is run.Ended.MEMORY_LIMIT
    assert outcome.max_rss_bytes < 80 * MEBIBYTE


async def test_what_a_command_needs_within_its_limit_it_gets(confined):
    outcome = await finished(python("held = b'x' * (20 << 20)", memory_bytes=128 * MEBIBYTE), confined)
    assert outcome.ok, outcome.log


async def test_a_crash_is_not_taken_for_the_memory_limit(confined):
    crash = python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", memory_bytes=128 * MEBIBYTE)
    outcome = await finished(crash, confined)
    assert (outcome.ended, outcome.signal) == (run.Ended.EXITED, 9)


async def test_the_limit_counts_children_too(confined):
    needs_memory(confined)
    outcome = await finished(python(HIDDEN_HOG, memory_bytes=64 * MEBIBYTE, wall_seconds=60), confined)
    assert outcome.ended is run.Ended.MEMORY_LIMIT
    assert (outcome.exit_code, outcome.signal) in ((1, None), (None, 9))  # v1 kills one process, v2 all


async def test_a_cpu_quota_holds(confined):
    needs_quota(confined)
    outcome = await finished(python(BUSY, cpu_percent=25), confined)
    assert outcome.ok, outcome.log
    assert confined.group.throttled() > 0
    await finished(python("", cpu_percent=400), confined)


async def test_without_a_limit_nothing_is_throttled(confined):
    assert (await finished(python(BUSY), confined)).ok
    assert confined.group.throttled() == 0
    assert not confined.killed()


async def test_cpu_time_that_nobody_waited_for_is_counted(confined):
    outcome = await finished(python(leaving(BUSY)), confined)
    assert outcome.ok
    assert outcome.cpu_seconds < 0.4
    for left in cgroups._processes(confined.group.folders[0]):
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(left)
            await asyncio.to_thread(select.select, [handle], [], [], 60)
            os.close(handle)
    assert confined.group.cpu_seconds() >= 0.4


async def test_close_ends_what_left_the_process_group(confined):
    assert (await finished(python(leaving("import signal; signal.pause()")), confined)).ok
    [left] = cgroups._processes(confined.group.folders[0])
    handle = os.pidfd_open(left)
    await confined.close()
    assert select.select([handle], [], [], 0)[0], "it lives on"
    os.close(handle)


async def test_a_program_that_is_missing_is_told_by_name(confined):
    with pytest.raises(errors.TaskError, match="'no-such-program' is not a program"):
        await run.start(Command(name="x", argv=("no-such-program",)), confinement=confined)


async def test_groups_of_a_killed_agent_are_swept_at_the_next_start(confined, tmp_path):
    tree = _tree()
    owner = f"sweep{os.getpid()}"
    left = confine.Limiter(tree, owner=owner).attempt("a1")
    begun = asyncio.Event()
    stuck = await run.start(
        Command(name="sleep", argv=("sh", "-c", "echo begun; exec sleep 1000")),
        on_line=lambda _: begun.set(),
        confinement=left,
    )
    await begun.wait()
    # the agent may be in other groups now; the note says where it was
    note = tmp_path / "cgroups"
    note.write_text("\n".join(str(place) for place in tree.places))
    await asyncio.to_thread(confine.Limiter(owner=owner)._sweep, note)
    assert (await stuck.wait()).signal == 9
    assert note.read_text() == ""
    assert not any(folder.exists() for folder in left.group.folders)
    assert all(folder.exists() for folder in confined.group.folders), "another agent's"


async def test_without_control_groups_resident_memory_is_watched(loose, monkeypatch):
    monkeypatch.setattr(run, "POLL_SECONDS", 0.02)
    hog = python(
        "held = b'x' * (100 << 20)\nimport signal\nsignal.pause()", memory_bytes=64 * MEBIBYTE, wall_seconds=60
    )
    assert (await finished(hog, loose)).ended is run.Ended.MEMORY_LIMIT


async def test_without_control_groups_a_sudden_growth_is_refused(loose):
    outcome = await finished(python("b'x' * (2 << 30)", memory_bytes=64 * MEBIBYTE, wall_seconds=60), loose)
    assert "MemoryError" in outcome.log


async def test_without_control_groups_a_cpu_limit_is_a_low_priority_on_few_cores(loose):
    told = python("import os; print(os.nice(0), len(os.sched_getaffinity(0)))", cpu_percent=50)
    lines: list[str] = []
    child = await run.start(told, on_line=lines.append, confinement=loose)
    assert (await child.wait()).ok
    assert lines == [f"{min(os.nice(0) + 10, 19)} 1"]  # the tests themselves may run at a low priority


def test_attempts_beside_each_other_are_on_different_cores():
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core only")
    limiter = confine.Limiter()
    assert limiter.attempt("a")._cores(100) != limiter.attempt("b")._cores(100)
    assert len(limiter.attempt("c")._cores(10_000)) == len(os.sched_getaffinity(0))


async def test_bytes_read_and_written_are_counted_with_those_of_children(loose, tmp_path):
    source, made = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"x" * 3_000_000)
    command = Command(name="sh", argv=("sh", "-c", f"cat {source} > {made}; head -c 500000 {source} >> {made}"))
    outcome = await finished(command, loose)
    assert outcome.written_bytes == pytest.approx(3_500_000, abs=50_000)
    assert 3_500_000 <= outcome.read_bytes < 4_000_000


@pytest.mark.parametrize("name", ["cgroups.py", "confine.py"])
def test_groups_are_made_below_our_own_only(name):
    """Whoever limits the agent limits its commands: no path of the whole tree is written down anywhere."""
    assert "/sys/fs/cgroup" not in Path(confine.__file__).with_name(name).read_text()
