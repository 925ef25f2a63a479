"""CPU and memory of an attempt's commands: held by control groups where this machine lets us, else as well as can be without.

Without a CPU quota the commands run at a low priority on as many cores as the limit needs. Without a memory limit of the kernel
their resident memory is looked at once a second, and RLIMIT_DATA keeps a sudden growth between two looks from taking the machine.
(Not RLIMIT_AS: encoders reserve far more addresses than they use.)
"""

import itertools
import os
from pathlib import Path

import msgspec

from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.process import cgroups, spawn
from ffrtmp.telemetry import logs

_log = logs.get("limits")
_NICE = 10
#: RLIMIT_DATA counts what a program may write to, used or not: stacks of threads above all
_ROOM_BYTES = 1 << 30
#: `n` doors to write our id into, then a limit of the data segment in KiB (or -), then the program
_SCRIPT = (
    'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1" || exit 126; shift; n=$((n - 1)); done;'
    ' [ "$1" = - ] || ulimit -d "$1"; shift; exec "$@"'
)


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """How limits are held here, for people."""

    cpu: str
    memory: str
    why: str

    def told(self, limits: CommandLimits) -> str:
        """`limits: CPU 150 % (cgroup v1 quota), memory 512 MiB (cgroup v1)`; "" without limits."""
        parts = []
        if limits.cpu_percent is not None:
            parts.append(f"CPU {limits.cpu_percent} % of a core ({self.cpu})")
        if limits.memory_bytes is not None:
            parts.append(f"memory {limits.memory_bytes / (1 << 20):.0f} MiB ({self.memory})")
        return f"limits: {', '.join(parts)}" if parts else ""


def means(tree: cgroups.Tree | None, why: str) -> Means:
    version = f"cgroup v{tree.version}" if tree else ""
    return Means(
        cpu=f"{version} quota" if tree and tree.cpu else "low priority, on as many whole cores as the limit needs",
        memory=version if tree and tree.memory else "resident memory, looked at each second",
        why=why,
    )


class Limiter:
    """One for each agent. `owner` is part of the groups' names: agents of one machine leave each other's alone."""

    def __init__(self, tree: cgroups.Tree | None = None, why: str = "", *, owner: str = "") -> None:
        self.tree = tree
        self.means = means(tree, why)
        self._prefix = f"ffrtmp-{owner[:16]}-"
        self._turns = itertools.count()

    @classmethod
    def open(cls, note: Path, owner: str) -> "Limiter":
        """Find out what works here, and remove the groups that an earlier run left. `note`: where it writes down where they are."""
        tree, why = cgroups.find()
        if tree is not None:
            try:
                cgroups.prepare(tree)
            except OSError as error:
                why = f"cgroup v{tree.version} cannot be used: {error.strerror}: {error.filename}"
                tree = None
        made = cls(tree, why, owner=owner)
        made._sweep(note)
        return made

    def _sweep(self, note: Path) -> None:
        """The agent may have been in other groups at its last start: their places are in the note."""
        places = list(self.tree.places if self.tree else ())
        for place in map(Path, note.read_text().splitlines() if note.exists() else ()):
            left = tuple(place.glob(f"{self._prefix}*"))
            if not cgroups.clear(left):
                _log.warning(
                    "control groups of an earlier run could not be removed", paths=[str(path) for path in left]
                )
                places.append(place)
        try:
            note.write_text("\n".join(dict.fromkeys(map(str, places))))
        except OSError as error:  # a full disk must not keep the agent from starting
            _log.warning("where control groups are made could not be noted", why=error.strerror, path=str(note))

    def attempt(self, name: str) -> "Confinement":
        """What the commands of one attempt run in. `close` it when they have ended."""
        group: cgroups.Group | None = None
        if self.tree is not None:
            try:
                group = cgroups.Group(self.tree, self._prefix + name)
            except OSError as error:
                _log.warning("no control group could be made", why=error.strerror, path=error.filename)
        return Confinement(group, self.tree, next(self._turns))


class Confinement:
    def __init__(self, group: cgroups.Group | None, tree: cgroups.Tree | None, turn: int) -> None:
        self.group = group
        self._quota = group is not None and tree is not None and tree.cpu is not None
        self._fence = group is not None and tree is not None and tree.memory is not None
        self._turn = turn  #: attempts beside each other are put on different cores
        self._kills = 0

    def enter(self, command: Command) -> Command:
        """The same command, held by its limits.

        Raises TaskError when there is no such program, OSError when a limit cannot be set.
        """
        limits = command.limits
        doors = self.group.doors if self.group else ()
        if self.group is not None:
            if self._quota and limits.cpu_percent is not None:
                self.group.limit_cpu(limits.cpu_percent)
            if self._fence and limits.memory_bytes is not None:
                self.group.limit_memory(limits.memory_bytes)
            self._kills = self.group.kills()
        data = "-"
        if limits.memory_bytes is not None and not self._fence:
            data = str((2 * limits.memory_bytes + _ROOM_BYTES) // 1024)
        low: tuple[str, ...] = ()
        if limits.cpu_percent is not None and not self._quota:
            low = ("nice", "-n", str(_NICE), "taskset", "-c", ",".join(map(str, self._cores(limits.cpu_percent))))
        if not doors and data == "-" and not low:
            return command
        program = spawn.locate(command.argv[0], spawn.environment(command), command.cwd)
        argv = (*("/bin/sh", "-c", _SCRIPT, "sh", str(len(doors)), *map(str, doors), data), *low, program)
        return msgspec.structs.replace(command, argv=(*argv, *command.argv[1:]))

    def _cores(self, percent: int) -> list[int]:
        ours = sorted(os.sched_getaffinity(0))
        wanted = min(len(ours), -(-percent // 100))
        return sorted(ours[(self._turn * wanted + index) % len(ours)] for index in range(wanted))

    def killed(self) -> bool:
        """Whether the kernel ended a process of the last command because of the memory limit."""
        return self.group is not None and self.group.kills() > self._kills

    def grown(self, pid: int, limits: CommandLimits) -> bool:
        """Whether a command and what it started have more resident memory than they may, where the kernel does not look."""
        if limits.memory_bytes is None or self._fence:
            return False
        return resident_bytes(pid) > limits.memory_bytes

    async def close(self) -> None:
        if self.group is not None and not await self.group.close():
            _log.warning("a control group could not be removed", paths=[str(path) for path in self.group.folders])


def resident_bytes(pid: int) -> int:
    """Of a process and all below it; 0 when it has ended."""
    import psutil

    total = 0
    try:
        leader = psutil.Process(pid)
        family = [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            total += process.memory_info().rss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total
