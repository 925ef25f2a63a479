"""A child process as data: `media` makes Commands, `process` runs them, tests assert the whole argv."""

from pathlib import Path

import msgspec


class CommandLimits(msgspec.Struct, frozen=True, kw_only=True):
    """None: no limit. A limit that is hit ends the whole process group; that of the CPU only slows it."""

    wall_seconds: float | None = None
    stall_seconds: float | None = None  #: longest time between two calls of `Child.alive()` (progress)
    disk_bytes: int | None = None  #: size of everything under `watch`
    disk_reserve_bytes: int = 64 * 1024 * 1024  #: stop before the file system of `watch` has less than this
    cpu_percent: int | None = None  #: 100: one core; over all cores together
    memory_bytes: int | None = None  #: of all processes of the attempt together
    watch: tuple[Path, ...] = ()  #: files and directories whose size counts; one that is not there yet counts 0
    stop_grace_seconds: float = 5.0  #: from SIGTERM to SIGKILL


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """`reads` and `writes` are the only paths it needs beside the system's: the sandbox binds these and nothing else."""

    name: str  #: for messages: "ffmpeg", "ffmpeg pass 1", "inspect"
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: Path | None = None
    limits: CommandLimits = CommandLimits()
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    network: bool = False
    last_words: str = (
        ""  #: one whose log has this has failed, and is ended if it does not end by itself; "": it always does
    )
