"""Processes that share the work of a command, and end with it and with all that they started."""

import contextlib
import functools
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

from ffrtmp.testing import programs

_child: subprocess.Popen[str] | None = None
_told = False  #: this worker is to end


@contextlib.contextmanager
def pool(processes: int, begin: Callable[[], None]) -> Iterator[ProcessPoolExecutor]:
    """`begin`: what each worker does first. Raises KeyboardInterrupt at Ctrl-C and at SIGTERM, when the workers have ended."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    executor = ProcessPoolExecutor(processes, initializer=_begin, initargs=(begin,))
    try:
        yield executor
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.terminate()
        executor.shutdown(cancel_futures=True)
        raise
    else:
        executor.shutdown()
    finally:
        signal.signal(signal.SIGTERM, before)


def _begin(begin: Callable[[], None]) -> None:
    begin()
    # Ctrl-C reaches all processes of a terminal, and the first of them tells the others. No SIG_IGN: the programs that are
    # started here would inherit that
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, _end)
    programs.end_with_parent(signal.SIGTERM)


def _end(*_: object) -> None:
    """What a worker does is given up where it stands."""
    global _told
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _told = True
    if _child is None:
        os._exit(128 + signal.SIGTERM)
    raise SystemExit


def output(command: Sequence[str], env: Mapping[str, str]) -> tuple[int, str]:
    """Runs a program; its exit status, and what it said. It gets SIGTERM when this process is to end, or has ended."""
    global _child
    _child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
        start_new_session=True,  # Ctrl-C does not reach it: it would be told twice
        preexec_fn=functools.partial(programs.end_with_parent, signal.SIGTERM),
    )
    try:
        said, _ = _child.communicate()
        return _child.returncode, said
    except BaseException:
        _child.terminate()
        _child.communicate()
        if _told:
            os._exit(128 + signal.SIGTERM)
        raise
    finally:
        _child = None
