"""Files up and down: resumable both ways, and never taken for whole without their SHA-256."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from ffrtmp.client import http
from ffrtmp.domain import errors
from ffrtmp.protocol import agent
from ffrtmp.transfer import local

#: (bytes done, bytes in all)
OnProgress = Callable[[int, int], None]
#: asked again with the answer's Range, this many times without a byte of progress before we give up
_TRIES = 6
_CHUNK_BYTES = 256 * 1024


async def upload(
    wire: http.Http, path: Path, *, name: str | None = None, sha256: str | None = None, on_progress: OnProgress | None
) -> agent.UploadStatus:
    """Send a file. `sha256` spares reading it once more. Raises OSError for the file, domain errors for the rest."""
    size = (await asyncio.to_thread(path.stat)).st_size
    if size == 0:
        raise errors.InvalidInput(f"{path} is empty (0 bytes): there is nothing to send.", code="empty_file")
    if sha256 is None:
        sha256 = await asyncio.to_thread(local.sha256_file, path)
    status = await wire.call(
        "POST",
        "/uploads",
        agent.UploadStatus,
        body=agent.UploadCreate(name=name or path.name, size_bytes=size, sha256=sha256),
        tries=_TRIES,
    )
    failures = 0
    while not status.complete:
        before = status.offset
        try:
            status = await _send_rest(wire, path, status, on_progress)
        except errors.Unavailable as error:
            failures += 1
            if failures == _TRIES:
                raise
            await asyncio.sleep(http.backoff(failures, error.retry_after_seconds, wire.rng))
            status = await wire.call("GET", f"/uploads/{status.id}", agent.UploadStatus, tries=_TRIES)
        if status.offset > before:
            failures = 0
        elif not status.complete and not failures:
            raise errors.FfrtmpError(
                f"The master at {wire.base_url} takes no more bytes of {path.name} after {before} of {size}.",
                code="upload_failed",
            )
    if on_progress:
        on_progress(size, size)
    return status


async def _send_rest(
    wire: http.Http, path: Path, status: agent.UploadStatus, on_progress: OnProgress | None
) -> agent.UploadStatus:
    import msgspec

    async def body() -> AsyncIterator[bytes]:
        sent = status.offset
        with await asyncio.to_thread(path.open, "rb") as source:
            source.seek(sent)
            while sent < status.size_bytes:
                piece = await asyncio.to_thread(source.read, min(_CHUNK_BYTES, status.size_bytes - sent))
                if not piece:
                    raise errors.InvalidInput(f"{path} became shorter while it was being sent.", code="file_changed")
                yield piece
                sent += len(piece)
                if on_progress:
                    on_progress(sent, status.size_bytes)

    headers = {
        "Upload-Offset": str(status.offset),
        "Content-Length": str(status.size_bytes - status.offset),
        "Content-Type": "application/octet-stream",
    }
    try:
        async with wire.stream("PUT", f"/uploads/{status.id}", content=body(), headers=headers) as reply:
            return msgspec.json.decode(await reply.aread(), type=agent.UploadStatus)
    except errors.Conflict:
        # our offset is not the server's (an earlier send got further than we heard): its status says where to go on
        return await wire.call("GET", f"/uploads/{status.id}", agent.UploadStatus, tries=_TRIES)


async def download(
    wire: http.Http,
    url: str,
    dest: Path,
    *,
    size_bytes: int,
    sha256: str,
    on_progress: OnProgress | None,
    overwrite: bool,
) -> Path:
    """Fetch `url` into `dest`, by way of `dest.part`, which a broken fetch leaves behind and the next one goes on with.
    Raises Conflict when `dest` exists and may not be overwritten."""
    if not overwrite and await asyncio.to_thread(os.path.lexists, dest):
        raise _exists(dest)
    part_path = dest.with_name(dest.name + ".part")
    failures = 0
    with await asyncio.to_thread(_Part, part_path, size_bytes) as part:
        while part.have < size_bytes:
            before = part.have
            try:
                await _fetch_rest(wire, url, part, on_progress)
            except errors.Unavailable as error:
                failures = 1 if part.have > before else failures + 1
                if failures == _TRIES:
                    raise
                await asyncio.sleep(http.backoff(failures, error.retry_after_seconds, wire.rng))
    if on_progress:
        on_progress(size_bytes, size_bytes)
    if part.digest.hexdigest() != sha256:
        part_path.unlink()
        raise errors.FfrtmpError(
            f"{dest.name} arrived damaged: its SHA-256 is not the one that the master stored. Try again.",
            code="transfer_failed",
        )
    try:
        await asyncio.to_thread(local.publish, part_path, dest, overwrite=overwrite)
    except errors.TaskError as error:
        raise _exists(dest) from error
    return dest


class _Part:
    """The bytes that are here already, hashed. A leftover that is too long is of another file and is dropped."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.digest = hashlib.sha256()
        self.have = 0
        self._sink = path.open("a+b")
        if self._sink.seek(0, os.SEEK_END) > size_bytes:
            self._sink.truncate(0)
        self._sink.seek(0)
        while piece := self._sink.read(_CHUNK_BYTES):
            self._count(piece)

    def __enter__(self) -> "_Part":
        return self

    def __exit__(self, *_: object) -> None:
        self._sink.close()

    def restart(self) -> None:
        self._sink.truncate(0)
        self.digest, self.have = hashlib.sha256(), 0

    def add(self, piece: bytes) -> None:
        self._sink.write(piece)
        self._sink.flush()
        self._count(piece)

    def _count(self, piece: bytes) -> None:
        self.digest.update(piece)
        self.have += len(piece)


async def _fetch_rest(wire: http.Http, url: str, part: _Part, on_progress: OnProgress | None) -> None:
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={part.have}-"} if part.have else {})}
    async with wire.stream("GET", url, headers=headers) as reply:
        if part.have and reply.status_code != 206:
            part.restart()
        async for piece in reply.aiter_raw(_CHUNK_BYTES):
            if part.have + len(piece) > part.size_bytes:
                raise errors.FfrtmpError(f"{url} holds more bytes than announced.", code="transfer_failed")
            await asyncio.to_thread(part.add, piece)
            if on_progress:
                on_progress(part.have, part.size_bytes)
    if part.have < part.size_bytes:
        raise errors.Unavailable(f"{url} ended after {part.have} of {part.size_bytes} bytes.", code="connection_broken")


def _exists(dest: Path) -> errors.Conflict:
    return errors.Conflict(f"{dest} exists; give another name, or --overwrite.", code="output_exists")
