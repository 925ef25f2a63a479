"""Who may open a SQLite file: one master at a time, and not over a network."""

import fcntl
import os
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


class StoreLocked(errors.Conflict):
    """Another master has this database open."""

    code = "store_locked"

    def __init__(self, message: str | None = None, *, leaving: bool = False) -> None:
        super().__init__(message)
        self.leaving = leaving  #: only what a master left behind has it, and is about to end


class NetworkFileSystem(errors.Misconfigured):
    """A SQLite database cannot live on a network file system."""

    code = "network_file_system"


def lock(path: Path) -> int:
    """Holds `<path>.lock` until the descriptor is closed, here and in children that have it. Raises StoreLocked, or OSError."""
    beside = path.with_name(path.name + ".lock")
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _locked(descriptor):
        holders = os.pread(descriptor, 64, 0).decode(errors="replace").split() or ["unknown"]
        os.close(descriptor)
        if _alive(holders[0]):
            raise StoreLocked(
                f"{path} is in use by another master (process {holders[0]}). Stop it first, or give this one another --db."
            )
        raise StoreLocked(
            f"The last transaction on {path} of a master that is gone has not ended (process {holders[-1]}). Wait for that"
            " process or end it, or give this master another --db.",
            leaving=True,
        )
    try:
        note_holders(descriptor, os.getpid())
    except OSError:  # a full disk
        os.close(descriptor)
        raise
    return descriptor


def note_holders(descriptor: int, *processes: int) -> None:
    """Who has the lock, for the message to whoever comes next: the master, then the process that writes."""
    # over what stands there, and only then shorter: on a full disk a block that was given back may not come again
    os.ftruncate(descriptor, os.pwrite(descriptor, "".join(f"{process}\n" for process in processes).encode(), 0))


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
