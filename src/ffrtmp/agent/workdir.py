"""The agent's own directory: scratch per attempt, a journal of stage files, the lock that keeps a second agent out, and the
id by which masters tell this agent from others of its name.

A stage file stands beside its final output, in a directory that is not ours. Before one is made, its path is written to
`stages/ATTEMPT`; so after a kill -9 the next start knows exactly which files to remove, and removes nothing else.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
from pathlib import Path

from ffrtmp.agent import machine
from ffrtmp.domain import errors
from ffrtmp.process import leftover
from ffrtmp.transfer import local


class WorkDir:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.origin = ""  #: this agent's, at each of its starts (decision 10)
        self._lock: int | None = None

    def open(self) -> list[str]:
        """Lock it and sweep what an earlier run left; returns what was removed. Raises InvalidInput."""
        try:
            for folder in (self.path, self._attempts, self._stages):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise errors.InvalidInput(f"--work-dir {self.path} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.InvalidInput(
                f"Another agent uses --work-dir {self.path}; give this one its own, and its own --name."
            ) from None
        self.origin = self._own_origin(self._lock)
        return self._sweep()

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def scratch(self, attempt_id: str) -> Path:
        """A fresh directory for this attempt. What a cleaner of old files took away meanwhile is made again."""
        for folder in (self._attempts, self._stages):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._attempts / attempt_id
        path.mkdir(mode=0o700)
        return path

    def stage(self, output: Path, attempt_id: str) -> Path:
        """The name to write `output` under until it may be published, noted for the sweep."""
        path = local.stage_path(output, attempt_id)
        (self._stages / attempt_id).write_bytes(os.fsencode(path))
        return path

    def settle(self, attempt_id: str) -> None:
        """The attempt has ended: remove its scratch directory, and its stage file if it was not published."""
        self._remove_stage(self._stages / attempt_id)
        shutil.rmtree(self._attempts / attempt_id, ignore_errors=True)

    @property
    def _attempts(self) -> Path:
        return self.path / "attempts"

    @property
    def _stages(self) -> Path:
        return self.path / "stages"

    def _own_origin(self, lock: int) -> str:
        """It is kept with the place where it was made. At any other (a clone of the machine, a copy of the directory, the same
        machine after a reboot) a new one is made: a clone cannot be told from a reboot, and must not have its twin's. Raises
        InvalidInput."""
        place = os.fsencode(f"{machine.boot_id()} {socket.gethostname()} {os.fstat(lock).st_ino} {self.path}")
        note = self.path / "origin"
        with contextlib.suppress(FileNotFoundError):
            kept, _, made_at = note.read_bytes().partition(b" ")
            if made_at == place:
                return kept.decode()
        made = secrets.token_hex(16)
        fresh = note.with_suffix(".new")
        try:
            fresh.write_bytes(made.encode() + b" " + place)
            fresh.replace(note)
        except OSError as error:
            raise errors.InvalidInput(f"--work-dir {self.path} cannot be used: {error.strerror}.") from error
        return made

    def _sweep(self) -> list[str]:
        leftover.kill_in(self._attempts)  # first: they would go on writing
        removed = [str(stage) for note in self._stages.iterdir() if (stage := self._remove_stage(note))]
        for scratch in self._attempts.iterdir():
            shutil.rmtree(scratch, ignore_errors=True)
            removed.append(str(scratch))
        return removed

    def _remove_stage(self, note: Path) -> Path | None:
        """The stage file that was removed, if it was still there."""
        try:
            stage = Path(os.fsdecode(note.read_bytes()))
        except FileNotFoundError:
            return None
        removed = None
        if local.is_stage_of(stage, note.name):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                local.remove(stage)
                removed = stage
        note.unlink()
        return removed
