"""Control groups (cgroups(7)): where this process may make groups, and one group for the commands of an attempt.

Groups are always made below the group that this process is in, so whatever limits it limits them too. Version 2 is taken where its
cpu and memory controllers were given to us (systemd: `Delegate=yes`), else the controllers of version 1 that can be written to.
"""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import msgspec

#: cgroup v2 lets only groups without processes hand controllers down: the processes of a delegated group move into this one
PROGRAMS = "ffrtmp-programs"
_PERIOD_US = 100_000
#: a process that was killed needs a moment to be gone: a group can be removed when it has none
_REMOVE_TRIES, _REMOVE_PAUSE_SECONDS = 100, 0.02


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """Where groups can be made, by what they are for; None: they cannot."""

    version: int
    cpu: Path | None = None  #: a quota of CPU time
    memory: Path | None = None  #: a limit of memory
    usage: Path | None = None  #: CPU time that was used

    @property
    def places(self) -> tuple[Path, ...]:
        found = (self.cpu, self.memory, self.usage)
        return tuple(dict.fromkeys(place for place in found if place is not None))


def find(process: Path = Path("/proc/self")) -> tuple[Tree | None, str]:
    """The tree that this process may use, or None; and a sentence that says why, for people. Changes nothing."""
    own = _own_groups(process)
    if not own:
        return None, "no control groups are mounted here"
    why = ""
    if "" in own:
        tree, why = _second(own[""])
        if tree is not None:
            return tree, why
    first = {name: _writable(own.get(name)) for name in ("cpu", "memory", "cpuacct")}
    if first["cpu"] or first["memory"]:
        tree = Tree(version=1, cpu=first["cpu"], memory=first["memory"], usage=first["cpuacct"])
        return tree, "cgroup v1 controllers can be written to"
    if own.keys() & {"cpu", "memory"}:
        why = "the cgroup v1 controllers cannot be written to by this user"
    return None, why or "no cpu and memory controllers are mounted here"


def _own_groups(process: Path) -> dict[str, Path]:
    """Controller (`""`: version 2) → the folder of the group that the process is in, as far as that is mounted."""
    try:
        groups = (process / "cgroup").read_text().splitlines()
        mounts = (process / "mountinfo").read_text().splitlines()
    except OSError:
        return {}
    paths: dict[str, str] = {}
    for line in groups:
        _, names, path = line.split(":", 2)
        paths.update(dict.fromkeys(names.split(","), path))
    found: dict[str, Path] = {}
    for line in mounts:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        root, mounted = before.split(" ")[3:5]
        for name in [""] if kind == "cgroup2" else options.split(","):
            inside = os.path.relpath(paths[name], root) if name in paths else ".."
            if not inside.startswith(".."):  # a part of the tree that we are not in
                found.setdefault(name, Path(mounted, inside))
    return found


def _writable(group: Path | None) -> Path | None:
    return group if group is not None and os.access(group, os.W_OK) else None


def _second(own: Path) -> tuple[Tree | None, str]:
    base = own.parent if own.name == PROGRAMS or (_delegated(own.parent) and not _delegated(own)) else own
    offered = set(_read(base / "cgroup.controllers").split())
    if not offered & {"cpu", "memory"}:
        return None, f"cgroup v2: neither cpu nor memory is handed down to {base}"
    needed = (base, base / "cgroup.procs", base / "cgroup.subtree_control")
    if not all(os.access(path, os.W_OK) for path in needed):
        return None, f"cgroup v2: {base} belongs to another user (systemd: Delegate=yes gives it to a service)"
    strangers = _processes(base) - {os.getpid()}
    if strangers and not _top(base) and not _delegated(base):
        return None, f"cgroup v2: {base} has other processes in it and was not delegated (systemd: Delegate=yes)"
    tree = Tree(
        version=2,
        cpu=base if "cpu" in offered else None,
        memory=base if "memory" in offered else None,
        usage=base,
    )
    return tree, f"cgroup v2 below {base}"


def _delegated(group: Path) -> bool:
    """Whether systemd gave the group away, with all that is in it (systemd.resource-control(5), Delegate=)."""
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def _top(group: Path) -> bool:
    """Of the whole machine: that group alone may have processes and hand controllers down."""
    return not (group / "cgroup.type").exists()


def prepare(tree: Tree) -> None:
    """Make the tree ready for groups. Raises OSError where it turns out not to be ours to use."""
    if tree.version == 1:
        return
    [base] = tree.places
    if not _top(base):
        programs = base / PROGRAMS
        programs.mkdir(exist_ok=True)
        for pid in _processes(base):
            with contextlib.suppress(ProcessLookupError):
                (programs / "cgroup.procs").write_text(str(pid))
    wanted = [f"+{name}" for name, place in (("cpu", tree.cpu), ("memory", tree.memory)) if place]
    (base / "cgroup.subtree_control").write_text(" ".join(wanted))


