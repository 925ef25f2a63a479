"""The artifact store in a local directory: resumable uploads that become immutable, hash-checked files.

`ID.part` holds what has arrived so far; its size is the offset to go on from. Whole, hashed and fsynced it is renamed to `ID`.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from ffrtmp.domain import errors
from ffrtmp.store import interface

#: bytes gathered before one write in a thread: a hop costs about as much as copying this much
_WRITE_BYTES = 1 << 20


class Artifacts:
    def __init__(self, root: Path) -> None:
        self.root = root
        self._locks: dict[str, asyncio.Lock] = {}

    def open(self) -> None:
        """Raises InvalidInput when the directory cannot be used."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise errors.InvalidInput(
                f"The artifact directory {self.root} cannot be made ({error.strerror})."
            ) from error

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
        try:
            return self._part(upload.id).stat().st_size
        except FileNotFoundError:
            return 0

    async def receive(self, upload: interface.Upload, offset: int, chunks: AsyncIterator[bytes]) -> int:
        """Append from `offset` on; what arrives before a broken connection stays. Returns the new offset.

        Raises Conflict with the true offset, PayloadTooLarge beyond the announced size, Unavailable when the disk is full.
        """
        lock = self._locks.setdefault(upload.id, asyncio.Lock())
        if lock.locked():
            raise errors.Conflict("Another request is sending this upload; wait for it.", code="upload_busy")
        async with lock:
            there = self.offset(upload)
            if offset != there:
                raise errors.Conflict(
                    f"The upload goes on at byte {there}, not {offset}; send Upload-Offset: {there} and the bytes from there.",
                    code="wrong_offset",
                )
            with self._disk():
                file = await asyncio.to_thread(self._part(upload.id).open, "ab", 0)
            try:
                position = there
                pending: list[bytes] = []
                waiting = 0
                try:
                    async for chunk in chunks:
                        position += len(chunk)
                        if position > upload.size_bytes:
                            raise errors.PayloadTooLarge(
                                f"More bytes came than the {upload.size_bytes} that were announced.",
                                code="upload_too_large",
                            )
                        pending.append(chunk)
                        waiting += len(chunk)
                        if waiting >= _WRITE_BYTES:
                            await self._append(file.fileno(), pending)
                            pending, waiting = [], 0
                finally:
                    # also when the connection broke: the sender resumes after what is here
                    await self._append(file.fileno(), pending)
                return os.fstat(file.fileno()).st_size
            finally:
                file.close()

    async def _append(self, descriptor: int, chunks: list[bytes]) -> None:
        data = b"".join(chunks)
        if data:
            with self._disk():
                await asyncio.to_thread(_write_all, descriptor, data)

    async def finish(self, upload: interface.Upload) -> None:
        """All bytes are there: hash, fsync, rename. Raises InvalidInput when the hash is not the announced one."""
        with self._disk():
            digest = await asyncio.to_thread(_seal, self._part(upload.id), self.path(upload.id), upload.sha256)
        if digest != upload.sha256:
            raise errors.InvalidInput(
                f"The bytes of upload {upload.id} hash to {digest}, not to the announced {upload.sha256}; send them again.",
                code="checksum_mismatch",
            )
        self._locks.pop(upload.id, None)

    async def remove(self, upload_ids: Iterable[str]) -> None:
        """Forget files whose jobs are gone."""
        paths = [path for upload_id in upload_ids for path in (self.path(upload_id), self._part(upload_id))]
        await asyncio.to_thread(_unlink, paths)

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


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _seal(part: Path, final: Path, expected: str) -> str:
    """Hash, and rename when the hash is right; a wrong one removes the part, since no byte of it can be trusted."""
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == expected:
            os.fsync(file.fileno())
    if digest != expected:
        part.unlink()
        return digest
    part.rename(final)
    descriptor = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return digest


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
