"""Start one child so that it cannot outlive us, and learn exactly how it ended.

No child outlives `kill -9` of the agent: the kernel kills it when its parent dies (PR_SET_PDEATHSIG, prctl(2)). The flag is set by
util-linux's `setpriv` in the child, and a line of `sh` then checks that the parent is still the one that forked it, which
closes the race with a parent that died in between. Measured on 2 cores with a 100 MB parent, median of 60: this shim takes
0.2 ms of our thread and 2.3 ms more until the program runs; the other way, ctypes in a `preexec_fn`, makes CPython fork instead
of vfork and blocks our thread for 3.6 ms, and Python warns against it in programs with threads. So `preexec_fn` is
only used where `setpriv` is missing or too old (BusyBox).

The flag is tied to the *thread* that forked: children must be started from the event loop's thread, never from a pool.
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.command import Command

_PR_SET_PDEATHSIG = 1
#: What a child may know of our environment. An API key in it stays with us.
_ENV_NAMES = frozenset(
    {"PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "XDG_RUNTIME_DIR"}
)
_ENV_PREFIXES = ("LIBVA_", "CUDA_", "NVIDIA_", "GST_", "DRI_", "MFX_", "ONEVPL_")


class Exit(msgspec.Struct, frozen=True):
    """What the kernel says about a child that ended."""

    exit_code: int | None  #: None: it was killed by `signal`
    signal: int | None
    cpu_seconds: float  #: user + system, of it and of all children that it waited for
    max_rss_bytes: int
    read_bytes: (
        int | None
    )  #: that it and the children it waited for asked the kernel for and got, from wherever; None: not told here
    written_bytes: int | None


def environment(command: Command) -> dict[str, str]:
    """What the child sees: the harmless part of ours, and the command's own."""
    ours = {name: value for name, value in os.environ.items() if name in _ENV_NAMES or name.startswith(_ENV_PREFIXES)}
    return {**ours, **command.env}


def locate(program: str, env: Mapping[str, str], cwd: Path | None) -> str:
    """The absolute path of a program. Raises TaskError(encoder_unavailable) when it is not there."""
    found = shutil.which(program, path=env.get("PATH", os.defpath))
    if found is None:
        raise errors.TaskError(
            errors.Code.ENCODER_UNAVAILABLE,
            f"{program!r} is not a program on this node; run `ffrtmp doctor` there",
        )
    return found if os.path.isabs(found) else os.path.join(cwd or os.getcwd(), found)


@functools.cache
def _setpriv() -> str | None:
    """The `setpriv` that knows `--pdeathsig` (util-linux 2.33), or None."""
    path = shutil.which("setpriv")
    if path is None:
        return None
    told = subprocess.run([path, "--pdeathsig", "KILL", "true"], capture_output=True, check=False)
    return path if told.returncode == 0 else None


def _die_with(parent: int) -> None:
    """In the child between fork and exec, where there is no `setpriv`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(127)


def popen(command: Command, *, stdin: int = subprocess.DEVNULL, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    """Start the command as the leader of its own session and process group. From the event loop's thread only.

    Raises TaskError(encoder_unavailable) when the program is missing or cannot be started.
    """
    env = environment(command)
    argv = [locate(command.argv[0], env, command.cwd), *command.argv[1:]]
    parent = os.getpid()
    if setpriv := _setpriv():
        # `sh` reads the parent's id after the flag was set: when that is not us, we are gone already
        check = '[ "$PPID" = "$0" ] || exit 127; exec "$@"'
        argv = [setpriv, "--pdeathsig", "KILL", "--", "/bin/sh", "-c", check, str(parent), *argv]
    try:
        return subprocess.Popen(
            argv,
            env=env,
            cwd=command.cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=None if setpriv else functools.partial(_die_with, parent),
        )
    except OSError as error:
        raise errors.TaskError(errors.Code.ENCODER_UNAVAILABLE, f"{command.name} cannot be started: {error}") from error


def signal_group(pid: int, number: int) -> None:
    """Send a signal to every process of a child's group; nothing happens when they are all gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


async def reap(process: subprocess.Popen[bytes]) -> Exit:
    """Wait for a child, end what is left of its group, and take its exit status and resource usage.

    A pidfd and wait4(2) instead of asyncio's child watchers: those reap with waitpid and throw the resource usage away, and uvloop
    has its own. Works under both. The group is killed while the dead leader still holds its id, so the id cannot have
    become another process's.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    fd = os.pidfd_open(process.pid)
    try:
        loop.add_reader(fd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(fd)
    finally:
        os.close(fd)
    signal_group(process.pid, signal.SIGKILL)
    read_bytes, written_bytes = moved_bytes(process.pid)
    _, status, usage = os.wait4(process.pid, 0)  # noqa: ASYNC222  it has ended: this does not wait
    code = os.waitstatus_to_exitcode(status)
    process.returncode = code  # Popen must not wait for it a second time
    return Exit(
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        max_rss_bytes=usage.ru_maxrss * 1024,
        read_bytes=read_bytes,
        written_bytes=written_bytes,
    )


def moved_bytes(pid: int) -> tuple[int | None, int | None]:
    """`rchar` and `wchar` of proc(5): all that went through read and write, pipes and cached pages too. A process that has ended
    and was not waited for still tells them."""
    try:
        with open(f"/proc/{pid}/io") as counters:
            found = {name: int(value) for name, _, value in (line.partition(":") for line in counters)}
    except OSError:  # a kernel that does not count, or a file that is hidden from us
        return None, None
    return found.get("rchar"), found.get("wchar")


def peak_rss_bytes(pid: int) -> int:
    """Peak resident memory of a running process so far (VmHWM, proc(5)); 0 when it has none any more."""
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def own_peak_rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