class Group:
    """A group for the commands of one attempt. Raises OSError when it cannot be made."""

    def __init__(self, tree: Tree, name: str) -> None:
        self._tree = tree
        self._name = name
        self.folders = tuple(place / name for place in tree.places)
        try:
            for folder in self.folders:
                folder.mkdir()
        except OSError:
            self._remove()
            raise

    @property
    def doors(self) -> tuple[Path, ...]:
        """A process that writes its id into each of these is in the group, and so is all that it starts."""
        return tuple(folder / "cgroup.procs" for folder in self.folders)

    def limit_cpu(self, percent: int) -> None:
        """`percent` of one core, over all cores together."""
        folder = self._of(self._tree.cpu)
        quota = percent * _PERIOD_US // 100
        if self._tree.version == 2:
            (folder / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
            return
        (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        # EINVAL: a group above allows less; then that holds
        with contextlib.suppress(OSError):
            (folder / "cpu.cfs_quota_us").write_text(str(quota))

    def limit_memory(self, size_bytes: int) -> None:
        """Of all processes together, and no swap beside it: what does not fit is ended, not made slow."""
        folder = self._of(self._tree.memory)
        if self._tree.version == 2:
            settings = {"memory.max": size_bytes, "memory.swap.max": 0, "memory.oom.group": 1}
        else:
            settings = {"memory.limit_in_bytes": size_bytes, "memory.memsw.limit_in_bytes": size_bytes}
        for name, value in settings.items():
            if (folder / name).exists():  # those of swap are not on every kernel
                (folder / name).write_text(str(value))

    def kills(self) -> int:
        """Processes of the group that the kernel ended for want of memory."""
        if self._tree.memory is None:
            return 0
        name = "memory.events" if self._tree.version == 2 else "memory.oom_control"
        return _table(self._of(self._tree.memory) / name).get("oom_kill", 0)

    def peak_bytes(self) -> int | None:
        """Most memory that the group ever had, pages of files that it read among it; None: not told here."""
        if self._tree.memory is None:
            return None
        name = "memory.peak" if self._tree.version == 2 else "memory.max_usage_in_bytes"
        return int(_read(self._of(self._tree.memory) / name) or 0) or None

    def throttled(self) -> int:
        """How often the group had used up its CPU quota, in periods of 0.1 s."""
        return 0 if self._tree.cpu is None else _table(self._of(self._tree.cpu) / "cpu.stat").get("nr_throttled", 0)

    def cpu_seconds(self) -> float | None:
        """CPU time that all processes of the group have used, those that nobody waited for among them."""
        if self._tree.usage is None:
            return None
        folder = self._of(self._tree.usage)
        if self._tree.version == 2:
            return _table(folder / "cpu.stat").get("usage_usec", 0) / 1e6
        return int(_read(folder / "cpuacct.usage") or 0) / 1e9

    async def close(self) -> bool:
        """End what is left in it and remove it. False: something would not go; the next start of the agent tries again."""
        return self._remove() or await asyncio.to_thread(clear, self.folders)

    def _of(self, place: Path | None) -> Path:
        assert place is not None
        return place / self._name

    def _remove(self) -> bool:
        gone = [remove(folder) for folder in self.folders]
        return all(gone)


def clear(folders: tuple[Path, ...]) -> bool:
    """End what is in these groups and remove them. Blocking, for two seconds at most; whether they are gone."""
    for _ in range(_REMOVE_TRIES):
        kill(folders)
        gone = [remove(folder) for folder in folders]
        if all(gone):
            return True
        time.sleep(_REMOVE_PAUSE_SECONDS)
    return False


def kill(folders: tuple[Path, ...]) -> None:
    """SIGKILL to every process of these groups."""
    for folder in folders:
        if (folder / "cgroup.kill").exists():
            with contextlib.suppress(OSError):
                (folder / "cgroup.kill").write_text("1")
            continue
        for pid in _processes(folder):
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                try:
                    if pid in _processes(folder):  # still the one that was read
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                finally:
                    os.close(handle)


def remove(folder: Path) -> bool:
    """Whether the group is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _processes(folder: Path) -> set[int]:
    return {int(pid) for pid in _read(folder / "cgroup.procs").split() if pid != "0"}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _table(path: Path) -> dict[str, int]:
    """`name value` on each line."""
    pairs = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
