"""Bytes in and out: resumable uploads, downloads with ranges."""

import re
from typing import Any

import msgspec
from starlette.responses import FileResponse

from ffrtmp.domain import errors
from ffrtmp.master import context
from ffrtmp.master.http.call import Call, Receive, Reply, Scope, Send, Stream, send_problem
from ffrtmp.protocol import agent, problems
from ffrtmp.store import interface

_create = msgspec.json.Decoder(agent.UploadCreate)
_SHA256 = re.compile(r"[0-9a-f]{64}")


async def create(call: Call) -> Any:
    asked = call.decode(_create)
    faults = []
    if not 1 <= asked.size_bytes <= agent.LARGEST_UPLOAD_BYTES:
        faults.append(
            errors.Fault("size_bytes", f"{asked.size_bytes} is out of range; 1 to {agent.LARGEST_UPLOAD_BYTES}")
        )
    if not _SHA256.fullmatch(asked.sha256):
        faults.append(errors.Fault("sha256", "must be 64 lower-case hexadecimal digits"))
    if (
        not 1 <= len(asked.name) <= 255
        or asked.name in (".", "..")
        or "/" in asked.name
        or any(ord(character) < 32 for character in asked.name)
    ):
        faults.append(errors.Fault("name", "must be a file name of 1 to 255 characters, without a directory"))
    if faults:
        raise errors.InvalidInput(faults=faults)
    free = call.master.artifacts.free_bytes()
    if asked.size_bytes > free:
        raise errors.Unavailable(
            f"The artifact directory has {free} bytes free, fewer than the {asked.size_bytes} of this upload.",
            code="disk_full",
        )
    upload = await call.master.store.create_upload(
        interface.Upload(
            id=context.new_id(),
            name=asked.name,
            size_bytes=asked.size_bytes,
            sha256=asked.sha256,
            complete=False,
            created_at=0,
        )
    )
    return Reply(body=_status(call, upload), status=201, headers={"Location": f"/uploads/{upload.id}"})


async def receive(call: Call) -> Any:
    """`PUT` with `Upload-Offset`: the bytes from there on. Whole, it is hashed and sealed."""
    upload = await call.master.store.get_upload(call.path["upload_id"])
    offset = call.header("upload-offset")
    if offset is None:
        offset = "0"
    if not (offset.isascii() and offset.isdigit() and len(offset) <= 18):
        raise errors.InvalidInput(
            faults=[errors.Fault("header.Upload-Offset", f"{offset[:40]!r} is not a number of bytes")]
        )
    if not upload.complete and await call.master.artifacts.receive(upload, int(offset), call.stream()):
        upload = await call.master.store.finish_upload(upload.id)
    return _reply(call, upload)


async def status(call: Call) -> Any:
    return _reply(call, await call.master.store.get_upload(call.path["upload_id"]))


def _status(call: Call, upload: interface.Upload) -> agent.UploadStatus:
    return agent.UploadStatus(
        id=upload.id,
        name=upload.name,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        offset=call.master.artifacts.offset(upload),
        complete=upload.complete,
    )


def _reply(call: Call, upload: interface.Upload) -> Reply:
    found = _status(call, upload)
    return Reply(body=found, headers={"Upload-Offset": str(found.offset)})


async def content(call: Call) -> Any:
    """The bytes of a finished upload, for agents."""
    upload = await call.master.store.get_upload(call.path["upload_id"])
    node_id = call.principal.node_id
    if node_id is not None and not await call.master.store.upload_of_node(upload.id, node_id):
        raise errors.Forbidden("A node's credential reads only the inputs of the jobs that it runs.")
    return _file(call, upload)


async def output(call: Call) -> Any:
    """An output of a job, from the artifact store."""
    job = await call.master.store.get_job(call.path["ref"])
    name = call.path["name"]
    for made in job.result.outputs if job.result else []:
        if made.name == name and made.upload_id:
            return _file(call, await call.master.store.get_upload(made.upload_id))
        if made.name == name:
            raise errors.NotFound(f"{name} was written on node {job.node_name}, at {made.path}; fetch it there.")
    raise errors.NotFound(f"Job {call.path['ref']} ({job.state}) has no output {name!r}; see /jobs/{job.id}/outputs.")


def _file(call: Call, upload: interface.Upload) -> Stream:
    path = call.master.artifacts.path(upload.id)
    if not upload.complete:
        raise errors.NotFound(f"The bytes of upload {upload.id} are not all here.", code="upload_incomplete")
    if not path.is_file():
        # "not now": another master may have them, or the shared directory is being mounted
        raise errors.Unavailable(
            f"The bytes of upload {upload.id} are not in this master's artifact directory {call.master.artifacts.root.resolve()}."
            " Masters of one farm must share it: mount the same directory and give it to each with --artifacts.",
            code="artifact_missing",
        )
    response = FileResponse(
        path,
        media_type="application/octet-stream",
        filename=upload.name,
        headers={"ETag": f'"{upload.sha256}"', "X-Content-SHA256": upload.sha256},
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                raise _RangeRefused(message["status"])
            await send(message)

        try:
            await response(scope, receive, watched)
        except _RangeRefused as refused:
            if refused.status == 416:
                await _no_such_range(upload, send)
            else:  # not a range that we read: ignored, as RFC 9110 (14.2) has it
                headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
                await response({**scope, "headers": headers}, receive, send)

    return Stream(app=app)


class _RangeRefused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def _no_such_range(upload: interface.Upload, send: Send) -> None:
    detail = f"{upload.name} has {upload.size_bytes} bytes; ask for a range within them."
    problem = problems.Problem(
        title="Range Not Satisfiable", status=416, code="range_not_satisfiable", detail=detail, error=detail
    )
    await send_problem(send, problem, (b"content-range", f"bytes */{upload.size_bytes}".encode()))
