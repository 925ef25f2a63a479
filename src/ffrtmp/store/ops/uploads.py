"""Uploads: what is known of artifacts. Their bytes are the artifact store's."""

from collections.abc import Sequence

import msgspec

from ffrtmp.domain import errors
from ffrtmp.store import calls, interface
from ffrtmp.store.ops import read
from ffrtmp.store.ops.unit import Unit


class _New(msgspec.Struct, gc=False):
    id: str
    name: str
    size_bytes: int
    sha256: str
    at: int


class _Id(msgspec.Struct, gc=False):
    id: str


async def create(unit: Unit, batch: Sequence[calls.CreateUpload]) -> list[interface.Upload]:
    """The same id again is the same upload."""
    new = [_New(one.new.id, one.new.name, one.new.size_bytes, one.new.sha256, unit.now) for one in batch]
    await unit.tx.change("upload_insert", sorted(new, key=lambda one: one.id))
    found = await read.uploads(unit.tx, [one.id for one in new])
    return [found[one.id] for one in new]


async def finish(unit: Unit, batch: Sequence[calls.FinishUpload]) -> list[interface.Upload | errors.FfrtmpError]:
    await unit.tx.change("upload_finish", [_Id(upload_id) for upload_id in sorted({one.upload_id for one in batch})])
    found = await read.uploads(unit.tx, [one.upload_id for one in batch])
    return [found.get(one.upload_id) or errors.NotFound(f"There is no upload {one.upload_id}.") for one in batch]


async def remove(unit: Unit, batch: Sequence[calls.RemoveUploads]) -> list[list[str]]:
    return [await unnamed(unit, one.upload_ids) for one in batch]


async def unnamed(unit: Unit, upload_ids: Sequence[str]) -> list[str]:
    """Removes those of the uploads that no job names. One that a submission is just naming is left alone."""
    if not upload_ids:
        return []
    held = [row[0] for row in await unit.tx.all("uploads_free", ids=sorted(upload_ids))]
    removed = [row[0] for row in await unit.tx.all("upload_remove", ids=held)]
    await unit.tx.change("removed_upload_insert", [_Id(upload_id) for upload_id in removed])
    return removed


async def forget(unit: Unit, batch: Sequence[calls.ForgetUploads]) -> list[None]:
    await unit.tx.run("removed_upload_delete", ids=sorted({upload_id for one in batch for upload_id in one.upload_ids}))
    return [None] * len(batch)
