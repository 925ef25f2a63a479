"""Who only looks: at the event stream, at the directory where files appear, at the processes of the machine."""

import asyncio
import contextlib
import datetime
import os
import re
import time
from collections import defaultdict
from pathlib import Path

from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.protocol import views
from ffrtmp.testing.campaign.history import Attempt, History, Move, Recovery, Sighting, is_terminal
from ffrtmp.testing.deployment import cmdline
from ffrtmp.testing.renames import Renamed, Watch

#: of an attempt: the stage file that it writes beside its output, or its scratch directory
_ATTEMPT = re.compile(rb"\.([0-9a-f]{32})\.ffrtmp-part|/attempts/([0-9a-f]{32})/")
_LOOK_SECONDS = 0.25
_CLOSE_LOOK_SECONDS = 0.02


class Bystander:
    def __init__(self, client: Client, media: Path, history: History) -> None:
        self._client = client
        self._history = history
        self._watch = Watch(media, self._renamed)
        self._seq: int | None = 0
        self._ended: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._running: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._attempts: dict[str, set[str]] = defaultdict(set)
        self._live: dict[str, tuple[str, str]] = {}  #: attempts that have not ended → job and node
        self._names: dict[str, str] = {}  #: node id → name
        self._taken: dict[str, tuple[str, float]] = {}  #: jobs that lost their agent → the fault, when
        self._more = asyncio.Condition()
        self.last_event = time.monotonic()

    async def run(self) -> None:
        """Until canceled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._look())

    def close(self) -> bool:
        """Whether every rename was seen."""
        self._watch.close()
        return self._watch.complete

    # what others wait for

    async def ended(self, job: str) -> None:
        await self._ended[job].wait()

    async def running(self, job: str) -> None:
        """Or over."""
        await self._running[job].wait()

    async def finished(self, count: int) -> None:
        """Returns when so many jobs are over."""
        async with self._more:
            await self._more.wait_for(lambda: self._history.finished >= count)

    def attempts_of(self, job: str) -> set[str]:
        """So far."""
        return set(self._attempts[job])

    def agent_of(self, job: str) -> str | None:
        """The name of the agent that has an attempt of this job."""
        return next((self._names.get(node, node) for of, node in self._live.values() if of == job), None)

    def busy(self, seconds: float) -> set[str]:
        """Names of the agents with an attempt that has run for so long."""
        before = time.time() - seconds
        return {
            self._names.get(node, node)
            for attempt, (_, node) in self._live.items()
            if attempt in self._history.sightings and self._history.sightings[attempt].first < before
        }

    def taken(self, fault: str, agent: str) -> None:
        """The agent was just killed: its jobs are to run again."""
        now = time.time()
        for job, node in self._live.values():
            if self._names.get(node) == agent:
                self._taken[job] = (fault, now)

    async def died(self, attempts: set[str], since: float) -> None:
        """Returns when no process of these attempts runs."""
        if not attempts or not attempts & (await asyncio.to_thread(running_attempts)).keys():
            return
        while attempts & (await asyncio.to_thread(running_attempts)).keys():  # noqa: ASYNC110 - the kernel tells of no other's child
            await asyncio.sleep(_CLOSE_LOOK_SECONDS)
        self._history.cancel_seconds.append(time.time() - since)

    # what it sees

    def _renamed(self, one: Renamed) -> None:
        if one.name.startswith("."):
            return
        self._history.published.append(one)
        self._history.note("published", name=one.name, was=one.was, ctime=one.at)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(errors.FfrtmpError):  # all masters are away; the stream goes on where it was
                async for event in self._client.events(after=self._seq):
                    self._seq = event.seq
                    self.last_event = time.monotonic()
                    self._event(event)
                    async with self._more:
                        self._more.notify_all()
            await asyncio.sleep(_LOOK_SECONDS)

    def _event(self, event: views.EventView) -> None:
        job, attempt, node = event.job_id or "", event.attempt_id or "", event.node_id or ""
        match event.kind:
            case "node.registered":
                self._names[node] = event.data["name"]
                self._history.registered.setdefault(event.data["name"], []).append(_seconds(event))
            case "job.submitted":
                self._history.move(job, Move(event.seq, "", "queued"))
            case "job.state":
                self._moved(job, event)
            case "attempt.assigned":
                self._attempts[job].add(attempt)
                self._live[attempt] = (job, node)
                self._history.attempts[attempt] = Attempt(job, self._names.get(node, node), _seconds(event))
            case "attempt.started":
                self._running[job].set()
                self._back(job, event)
            case "attempt.ended":
                self._live.pop(attempt, None)
                self._history.attempts[attempt].until = _seconds(event)

    def _moved(self, job: str, event: views.EventView) -> None:
        after = event.data["to"]
        self._history.move(job, Move(event.seq, event.data["from"], after))
        if is_terminal(after):
            self._ended[job].set()
            self._running[job].set()
            self._back(job, event)

    def _back(self, job: str, event: views.EventView) -> None:
        fault, since = self._taken.pop(job, ("", 0.0))
        if not fault:
            return
        # the master's time of it: the stream may have been broken meanwhile
        at = _seconds(event)
        if at < since:
            self._taken[job] = (fault, since)  # it had happened before
            return
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        self._history.recoveries.append(Recovery(fault, since, at, load))
        self._history.note("recovered", job=job, fault=fault, seconds=round(at - since, 3), load=round(load, 1))

    async def _look(self) -> None:
        while True:
            found = await asyncio.to_thread(running_attempts)
            now = time.time()
            jobs: dict[str, list[str]] = defaultdict(list)
            for attempt in found:
                seen = self._history.sightings.setdefault(attempt, Sighting(attempt, now, now))
                seen.last = now
                if attempt in self._history.attempts:
                    jobs[self._history.attempts[attempt].job].append(attempt)
            for job, attempts in jobs.items():
                if len(attempts) > 1:
                    self._overlap(job, attempts, found)
            await asyncio.sleep(_LOOK_SECONDS)

    def _overlap(self, job: str, attempts: list[str], pids: dict[str, int]) -> None:
        # the look took a moment: only those that are still there were there together
        there = [attempt for attempt in sorted(attempts) if attempt.encode() in cmdline(pids[attempt])]
        strict = [
            attempt
            for attempt in there
            if not self._history.stood_still(
                self._history.attempts[attempt].node, self._history.sightings[attempt].first - 1.0
            )
        ]
        if len(there) > 1 and len(strict) == len(there):
            agents = [self._history.attempts[attempt].node for attempt in there]
            self._history.overlap(f"{job}: {', '.join(there)} on {', '.join(agents)}")


def _seconds(event: views.EventView) -> float:
    return datetime.datetime.fromisoformat(event.at).timestamp()


def running_attempts() -> dict[str, int]:
    """Attempts that have a process, and one of their processes."""
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (attempt := attempt_of(int(entry.name))):
            found[attempt] = int(entry.name)
    return found


def attempt_of(pid: int) -> str:
    """Whose process it is; "" when it is gone, or no attempt's."""
    match = _ATTEMPT.search(cmdline(pid))
    return (match[1] or match[2]).decode() if match else ""
