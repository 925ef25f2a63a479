"""The inspector: looks into media files in a process of its own, so that a hostile file harms nothing but a short-lived fork.

    python -m ffrtmp.media.inspect FILE        prints an inspection as JSON
    python -m ffrtmp.media.inspect --serve     one JSON request per line on stdin, one JSON reply per line on stdout

The server imports PyAV once (0.1 s, 31 MB), looks into a clip of its own, and forks for each request. It has a single thread, so
forking is safe. A fork has a CPU and a wall limit, 4 GiB of address space, may write no file, and dies with the server.
"""

import argparse
import ctypes
import os
import resource
import selectors
import signal
import sys
import time
from pathlib import Path

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.media import examine
from ffrtmp.media.inspection import Reply, Request

#: A decoder of the largest picture that is accepted needs about 2 GiB (17 frames of 8192×8192 in 4:2:0); with less than 2 GiB
#: shared libraries and thread stacks begin to fail.
_ADDRESS_SPACE = 4 * 1024**3
_MAX_FORKS = 64
#: 32x32 in H.264 and AAC, made by FFmpeg's color and anullsrc: what libav sets up at a first use is there for every fork
_WARM_UP = Path(__file__).with_name("warm_up.mp4")


class _Fork:
    """One request under way."""

    def __init__(self, request: Request, pid: int, pipe: int) -> None:
        self.request = request
        self.pid = pid
        self.pipe = pipe
        self.deadline = time.monotonic() + request.timeout_seconds
        self.received = bytearray()
        self.late = False
        self.answered = False


def answer(request: Request) -> Reply:
    """Examine in this process. What goes wrong is in the reply."""
    try:
        return Reply(id=request.id, inspection=examine.examine(request))
    except errors.TaskError as error:
        return Reply(id=request.id, code=error.failure.code, message=error.failure.message)
    except MemoryError:
        return Reply(id=request.id, code=Code.INPUT_INVALID, message="the file needs too much memory to be read")
    except Exception as error:  # noqa: BLE001  the reply is where it is told
        return Reply(id=request.id, code=Code.INTERNAL, message=f"the inspector failed: {error!r}")


def _confine(request: Request, parent: int) -> None:
    """Limits of a fork; see the module."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    cpu = int(request.timeout_seconds * max(request.threads, 1)) + 1
    for limit, value in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, _ADDRESS_SPACE),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (least, least))


class Server:
    """Reads requests from one descriptor and writes replies to another, until the first ends."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests = requests
        self._replies = replies
        self._selector = selectors.DefaultSelector()
        self._forks: dict[int, _Fork] = {}  # by pipe
        self._waiting: list[Request] = []
        self._unread = bytearray()

    def run(self) -> None:
        self._selector.register(self._requests, selectors.EVENT_READ)
        while True:
            nearest = min((fork.deadline for fork in self._forks.values() if not fork.late), default=None)
            patience = None if nearest is None else max(nearest - time.monotonic(), 0)
            for key, _ in self._selector.select(patience):
                if key.fd == self._requests:
                    if not self._read_requests():
                        return
                else:
                    self._read_fork(self._forks[key.fd])
            self._end_late()
            while self._waiting and len(self._forks) < _MAX_FORKS:
                self._fork(self._waiting.pop(0))

    def _read_requests(self) -> bool:
        data = os.read(self._requests, 65536)
        if not data:
            for fork in self._forks.values():
                os.kill(fork.pid, signal.SIGKILL)
            return False
        self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            told = msgspec.json.decode(line)
            if "cancel" in told:
                self._cancel(told["cancel"])
            else:
                self._waiting.append(msgspec.convert(told, Request))
        return True

    def _cancel(self, number: int) -> None:
        self._waiting = [request for request in self._waiting if request.id != number]
        for fork in self._forks.values():
            if fork.request.id == number:
                os.kill(fork.pid, signal.SIGKILL)

    def _fork(self, request: Request) -> None:
        reader, writer = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(self._requests)
                os.close(reader)
                _confine(request, parent)
                _write(writer, msgspec.json.encode(answer(request)) + b"\n")
            finally:
                os._exit(0)
        os.close(writer)
        self._forks[reader] = _Fork(request, pid, reader)
        self._selector.register(reader, selectors.EVENT_READ)

    def _read_fork(self, fork: _Fork) -> None:
        data = os.read(fork.pipe, 65536)
        if data:
            fork.received += data
            if data.endswith(b"\n"):  # whole: nobody needs to wait until its memory is taken apart
                fork.answered = True
                _write(self._replies, bytes(fork.received))
            return
        self._selector.unregister(fork.pipe)
        os.close(fork.pipe)
        del self._forks[fork.pipe]
        _, status = os.waitpid(fork.pid, 0)
        if not fork.answered:
            death = _death(fork, os.waitstatus_to_exitcode(status))
            _write(self._replies, msgspec.json.encode(death) + b"\n")

    def _end_late(self) -> None:
        now = time.monotonic()
        for fork in self._forks.values():
            if not fork.late and now >= fork.deadline:
                fork.late = True
                os.kill(fork.pid, signal.SIGKILL)


def _death(fork: _Fork, code: int) -> Reply:
    number = fork.request.id
    if fork.late or -code == signal.SIGXCPU:
        return Reply(
            id=number, code=Code.TIMED_OUT, message=f"inspecting took longer than {fork.request.timeout_seconds:g} s"
        )
    return Reply(
        id=number,
        code=Code.INPUT_INVALID,
        message=f"the inspector was killed by signal {-code} while it read the file: it is damaged or hostile",
    )


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ffrtmp.media.inspect", description="Look into a media file.")
    parser.add_argument("file", nargs="?", help="the file")
    parser.add_argument("--decode", action="store_true", help="decode everything and count what comes out")
    parser.add_argument("--serve", action="store_true", help="answer JSON lines on stdin")
    arguments = parser.parse_args()
    if arguments.serve:
        answer(Request(id=0, path=str(_WARM_UP)))
        Server(0, 1).run()
        return 0
    if arguments.file is None:
        parser.error("give a file, or --serve")
    reply = answer(Request(id=0, path=os.path.abspath(arguments.file), decode=arguments.decode))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(reply)).decode() + "\n")
    return 0 if reply.inspection is not None else 1


if __name__ == "__main__":
    sys.exit(main())
