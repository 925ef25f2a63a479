"""One fleet from its start to its outcome."""

import asyncio
import contextlib
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import psutil

from ffrtmp.client.client import Client
from ffrtmp.runtime import collector
from ffrtmp.testing import postgres, programs
from ffrtmp.testing.fleet.agents import PretendingShell, Tally
from ffrtmp.testing.fleet.plan import Plan
from ffrtmp.testing.fleet.wire import Wire

_SAMPLE_SECONDS = 1.0
_SAID_EVERY_SECONDS = 10.0
#: with no attempt ending for so long, what is open will not end any more
_PATIENCE_SECONDS = 120.0
_DATABASE = "fleet"


class Sample(msgspec.Struct, frozen=True):
    """At a moment of the load: seconds since its beginning, the master's resident bytes, and CPU seconds used so far. `late`: by
    how many seconds this process, which plays the agents, was behind its own clock."""

    at: float
    master_bytes: int
    master_cpu: float
    database_cpu: float  #: of its processes (SQLite: of the one that writes)
    fleet_cpu: float
    late: float


class Outcome(msgspec.Struct):
    plan: Plan
    tally: Tally
    submitted: int
    completed: int
    samples: list[Sample]
    joined_seconds: float  #: from the first agent's start until all were registered
    metrics: dict[str, float]  #: of the master, at the end


async def run(plan: Plan, root: Path, progress: Callable[[str], None]) -> Outcome:
    """Raises what keeps the master from being started, or AssertionError when the agents do not join; what is wrong with a run
    is in its outcome."""
    async with contextlib.AsyncExitStack() as stack:
        server = None
        dsn = ""
        if plan.database == "postgres":
            server = await stack.enter_async_context(postgres.server())
            await server.create(_DATABASE)
            dsn = server.dsn(_DATABASE)
        farm = await stack.enter_async_context(programs.farm(root, dsn=dsn))
        master = await farm.master("--lease-time", f"{plan.lease_seconds:g}s")
        watched = _Watched(master.pid, None if server is None else server.pid)
        tally = Tally()
        began = time.monotonic()
        await stack.enter_async_context(_agents(plan, farm.url, tally, progress))
        joined = time.monotonic() - began
        collector.calm()
        tally.seconds.clear()  # what counts is the load, not the start
        client = await stack.enter_async_context(Client(farm.url))
        samples = [watched.sample(0.0, 0.0)]
        sampling = asyncio.create_task(_sample(watched, samples))
        try:
            submitted = await _trickle(plan, client, tally, samples, progress)
            progress("no new jobs; waiting for those that run")
            await _all_over(tally, submitted)
        finally:
            sampling.cancel()
            await asyncio.wait({sampling})
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            scraped = (await http.get(farm.metrics_url)).raise_for_status().text
        found = {name: float(value) for name, value in re.findall(r"^([^#\s]\S*) (\S+)$", scraped, re.MULTILINE)}
        return Outcome(
            plan=plan,
            tally=tally,
            submitted=submitted,
            completed=int(found.get('ffrtmp_jobs_total{state="completed"}', 0)),
            samples=samples,
            joined_seconds=joined,
            metrics=found,
        )


@contextlib.asynccontextmanager
async def _agents(plan: Plan, url: str, tally: Tally, progress: Callable[[str], None]) -> AsyncIterator[None]:
    """All have registered when this yields. They start one after another: so many at once would wait for each other."""
    address = urlsplit(url)
    rng = random.Random(plan.seed)
    running: list[asyncio.Task[object]] = []
    said = _Said(progress)
    try:
        began = time.monotonic()
        for number in range(plan.agents):
            wire = Wire(address.hostname or "", address.port or 0)
            shell = PretendingShell(f"agent-{number}", plan, wire, tally, random.Random(rng.random()))
            running.append(asyncio.create_task(shell.run()))
            due = began + (number + 1) / plan.agents_per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            said.now_and_then(f"{tally.registered:,} of {plan.agents:,} agents have registered")
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while tally.registered < plan.agents:
                if tally.exits:
                    raise AssertionError(f"an agent ended instead of registering: {tally.exits[0].message}")
                await _next(tally)
        yield
    except TimeoutError:
        raise AssertionError(
            f"only {tally.registered} of {plan.agents} agents have registered; they warn of: {dict(tally.warnings)}"
        ) from None
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _trickle(
    plan: Plan, client: Client, tally: Tally, samples: list[Sample], progress: Callable[[str], None]
) -> int:
    """Submits for the length of the load. Returns how many."""
    submitted = 0
    began = time.monotonic()
    said = _Said(progress)
    while (passed := time.monotonic() - began) < plan.seconds:
        due = int(min(passed + 1.0, plan.seconds) * plan.jobs_per_second) - submitted
        for first in range(0, due, 1000):
            count = min(1000, due - first)
            await client.submit_batch([_body(submitted + number) for number in range(count)])
            submitted += count
        beats = sorted(tally.seconds["beat"])
        p99 = f"{percentile(beats, 0.99) * 1000:.0f} ms" if beats else "none yet"
        said.now_and_then(
            f"{_clock(passed)} of {_clock(plan.seconds)}, {_clock(plan.seconds - passed)} to go: {submitted:,} jobs submitted,"
            f" {len(tally.seconds['complete']):,} completed, beats p99 {p99}, master {samples[-1].master_bytes / 1e6:.0f} MB"
        )
        await asyncio.sleep(1.0)
    return submitted


def _body(number: int) -> dict[str, object]:
    return {"parameters": {"codec": "h264", "duration": 1, "output": f"fleet-{number}.mp4"}}


async def _all_over(tally: Tally, submitted: int) -> None:
    """Returns when each job was completed, or when nothing has ended for long."""
    with contextlib.suppress(TimeoutError):
        while len(tally.seconds["complete"]) < submitted:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await _next(tally)


async def _next(tally: Tally) -> None:
    tally.changed.clear()
    await tally.changed.wait()


async def _sample(watched: "_Watched", samples: list[Sample]) -> None:
    began = due = time.monotonic()
    while True:
        due += _SAMPLE_SECONDS
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        samples.append(watched.sample(now - began, now - due))


class _Watched:
    """The processes whose use of the machine counts."""

    def __init__(self, master: int, database: int | None) -> None:
        self._master = psutil.Process(master)
        self._database = None if database is None else psutil.Process(database)
        self._fleet = psutil.Process()

    def sample(self, at: float, late: float) -> Sample:
        others = self._master.children(recursive=True)
        behind = others if self._database is None else [self._database, *self._database.children(recursive=True)]
        return Sample(
            at=at,
            master_bytes=sum(_rss(one) for one in (self._master, *others)),
            master_cpu=_cpu(self._master),
            database_cpu=sum(_cpu(one) for one in behind),
            fleet_cpu=_cpu(self._fleet),
            late=late,
        )


def _rss(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess):
        return int(process.memory_info().rss)
    return 0


def _cpu(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        used = process.cpu_times()
        return float(used.user + used.system)
    return 0.0


class _Said:
    """Passes on a line every ten seconds."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._last = 0.0

    def now_and_then(self, line: str) -> None:
        if time.monotonic() - self._last > _SAID_EVERY_SECONDS:
            self._last = time.monotonic()
            self._progress(line)


def percentile(ordered: "list[float]", share: float) -> float:
    """Of values in order: the smallest that is not below so great a share of them."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
