"""A bystander at a directory: every file that got a name there, as the kernel tells it (inotify(7))."""

import asyncio
import ctypes
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

_MOVED_FROM, _MOVED_TO, _OVERFLOW = 0x40, 0x80, 0x4000
_HEAD = struct.Struct("iIII")
_READ_BYTES = 1 << 16


class Renamed(msgspec.Struct, frozen=True):
    """`at`: seconds since the epoch, by the kernel. `was`: its name before, "" when it came from another directory."""

    name: str
    was: str
    at: float


class Watch:
    """`tell` hears of each rename into the directory, in order. Raises OSError when the kernel refuses."""

    def __init__(self, folder: Path, tell: Callable[[Renamed], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._from: dict[int, str] = {}
        self.complete = True  #: False: there were more than the kernel keeps, and some were not seen
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        watched = libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _MOVED_FROM | _MOVED_TO)
        if self._descriptor < 0 or watched < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"inotify: {os.strerror(number)}", str(folder))
        asyncio.get_running_loop().add_reader(self._descriptor, self.read)

    def read(self) -> None:
        """What has happened so far."""
        while True:
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            offset = 0
            while offset < len(data):
                _, mask, cookie, size = _HEAD.unpack_from(data, offset)
                offset += _HEAD.size
                name = os.fsdecode(data[offset : offset + size].rstrip(b"\0"))
                offset += size
                self._one(mask, cookie, name)

    def _one(self, mask: int, cookie: int, name: str) -> None:
        if mask & _OVERFLOW:
            self.complete = False
        elif mask & _MOVED_FROM:
            self._from[cookie] = name
        elif mask & _MOVED_TO:
            # a rename changes the inode: its time is the rename's, however late we come
            try:
                at = os.stat(self._folder / name).st_ctime_ns / 1e9
            except FileNotFoundError:
                at = time.time()
            self._tell(Renamed(name=name, was=self._from.pop(cookie, ""), at=at))

    def close(self) -> None:
        self.read()
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
