"""Processes that outlived an agent: those of a wrapper around ffmpeg, which the kernel kills only with its own parent."""

import contextlib
import os
import signal
from pathlib import Path


def kill_in(folder: Path) -> list[int]:
    """SIGKILL to every process of ours whose current directory lies under `folder`; returns their ids.

    By where it works, not by a remembered id, which may be another process's by now.
    """
    inside = os.path.realpath(folder) + os.sep
    killed = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            handle = os.pidfd_open(int(name))
            try:
                if int(name) != os.getpid() and os.readlink(f"/proc/{name}/cwd").startswith(inside):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    killed.append(int(name))
            finally:
                os.close(handle)
    return killed
