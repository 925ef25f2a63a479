"""Files of this machine: only under the media roots, never half-written, never replaced unless that was asked.

A path that a user gives is resolved with all its links and must then lie under a root. Outputs are staged beside their final
place and renamed, so that a reader sees the old state or the whole new file.
"""

import contextlib
import ctypes
import enum
import errno
import functools
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ffrtmp.domain.errors import Code, TaskError

Identity = tuple[int, int]  #: of a file, until somebody writes to it: its inode and its time of writing, ns
STAGE_SUFFIX = ".ffrtmp-part"
_NAME_MAX_BYTES = 255
_HASH_BYTES = 256 * 1024
_AT_FDCWD = -100
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2  # <linux/fs.h>
#: what a file system answers that cannot do these (and a kernel before 3.15)
_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def resolve_input(path: str, roots: Sequence[Path]) -> Path:
    """The regular, readable file that `path` names under one of `roots` (a relative path: under the first that has it).

    Raises TaskError: input_forbidden, input_missing, input_invalid. Outside of the roots nothing is said about what exists.
    """
    _check_text(path, Code.INPUT_FORBIDDEN, "input")
    found: Path | None = None
    for candidate in _candidates(path, roots):
        found = _under(candidate, roots)
        if found is not None and found.exists():
            break
    if found is None:
        raise TaskError(Code.INPUT_FORBIDDEN, f"The input {path} is not under {_names(roots)}.")
    try:
        mode = found.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise TaskError(Code.INPUT_MISSING, f"The input {path} does not exist on this node.") from None
    except OSError as error:
        raise TaskError(Code.INPUT_FORBIDDEN, f"The input {path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(mode.st_mode):
        raise TaskError(Code.INPUT_INVALID, f"The input {path} is {_kind(mode.st_mode)}, not a file.")
    if mode.st_size == 0:
        raise TaskError(Code.INPUT_INVALID, f"The input {path} is empty (0 bytes).")
    if not os.access(found, os.R_OK):
        raise TaskError(Code.INPUT_FORBIDDEN, f"The agent's user may not read the input {path}.")
    return found


def resolve_output(path: str, roots: Sequence[Path], *, overwrite: bool, folder: bool = False) -> Path:
    """Where `path` will be: in a directory that exists under one of `roots`. `folder`: it is to be a directory itself.

    Raises TaskError: output_forbidden, output_exists.
    """
    _check_text(path, Code.OUTPUT_FORBIDDEN, "output")
    parent: Path | None = None
    for candidate in _candidates(path, roots):
        parent = _under(candidate.parent, roots)
        if parent is not None and parent.is_dir():
            break
    if parent is None:
        raise TaskError(Code.OUTPUT_FORBIDDEN, f"The output {path} is not under {_names(roots)}.")
    if not parent.is_dir():
        raise TaskError(Code.OUTPUT_FORBIDDEN, f"The directory of the output {path} does not exist; make it first.")
    output = parent / PurePosixPath(path).name
    try:
        mode = output.lstat().st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        raise TaskError(Code.OUTPUT_FORBIDDEN, f"The output {path} cannot be written: {error.strerror}.") from error
    if mode is not None and folder and not stat.S_ISDIR(mode):
        kind = "a file" if stat.S_ISREG(mode) else _kind(mode)
        raise TaskError(
            Code.OUTPUT_FORBIDDEN, f"The output {path} is {kind}; several files come out: name a directory."
        )
    if mode is not None and not folder and not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise TaskError(Code.OUTPUT_FORBIDDEN, f"The output {path} is {_kind(mode)}; name a file.")
    if mode is not None and not overwrite:
        raise _exists(output)
    if not os.access(parent, os.W_OK | os.X_OK):
        raise TaskError(Code.OUTPUT_FORBIDDEN, f"The agent's user may not write in the directory of {path}.")
    return output


def refuse_same_file(source: Path, output: Path) -> None:
    """The input is never written, not under another name either. Raises TaskError: output_forbidden."""
    if output.is_dir() and source.resolve().is_relative_to(output.resolve()):
        raise TaskError(Code.OUTPUT_FORBIDDEN, f"The output {output} holds the input; choose another directory.")
    if output.exists() and os.path.samefile(source, output):
        raise TaskError(Code.OUTPUT_FORBIDDEN, f"The output {output} is the input itself; choose another name.")


def stage_path(output: Path, attempt_id: str) -> Path:
    """Where an attempt writes before it may publish: the same directory, so that a rename is all that is left to do."""
    tail = f".{attempt_id}{STAGE_SUFFIX}".encode()
    head = os.fsencode(output.name)[: _NAME_MAX_BYTES - len(tail) - 1].decode(errors="ignore").encode()
    return output.with_name(os.fsdecode(b"." + head + tail))


def is_stage_of(path: Path, attempt_id: str) -> bool:
    """Whether `path` is named as `stage_path` names it: what may be swept."""
    return path.name.startswith(".") and path.name.endswith(f".{attempt_id}{STAGE_SUFFIX}")


def make_durable(stage: Path, output: Path) -> None:
    """Wait until the bytes of `stage`, a file or a directory of files, are on the disk. Raises TaskError: disk_full,
    transfer_failed."""
    try:
        if stage.is_dir():
            for file in stage.iterdir():
                _sync(file)
        _sync(stage)
    except OSError as error:
        raise _not_written(output, error) from error


def publish(
    stage: Path,
    output: Path,
    *,
    overwrite: bool,
    may: Callable[[], bool] = lambda: True,
    instead_of: Identity | None = None,
) -> bool:
    """Make `stage` durable, then give it its name. Blocks for as long as the disk takes. False: nothing was published.

    `may` is asked in the last instant before the rename, from this thread, and once more after it: a machine that stood still
    between the two wakes up late, and what it renamed then is taken back, unless another attempt adopted it meanwhile. (A file
    system that cannot exchange two names, such as NFS, cannot take back where something was replaced.) `instead_of`: all that may
    be replaced, whatever `overwrite` says.

    Raises TaskError: output_exists when something took the name meanwhile, disk_full, transfer_failed.
    """
    try:
        _sync(stage)
        if not may():
            return False
        ours = _identity(stage)
        if instead_of is not None:
            overwrite = _identity(output) == instead_of
        before = _rename_over(stage, output) if overwrite else _rename_new(stage, output)
        late = not may()
        if late and before is not _Before.REPLACED and _identity(output) == ours:
            _take_back(stage, output, before, ours)
        elif before is _Before.EXCHANGED:
            remove(stage)
        _sync(output.parent, os.O_DIRECTORY)
    except FileExistsError:
        raise _exists(output) from None
    except OSError as error:
        raise _not_written(output, error) from error
    return not late


def sha256_file(path: Path, stop: threading.Event | None = None, *, copy_to: Path | None = None) -> str:
    """Hexadecimal; "" when `stop` was set meanwhile: nobody wants it any more, and a large file takes minutes. Raises OSError."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_HASH_BYTES))
    with path.open("rb", buffering=0) as source, _new_file(copy_to) as copy:
        while taken := source.readinto(buffer):
            if stop is not None and stop.is_set():
                return ""
            digest.update(buffer[:taken])
            if copy is not None:
                copy.write(buffer[:taken])
    return digest.hexdigest()


def _new_file(path: Path | None) -> contextlib.AbstractContextManager[BinaryIO | None]:
    return contextlib.nullcontext() if path is None else path.open("xb")


def holds(path: Path, size_bytes: int, sha256: str, stop: threading.Event | None = None) -> bool:
    """Whether `path` is a regular file with exactly these bytes; the hash is only taken when the size is right."""
    try:
        found = path.lstat()
        return stat.S_ISREG(found.st_mode) and found.st_size == size_bytes and sha256_file(path, stop) == sha256
    except OSError:
        return False


def adopt_folder(
    path: Path, files: Mapping[str, Sequence[tuple[int, str]]], stop: threading.Event | None = None
) -> bool:
    """As `adopt`, for a directory that holds nothing but files of these sizes and hashes, each under a name of its own."""
    try:
        inside = list(path.iterdir())
        known = all(any(holds(entry, *one, stop) for one in files.get(entry.name, ())) for entry in inside)
        if not inside or not known:
            return False
        inode = path.lstat().st_ino
        os.utime(path)
        return path.lstat().st_ino == inode
    except OSError:
        return False


def adopt(path: Path, size_bytes: int, sha256: str, stop: threading.Event | None = None) -> bool:
    """Take over what another attempt renamed into place, if `path` holds exactly that. From a True on it stays: the other one does
    not take it back when it wakes up late, since it sees another time of writing than it left.

    Raises PermissionError where the file belongs to an agent that runs as another user: see `copy_of`."""
    if not holds(path, size_bytes, sha256, stop):
        return False
    try:
        inode = path.lstat().st_ino
        os.utime(path, follow_symlinks=False)
        return path.lstat().st_ino == inode
    except PermissionError:
        raise
    except OSError:
        return False


def copy_of(path: Path, copy: Path, sha256: str, stop: threading.Event | None = None) -> Identity | None:
    """What another attempt renamed into place and we may not mark as ours, as a file of ours beside it, to be published
    `instead_of` what is returned. None, and no copy: it is gone, or something else. Raises OSError where it cannot be written."""
    found = _identity(path)
    try:
        same = sha256_file(path, stop, copy_to=copy) == sha256
    except FileNotFoundError:
        return None
    if same:
        return found
    copy.unlink()
    return None


def remove(path: Path) -> None:
    """A file, or a directory with all that is in it. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _check_text(path: str, code: Code, what: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or not PurePosixPath(path).name or path.endswith("/"):
        raise TaskError(code, f"The {what} {path!r} names no file.")
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in path):
        raise TaskError(code, f"The {what} {path!r} has control characters in its name.")
    if ".." in parts:
        raise TaskError(code, f"The {what} {path} has '..' in it; write the path without.")
    if path.startswith("-"):
        raise TaskError(code, f"The {what} {path} begins with '-', as an option does; write ./{path}")
    if len(os.fsencode(parts[-1])) > _NAME_MAX_BYTES:
        raise TaskError(code, f"The name of the {what} is longer than {_NAME_MAX_BYTES} bytes.")


def _candidates(path: str, roots: Sequence[Path]) -> list[Path]:
    return [root / path for root in roots]  # an absolute path swallows the root


def _under(path: Path, roots: Sequence[Path]) -> Path | None:
    """`path` with all links resolved, when that lies under a root."""
    try:
        real = Path(os.path.realpath(path))
    except (OSError, ValueError):
        return None
    return real if any(real.is_relative_to(os.path.realpath(root)) for root in roots) else None


def _names(roots: Sequence[Path]) -> str:
    if not roots:
        return "any directory: this agent has no --media-root"
    return "a --media-root of this agent (" + ", ".join(str(root) for root in roots) + ")"


def _kind(mode: int) -> str:
    kinds: tuple[tuple[Callable[[int], bool], str], ...] = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISLNK, "a link"),
    )
    return next((name for test, name in kinds if test(mode)), "something special")


