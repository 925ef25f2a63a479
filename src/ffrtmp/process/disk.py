"""How much a child has written, and whether the file system has room left."""

import os
from pathlib import Path

from ffrtmp.domain.command import CommandLimits
from ffrtmp.process.clocks import Ended


def used_bytes(path: Path) -> int:
    """Blocks in use by a file, or by everything under a directory; 0 when it is not there. Links are not followed."""
    try:
        total = os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0
    waiting = [path]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    try:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                    except FileNotFoundError:  # removed between the listing and the look
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except (NotADirectoryError, FileNotFoundError):
            continue
    return total


def free_bytes(path: Path) -> int:
    """Bytes that an ordinary user may still write to the file system of `path` or of its nearest directory that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    stats = os.statvfs(path)
    return stats.f_bavail * stats.f_frsize


def breach(limits: CommandLimits) -> Ended | None:
    """Which disk limit is hit. Blocking: a few system calls per file that is watched."""
    if limits.disk_bytes is not None and sum(map(used_bytes, limits.watch)) > limits.disk_bytes:
        return Ended.DISK_LIMIT
    if any(free_bytes(path) < limits.disk_reserve_bytes for path in limits.watch):
        return Ended.DISK_FULL
    return None
