"""Whether `transcode` uses files where they are or sends them: pure decisions over paths and nodes.

A path is used in place only when every node that may get the job surely sees the same file: the master is on this machine, and
each live node is too and has a media root around both the input and the output. Everything else is uploaded, which is right
everywhere.
"""

import os
import socket
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ffrtmp.domain import addresses, spec

if TYPE_CHECKING:
    from ffrtmp.protocol.views import NodeView


def is_loopback(url: str) -> bool:
    """Whether a master's URL names this machine for sure."""
    return addresses.is_loopback(urlsplit(url).hostname or "")


def is_here(node: "NodeView", hostname: str) -> bool:
    """Whether a node is this machine, as its address says, or its name where it gave no address (the host's, by default)."""
    if not node.address:
        return node.name.lower() == hostname.lower()
    address = node.address if node.address.count(":") < 2 or "[" in node.address else f"[{node.address}]"
    host = urlsplit(address if "//" in address else f"//{address}").hostname or ""
    return addresses.is_loopback(host) or host.lower() == hostname.lower()


def why_upload(
    url: str, nodes: Sequence["NodeView"], paths: Iterable[Path], hostname: str = socket.gethostname()
) -> str | None:
    """The reason why files must be sent; None when they can be used in place."""
    if not is_loopback(url):
        return "the master is another machine"
    live = [node for node in nodes if node.status != "offline"]
    if not live:
        return "no node is there yet to use them in place"
    for node in live:
        if not is_here(node, hostname):
            return f"node {node.name} may run it and is another machine"
        if not all(any(_inside(path, root) for root in node.media_roots) for path in paths):
            return f"not all paths are under the media roots of node {node.name}"
    return None


def _inside(path: Path, root: str) -> bool:
    resolved = Path(os.path.realpath(path))
    return resolved.is_relative_to(os.path.realpath(root))


def destinations(
    inputs: Sequence[Path], out: str, *, container: str | None, codec: str | None, many: bool = False
) -> list[tuple[Path, Path]]:
    """(input, output) pairs. Raises ValueError with a sentence.

    `many`: each input becomes a directory of files: `out`, or for several inputs one in it under each input's name.
    Else `out` is a directory when it is one, ends in a slash, or several inputs go there and it is not named like a video; then
    each output has its input's name and the extension of the container.
    """
    target = Path(out)
    if many:
        if target.suffix.lower() in (*spec.EXTENSIONS, ".m3u8", ".mpd"):
            raise ValueError(
                f"OUT is {out}, a file's name, and several files come out; give a directory ({target.stem}/)"
            )
        pairs = [(inputs[0], target)] if len(inputs) == 1 else [(path, target / path.stem) for path in inputs]
    elif target.is_dir() or out.endswith("/") or len(inputs) > 1:
        if target.exists() and not target.is_dir():
            raise ValueError(f"{out} is a file, and several inputs go to a directory; was it left out after {out}?")
        if not target.exists() and not out.endswith("/") and target.suffix.lower() in spec.EXTENSIONS:
            raise ValueError(
                f"OUT is {out}, a file's name, and several inputs go to a directory; give a directory ({target.stem}/)"
            )
        extension = container or ("webm" if codec in ("vp8", "vp9") else "mp4")
        pairs = [(path, target / f"{path.stem}.{extension}") for path in inputs]
    else:
        if target.suffix.lower() not in spec.EXTENSIONS and container is None:
            known = ", ".join(spec.EXTENSIONS)
            raise ValueError(f"{out}: the extension {target.suffix!r} is not one of {known}; or name a --container")
        pairs = [(inputs[0], target)]
    seen: dict[Path, Path] = {}
    for source, made in pairs:
        if made in seen:
            raise ValueError(f"{seen[made]} and {source} would both become {made}; transcode them apart")
        seen[made] = source
        if os.path.realpath(source) == os.path.realpath(made):
            raise ValueError(f"{made} is the input itself; the source is never written")
    for folder in dict.fromkeys(made.parent for _, made in pairs):
        _check_folder(folder)
    return pairs


def _check_folder(folder: Path) -> None:
    """Raises ValueError when no file can be made there: better now than after an hour of encoding."""
    there = folder
    try:
        while not os.path.lexists(there) and there != there.parent:
            there = there.parent
        if not there.is_dir():
            raise ValueError(f"{there} is not a directory, so no output can go to {folder}")
        # permissions do not say it all (root, /proc, a read-only mount): try, with a file that has no name where that can be
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        does = "can be written in" if there == folder else f"can be made in {there}, so not"
        what = "file" if there == folder else "directory"
        raise ValueError(f"no {what} {does} {folder} ({(error.strerror or str(error)).lower()})") from None


def usual_codec(made: Path, container: str | None) -> str:
    """The codec when none was named: h264 plays everywhere, WebM needs VP9."""
    chosen = container or spec.EXTENSIONS.get(made.suffix.lower(), spec.Container.MP4)
    return "vp9" if chosen == "webm" else "h264"
