"""`ffrtmp master --workers N`: one parent and N processes that serve the same port.

What a master makes once, the parent makes: key, certificate, schema, ports. Then it only watches: a worker that ends is replaced,
and SIGTERM or SIGINT ends all of them. Each worker listens on a socket of its own (SO_REUSEPORT), so that the kernel spreads
connections over those that live (docs/decisions/0009-workers-share-a-port.md).
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from ffrtmp.cli import serving, supervise, worker
from ffrtmp.client import http
from ffrtmp.domain import errors
from ffrtmp.master import app, server
from ffrtmp.master.settings import MasterSettings
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.telemetry import logs, metrics

#: beyond the grace of requests: a worker closes its store too
_MARGIN_SECONDS = 15.0
#: a worker that lived so long did not end because of how it started
_STEADY_SECONDS = 60.0

_log = logs.get("master")


class NotStarted(Exception):
    """A worker ended before the first time that all were ready; it said why. `code`: its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def run(settings: MasterSettings, *, on_ready: Callable[[app.Ready], None]) -> int:
    """Serve until SIGTERM or SIGINT. Raises InvalidInput for settings that cannot work; returns the exit code."""
    given = app.prepare(settings)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(server.reserve(settings.host, settings.port, "--port"))
        scraped = None
        if settings.metrics:
            scraped = stack.enter_context(server.reserve(settings.host, settings.metrics_port, "--metrics-port"))
        count, database = await _database(settings)
        ready = app.where(given, listener, scraped)
        bound = msgspec.structs.replace(
            settings,
            port=listener.getsockname()[1],
            metrics_port=scraped.getsockname()[1] if scraped else settings.metrics_port,
        )
        folder = stack.enter_context(supervise.temporary_folder("ffrtmp-workers-", parent=_runtime_folder()))
        workers = Workers(msgspec.structs.replace(given, settings=bound), folder)

        def all_ready() -> None:
            _log.info("the master is ready", url=ready.url, metrics=ready.metrics_url, database=database, workers=count)
            on_ready(ready)

        return await workers.run(count, all_ready)


def _runtime_folder() -> Path | None:
    """The one that systemd made for us (`RuntimeDirectory=`), where nothing is swept by age; None: there is none."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(given) if given else None


async def _database(settings: MasterSettings) -> tuple[int, str]:
    """How many workers, and what database. Its schema is current then."""
    store = PostgresStore(settings.db_dsn)
    await store.open()
    try:
        allowed, each = await store.connections_allowed(), store.most_connections
    finally:
        await store.close()
    most = max(1, allowed // each)
    if settings.workers == "auto":
        return min(len(os.sched_getaffinity(0)), most), store.describe()
    count = int(settings.workers)
    if count > most:
        raise errors.InvalidInput(
            f"--workers {count} may need {count * each} connections, and this PostgreSQL allows {allowed}; give at most {most}, or"
            f" raise its max_connections."
        )
    return count, store.describe()


class Workers:
    """The processes. `folder`: for their metrics; each keeps it open."""

    def __init__(self, given: app.Given, folder: supervise.Folder) -> None:
        self._given = given
        self._folder = folder
        self._stop = asyncio.Event()
        self._missing: set[int] = set()  # places whose first worker is not ready yet
        self._all_ready: Callable[[], None] = lambda: None
        self._rng = random.Random()  # noqa: S311 - jitter
        self._grace_seconds = given.settings.stop_grace_seconds + _MARGIN_SECONDS

    async def run(self, count: int, all_ready: Callable[[], None]) -> int:
        self._missing = set(range(count))
        self._all_ready = all_ready
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._stop.set)
        kept = [asyncio.create_task(self._keep(place)) for place in range(count)]
        try:
            ends = await asyncio.gather(*kept)
        except NotStarted as error:
            return error.code
        finally:
            self._stop.set()
            await asyncio.wait(kept)
        _log.info("the master has stopped")
        return 0 if all(code == 0 for code in ends) else 1

    async def _keep(self, place: int) -> int:
        """One worker, and those that take its place. Returns the exit code of the last."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            process, began = await self._start(), loop.time()
            watched = asyncio.create_task(self._watch(process, place))
            stopped = asyncio.create_task(self._stop.wait())
            await asyncio.wait({watched, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if self._stop.is_set():
                return await self._end(process, watched)
            code = watched.result()
            if self._missing:
                raise NotStarted(code if code > 0 else 1)
            failures = 1 if loop.time() - began >= _STEADY_SECONDS else failures + 1
            pause = http.backoff(failures, None, self._rng)
            _log.warning(
                "a worker ended; another takes its place",
                pid=process.pid,
                why=_why(code),
                after_seconds=round(pause, 2),
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop.wait()
                return 0

    async def _start(self) -> asyncio.subprocess.Process:
        self._keep_folder()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            worker.__name__,
            env={**serving.child_environment(), metrics.SHARED: str(self._folder.path)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # the terminal's Ctrl-C is the parent's
            pass_fds=() if self._folder.held is None else (self._folder.held,),
        )
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it is gone already: its exit code tells
            process.stdin.write(worker.encode(self._given))
            process.stdin.close()
            await process.stdin.wait_closed()
        return process

    def _keep_folder(self) -> None:
        """No worker starts without it, and who sweeps temporary files may not know that it is in use."""
        if not self._folder.path.is_dir():
            _log.warning(
                "the folder of the workers' metrics was removed, and is made anew",
                folder=str(self._folder.path),
                lost="what the workers that run have counted",
            )
            self._folder.path.mkdir(mode=0o700, parents=True)

    async def _watch(self, process: asyncio.subprocess.Process, place: int) -> int:
        assert process.stdout is not None
        if await process.stdout.readline():
            if self._missing == {place}:
                self._all_ready()
            self._missing.discard(place)
        return await process.wait()

    async def _end(self, process: asyncio.subprocess.Process, watched: "asyncio.Task[int]") -> int:
        """Tell it to stop; what does not stop is killed. One that was still starting ends by our signal: that is no fault."""
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            code = await asyncio.wait_for(asyncio.shield(watched), self._grace_seconds)
            return 0 if code == -signal.SIGTERM else code
        except TimeoutError:
            _log.warning(
                "a worker did not stop in time and is killed", pid=process.pid, after_seconds=self._grace_seconds
            )
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return await watched


def _why(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
