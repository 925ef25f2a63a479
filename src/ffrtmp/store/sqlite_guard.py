"""Who may open a SQLite file: one master at a time, and not over a network."""

import fcntl
import os
import time
from pathlib import Path

from ffrtmp.domain import errors

#: file systems whose locks and shared memory SQLite cannot trust ("How To Corrupt An SQLite Database File", §2.1)
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "ceph",
    "gluster",
    "lustre",
    "afs",
    "beegfs",
    "fuse.sshfs",
    "fuse.gluster",
    "fuse.ceph",
)

#: how long a killed master's last transaction may go on
_LAST_TRANSACTION_SECONDS = 10.0


class StoreLocked(errors.Conflict):
    """Another master has this database open."""

    code = "store_locked"


class NetworkFileSystem(errors.FfrtmpError):
    """A SQLite database cannot live on a network file system."""

    code = "network_file_system"


def lock(path: Path) -> int:
    """Holds `<path>.lock` until the descriptor is closed. Raises StoreLocked with the process that has it.

    A master that was killed leaves a process that ends its last transaction, and has the lock until then: that is waited for.
    """
    beside = path.with_name(path.name + ".lock")
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _LAST_TRANSACTION_SECONDS
    while not _locked(descriptor):
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        if _alive(holder) or time.monotonic() > until:
            os.close(descriptor)
            raise StoreLocked(
                f"{path} is in use by another master (process {holder or 'unknown'}). "
                "Stop it first, or give this one another --db."
            )
        time.sleep(0.02)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _alive(process: str) -> bool:
    import psutil

    try:
        return psutil.Process(int(process)).status() != psutil.STATUS_ZOMBIE
    except (ValueError, psutil.Error):
        return False


def refuse_network(path: Path, mounts: str | None = None) -> None:
    """`mounts`: the text of /proc/self/mountinfo; without one (not Linux) nothing is refused."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
    where = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        mount = Path(fields[4].encode().decode("unicode_escape"))
        if (where == mount or mount in where.parents) and len(mount.parts) >= best:
            best, kind = len(mount.parts), after.split(" ")[0]
    if kind.startswith(_NETWORK):
        raise NetworkFileSystem(
            f"{path} is on a {kind} file system, where SQLite loses data. Put --db on a local disk, or use PostgreSQL."
        )
