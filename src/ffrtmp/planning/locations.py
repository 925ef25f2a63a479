"""Where a job's input is, and where its output goes."""

import posixpath

from ffrtmp.domain import spec, streaming
from ffrtmp.planning import ladders, unsupported
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies

_GENERATE = frozenset({"generate", "generate://"})


def _local(location: str, field: str, faults: Faults, *, folder: bool = False) -> str | None:
    if field == "output" and streaming.is_target(location):
        faults.add(field, "is a server that is streamed to; give it as rtmp_url instead", "unsupported_combination")
        return None
    if scheme := unsupported.scheme(location):
        faults.add(field, f"{scheme}:// is not supported yet; give a path on the node", unsupported.CODE)
        return None
    path = location.removeprefix("file://")
    if folder and path.strip("/"):
        path = path.rstrip("/")
    if ".." in path.split("/"):
        faults.add(field, f"{location!r} has a `..` in it; give the path without it", "forbidden_path")
    elif path.startswith("-"):
        faults.add(field, f"{location!r} begins with `-` like an option; write ./{path}", "forbidden_path")
    elif path.endswith("/") or not posixpath.basename(path):
        faults.add(field, f"{location!r} names a directory; give a file")
    elif folder and not location.endswith("/") and posixpath.splitext(path)[1].lower() in spec.EXTENSIONS:
        stem = posixpath.splitext(path)[0]
        faults.add(field, f"{location!r} is a file's name, and several files come out; give a directory", output=stem)
    else:
        return path
    return None


def source(location: str | None, field: str, faults: Faults) -> spec.Input:
    if location is None or location in _GENERATE:
        return spec.Input(kind=spec.InputKind.GENERATE)
    if location.startswith("upload:"):
        upload_id = location.removeprefix("upload:")
        if not upload_id.replace("-", "").isalnum():
            faults.add(field, f"{location!r} is not an upload; write upload:ID with the id of a finished upload")
        return spec.Input(kind=spec.InputKind.UPLOAD, upload_id=upload_id)
    return spec.Input(kind=spec.InputKind.FILE, path=_local(location, field, faults))


def output(given: bodies.ParametersBody, faults: Faults) -> str | None:
    """Where several files come out, a directory, with or without a slash at its end."""
    return None if given.output is None else _local(given.output, "output", faults, folder=ladders.many(given))
