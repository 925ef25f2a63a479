"""The artifact store in a local directory: resumable uploads that become immutable, hash-checked files.

`ID.part` holds what has arrived so far; its size is the offset to go on from. Whole, hashed and fsynced it is renamed to `ID`.
Several masters may share the directory: a range lock on its file `.lock` keeps two of them from writing one upload.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ffrtmp.domain import errors
from ffrtmp.runtime.threads import in_thread
from ffrtmp.store import interface

#: bytes gathered before one write in a thread: a hop costs about as much as copying this much
_WRITE_BYTES = 1 << 20


class _Line:
    """The requests that send one upload's bytes: one at a time, the newest first."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.newest: asyncio.Task[Any] | None = None
        self.replaced: set[asyncio.Task[Any]] = set()
        self.sealing = False
        self.users = 0


class Artifacts:
    def __init__(self, root: Path) -> None:
        self.root = root
        self._lines: dict[str, _Line] = {}
        self._lock: int | None = None  # once open

    def open(self) -> None:
        """Raises InvalidInput when the directory cannot be used."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise errors.InvalidInput(
                f"The artifact directory {self.root} cannot be made ({error.strerror})."
            ) from error

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def alone(self, upload_id: str) -> Iterator[None]:
        """Against other processes, on other machines too (NFS has these locks); it ends with the process. Raises Unavailable."""
        assert self._lock is not None
        at = int.from_bytes(
            hashlib.sha256(upload_id.encode()).digest()[:7]
        )  # two that fall together wait for each other
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
        except (BlockingIOError, PermissionError):
            raise errors.Unavailable(
                f"Another master is receiving upload {upload_id}; ask for its status, then go on.", code="upload_busy"
            ) from None
        try:
            yield
        finally:
            if self._lock is not None:  # a stop does not wait for ever, and closing gave all locks back
                fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, at)

    def path(self, upload_id: str) -> Path:
        """Of a finished upload. Ids are ours, but a path is only made of what an id can hold."""
        if not upload_id or not upload_id.replace("-", "").isalnum():
            raise errors.NotFound(f"There is no upload {upload_id!r}.")
        return self.root / upload_id

    def _part(self, upload_id: str) -> Path:
        return self.path(upload_id).with_suffix(".part")

    def offset(self, upload: interface.Upload) -> int:
        """How many bytes have arrived."""
        if upload.complete:
            return upload.size_bytes
        # without a part: sealed, but the master ended before it wrote that down
        for path in (self._part(upload.id), self.path(upload.id)):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                continue
        return 0

    async def receive(self, upload: interface.Upload, offset: int, chunks: AsyncIterator[bytes]) -> bool:
        """Append from `offset` on; what arrives before a broken connection stays. True: the upload is whole, hashed and sealed.

        The newest request counts: the sender of an older one that still holds its connection has most likely given it up. Raises
        Conflict with the true offset, PayloadTooLarge beyond the announced size, InvalidInput for a wrong hash, Unavailable when
        the disk is full.
        """
        line = self._lines.setdefault(upload.id, _Line())
        line.users += 1
        me = asyncio.current_task()
        if line.newest is not None and not line.sealing:
            line.replaced.add(line.newest)
            line.newest.cancel()
        line.newest = me
        try:
            async with line.lock:
                with self.alone(upload.id):
                    return await self._go_on(upload, offset, chunks, line)
        except asyncio.CancelledError:
            if me not in line.replaced:
                raise
            raise errors.Conflict("A newer request goes on with this upload.", code="upload_replaced") from None
        finally:
            line.users -= 1
            if line.newest is me:
                line.newest = None
            if not line.users:
                del self._lines[upload.id]

    async def _go_on(self, upload: interface.Upload, offset: int, chunks: AsyncIterator[bytes], line: _Line) -> bool:
        there = self.offset(upload)
        if offset != there:
            raise errors.Conflict(
                f"The upload goes on at byte {there}, not {offset}; send Upload-Offset: {there} and the bytes from there.",
                code="wrong_offset",
            )
        if there < upload.size_bytes:
            there = await self._append(upload, there, chunks)
        if there < upload.size_bytes:
            return False
        line.sealing = True
        try:
            await self._finish(upload)
        finally:
            line.sealing = False
        return True

    async def _append(self, upload: interface.Upload, there: int, chunks: AsyncIterator[bytes]) -> int:
        with self._disk():
            file = await asyncio.to_thread(self._part(upload.id).open, "ab", 0)
        try:
            pending = _Pending(file.fileno(), self._disk)
            try:
                async for chunk in chunks:
                    there += len(chunk)
                    if there > upload.size_bytes:
                        raise errors.PayloadTooLarge(
                            f"More bytes came than the {upload.size_bytes} that were announced.",
                            code="upload_too_large",
                        )
                    await pending.add(chunk)
            finally:
                # also when the connection broke: the sender resumes after what is here
                await pending.write()
            return os.fstat(file.fileno()).st_size
        finally:
            file.close()

    async def _finish(self, upload: interface.Upload) -> None:
        """All bytes are there: hash, fsync, rename."""
        with self._disk():
            digest = await in_thread(_seal, self._part(upload.id), self.path(upload.id), upload.sha256)
        if digest != upload.sha256:
            raise errors.InvalidInput(
                f"The bytes of upload {upload.id} hash to {digest}, not to the announced {upload.sha256}; send them again.",
                code="checksum_mismatch",
            )

    async def remove(self, upload_ids: Iterable[str]) -> None:
        """Forget files whose jobs are gone."""
        paths = [path for upload_id in upload_ids for path in (self.path(upload_id), self._part(upload_id))]
        await asyncio.to_thread(_unlink, paths)

    async def idle(self, upload_ids: Sequence[str], seconds: float) -> list[str]:
        """Those whose bytes, as far as they are here, have not changed for so long."""
        newest = time.time() - seconds
        paths = {upload_id: (self.path(upload_id), self._part(upload_id)) for upload_id in upload_ids}

        def look() -> list[str]:
            return [
                upload_id for upload_id, files in paths.items() if all(_changed_at(file) < newest for file in files)
            ]

        return await asyncio.to_thread(look)

    def free_bytes(self) -> int:
        stat = os.statvfs(self.root)
        return stat.f_bavail * stat.f_frsize

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise errors.Unavailable(
                    f"The disk of the artifact directory {self.root} is full; free space there, then send the rest.",
                    code="disk_full",
                ) from error
            raise


class _Pending:
    """Bytes gathered for one write."""

    def __init__(self, descriptor: int, disk: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._descriptor = descriptor
        self._disk = disk
        self._chunks: list[bytes] = []
        self._size = 0

    async def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size >= _WRITE_BYTES:
            await self.write()

    async def write(self) -> None:
        data = b"".join(self._chunks)
        self._chunks, self._size = [], 0  # before the write: a cancel in the middle of it must not lead to a second one
        if data:
            with self._disk():
                await in_thread(_write_all, self._descriptor, data)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _seal(part: Path, final: Path, expected: str) -> str:
    """Hash, and rename when the hash is right; a wrong one removes the bytes, since none of them can be trusted."""
    there = part if part.exists() else final  # it may be sealed already, where a master ended before it wrote that down
    with there.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == expected:
            os.fsync(file.fileno())
    if digest != expected:
        there.unlink()
        return digest
    there.rename(final)
    descriptor = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return digest


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