def _exists(output: Path) -> TaskError:
    return TaskError(Code.OUTPUT_EXISTS, f"The output {output} exists already.")


def _not_written(output: Path, error: OSError) -> TaskError:
    code = Code.DISK_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else Code.TRANSFER_FAILED
    return TaskError(code, f"{output} could not be written: {error.strerror}.")


def _sync(path: Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function


def _identity(path: Path) -> Identity | None:
    """Of a file, until somebody writes to it or adopts it. None: it is gone."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


class _Before(enum.Enum):
    """What had the output's name before the rename."""

    NOTHING = enum.auto()
    EXCHANGED = enum.auto()  # something, which has the stage's name now
    REPLACED = enum.auto()  # something, which is gone


def _rename_new(stage: Path, output: Path) -> _Before:
    """Rename where nothing is yet. Raises FileExistsError."""
    if not _rename(stage, output, _RENAME_NOREPLACE):
        if stage.is_dir():
            if os.path.lexists(output):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(output))
            stage.rename(output)  # over an empty directory at the most
            return _Before.NOTHING
        os.link(stage, output, follow_symlinks=False)
        stage.unlink()
    return _Before.NOTHING


def _rename_over(stage: Path, output: Path) -> _Before:
    """Rename, whatever is there."""
    try:
        if output.is_dir() is not stage.is_dir() or not _rename(stage, output, _RENAME_EXCHANGE):
            stage.replace(output)  # never a file over a directory, nor a directory over anything in it
            return _Before.REPLACED
    except FileNotFoundError:
        return _rename_new(stage, output)
    return _Before.EXCHANGED


def _take_back(stage: Path, output: Path, before: _Before, ours: Identity | None) -> None:
    """What turns out not to be ours any more goes back: since the look, another attempt has adopted it, or replaced it."""
    if before is _Before.EXCHANGED:
        _rename(stage, output, _RENAME_EXCHANGE)
        if _identity(stage) != ours:
            _rename(stage, output, _RENAME_EXCHANGE)
            remove(stage)
        return
    output.rename(stage)
    if _identity(stage) != ours:
        with contextlib.suppress(FileExistsError):
            _rename_new(stage, output)


def _rename(stage: Path, output: Path, flags: int) -> bool:
    """False: the file system or the kernel cannot do it so. Raises OSError."""
    rename = _renameat2()
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(stage), _AT_FDCWD, os.fsencode(output), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number not in _CANNOT:
        raise OSError(number, os.strerror(number), str(output))
    return False
