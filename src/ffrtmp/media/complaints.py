"""What libav's decoders call errors. Some damage shows nowhere else, because they hide it in the picture."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator

import av.logging

#: `[h264 @ 0x55dad8ab8a80] Invalid NAL unit size` → the decoder, what it says
_LINE = re.compile(r"^\[(?P<who>[^\]@]+?) @ 0x[0-9a-f]+\] (?P<what>.*)$")
_STDERR = 2
#: whose streams are copied and never decoded: what its parser cannot join (two packets of one time) players leave out
_UNHEARD = frozenset({"dvbsub"})


@contextlib.contextmanager
def heard(tell: Callable[[str], None]) -> Iterator[None]:
    """Calls `tell` with each complaint when the block ends.

    libav itself writes them to descriptor 2, which is a pipe meanwhile: PyAV's way from a decoder's threads to Python can lock
    up, this one cannot. The pipe never blocks: of more than it holds (64 KiB) the first are kept. Not for a process with other
    threads that write there.
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    kept = os.dup(_STDERR)
    os.dup2(writer, _STDERR)
    os.close(writer)
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR)  # the last writing end is closed by it
        os.close(kept)
        av.logging.set_level(None)
        said = _read(reader)
        os.close(reader)
    for line in said.decode(errors="replace").splitlines():
        if match := _LINE.match(line):
            if match["who"] in _UNHEARD:
                continue
            tell(f"{match['who']}: {match['what'].strip()}")
        elif line.strip():
            tell(line.strip())


def _read(reader: int) -> bytes:
    said = bytearray()
    while part := os.read(reader, 65536):
        said += part
    return bytes(said)
