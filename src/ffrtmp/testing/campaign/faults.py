"""What is done to the farm: processes killed, stopped and frozen, networks that fail, databases that go away."""

import asyncio
import contextlib
import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg

from ffrtmp.testing import programs
from ffrtmp.testing.campaign.bystander import Bystander, attempt_of
from ffrtmp.testing.campaign.history import History, Kill
from ffrtmp.testing.campaign.plan import Plan
from ffrtmp.testing.campaign.users import Users
from ffrtmp.testing.deployment import Deployment, Seat, cmdline
from ffrtmp.testing.proxy import BOTH, Behaviour, Direction, Proxy, Trap

#: faults at the same time
_TOGETHER = 3
#: the next fault does not wait longer for jobs that do not end
_LONGEST_WAIT_SECONDS = 6.0
#: how often the supervisor looks after programs that ended by themselves
_KEEP_SECONDS = 1.0
#: what is waited for before a victim is taken, at most
_LOOKS, _LOOK_SECONDS = 150, 0.02
#: an attempt that has run so long will be there a moment later
_WORKING_SECONDS = 0.1
#: requests that may come twice: those of agents, and submissions, which have their keys. A person's late pause would be obeyed.
_REPEATABLE = ("/nodes/", "/attempts/", "POST /jobs HTTP")
_TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'ffrtmp' AND pid <> pg_backend_pid()"
)
_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'ffrtmp'"

Fault = Callable[[], Awaitable[None]]


class Faults:
    def __init__(self, plan: Plan, farm: Deployment, users: Users, bystander: Bystander, history: History) -> None:
        self._plan = plan
        self._farm = farm
        self._users = users
        self._bystander = bystander
        self._history = history
        self._rng = random.Random(f"{plan.seed}/faults")
        self._lease = plan.layout.lease_seconds
        self._database = asyncio.Lock()
        self._cut_off: Counter[str] = Counter()  #: kind of fault → how often
        self.over = asyncio.Event()
        known = kinds(farm)
        self._kinds = [self._named(name) for name in (plan.kinds or known)]

    async def run(self) -> None:
        """All of the plan, spread over its jobs; returns when the last one is over and everything runs."""
        plan, together = self._plan, asyncio.Semaphore(_TOGETHER)
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(self._keep())
            async with asyncio.TaskGroup() as under_way:
                for number in range(1, plan.faults + 1):
                    await self._due(number * plan.jobs // (plan.faults + 1))
                    await together.acquire()
                    # each kind once before any comes again
                    kind = self._kinds[(number - 1) % len(self._kinds)]
                    if number % len(self._kinds) == 0:
                        self._rng.shuffle(self._kinds)
                    under_way.create_task(self._one(kind, together))
            await self._heal()
            await self._users.slow_ended()
            self.over.set()
            keeper.cancel()

    async def _due(self, finished: int) -> None:
        """When so many jobs are over, or after a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                await self._bystander.finished(finished)

    async def _one(self, fault: Fault, together: asyncio.Semaphore) -> None:
        try:
            with self._history.hurting():
                await fault()
        finally:
            together.release()

    def _named(self, name: str) -> Fault:
        found: Fault = getattr(self, f"_{name}")
        return found

    async def _heal(self) -> None:
        for line in (*(seat.line for seat in (*self._farm.masters, *self._farm.agents)), self._farm.users):
            if line is not None:
                await line.heal()

    async def _keep(self) -> None:
        """What a supervisor does: a program that ended is started again."""
        while True:
            await asyncio.sleep(_KEEP_SECONDS)
            for seat in (*self._farm.masters, *self._farm.agents):
                if not seat.busy.locked() and not seat.up:
                    assert seat.program is not None
                    self._history.ended_by_itself[seat.name[0]] += 1
                    last = seat.program.lines[-1:]
                    code = seat.program.process.returncode
                    self._history.note("ended by itself", program=seat.name, exit_code=code, last=last)
                    async with seat.busy:
                        await self._start(seat)

    async def _start(self, seat: Seat) -> None:
        """As a supervisor: until it runs."""
        if seat in self._farm.agents:
            await self._farm.start_agent(seat)
            return
        while True:
            try:
                await self._farm.start_master(seat)
            except AssertionError as error:
                self._history.note("did not start", program=seat.name, why=str(error)[-300:])
                await asyncio.sleep(_KEEP_SECONDS)
            else:
                return

    @contextlib.asynccontextmanager
    async def _victim(self, fault: str, seats: list[Seat]) -> AsyncIterator[Seat]:
        seat = self._rng.choice(seats)
        async with seat.busy:
            self._history.fault(fault, seat.name)
            yield seat

    def _seconds(self, longest: float) -> float:
        return self._rng.uniform(0.1, longest)

    # processes

    async def _agent_kill(self) -> None:
        working: set[str] = set()
        for _ in range(_LOOKS):  # its work is what is to be lost
            if working := self._bystander.busy(_WORKING_SECONDS):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        chosen = [agent for agent in self._farm.agents if agent.name in working]
        async with self._victim("kill -9 agent", chosen or self._farm.agents) as agent:
            self._bystander.taken("kill -9 agent", agent.name)
            self._history.kill(Kill(time.time(), agent.name))
            await agent.kill()
            await asyncio.sleep(self._rng.choice((0.0, self._seconds(1.5 * self._lease))))
            await self._start(agent)

    async def _agent_stop(self) -> None:
        async with self._victim("SIGTERM agent (drain)", self._farm.agents) as agent:
            await agent.stop()
            await asyncio.sleep(self._seconds(1.0))
            await self._start(agent)

    async def _agent_freeze(self) -> None:
        async with self._victim("SIGSTOP agent", self._farm.agents) as agent:
            times = self._history.frozen.setdefault(agent.name, [])
            began = time.time()
            times.append((began, math.inf))
            agent.signal(signal.SIGSTOP)
            await asyncio.sleep(self._seconds(2.5 * self._lease))
            agent.signal(signal.SIGCONT)
            times[-1] = (began, time.time())

    async def _engine_kill(self) -> None:
        engines: list[int] = []
        for _ in range(_LOOKS):  # an encode is short: wait for one
            agent = self._rng.choice(self._farm.agents)
            if agent.up:
                engines = [pid for pid in programs.descendants(agent.pid) if b"-progress\0" in cmdline(pid)]
            if engines:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._history.fault("kill -9 ffmpeg", agent.name)
        struck = {attempt for pid in engines if (attempt := attempt_of(pid)) and _kill(pid)}
        if struck:
            self._history.kill(Kill(time.time(), agent.name, frozenset(struck)))
        else:
            self._history.miss("kill -9 ffmpeg")

    async def _master_kill(self) -> None:
        async with self._victim("kill -9 master", self._farm.masters) as master:
            await master.kill()
            await asyncio.sleep(self._seconds(2.0))
            await self._start(master)

    async def _master_stop(self) -> None:
        async with self._victim("SIGTERM master", self._farm.masters) as master:
            await master.stop()
            await asyncio.sleep(self._seconds(1.0))
            await self._start(master)

    async def _master_freeze(self) -> None:
        async with self._victim("SIGSTOP master", self._farm.masters) as master:
            master.signal(signal.SIGSTOP)
            await asyncio.sleep(self._seconds(1.6 * self._lease))
            master.signal(signal.SIGCONT)

    # networks

    async def _behave(
        self, fault: str, behaviour: Behaviour, longest: float, line: Proxy, victim: str, shortest: float = 0.1
    ) -> None:
        self._history.fault(fault, victim)
        await line.behave(behaviour)
        await asyncio.sleep(self._rng.uniform(shortest, longest))
        await line.heal()

    def _line(self) -> tuple[Seat, Proxy]:
        agent = self._rng.choice(self._farm.agents)
        assert agent.line is not None
        return agent, agent.line

    async def _cut(self, kind: str) -> tuple[Seat, Proxy, float]:
        """Whom to cut off, and for how long at least: every other time an agent with a slow job, until another one has that."""
        agent, line = self._line()
        self._cut_off[kind] += 1
        if self._cut_off[kind] % 2 == 0:
            return agent, line, 0.1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                job = await self._users.submit_slow()
                await self._bystander.running(job)
                name = self._bystander.agent_of(job)
                agent = next((one for one in self._farm.agents if one.name == name), agent)
        assert agent.line is not None
        return agent, agent.line, 2.0 * self._lease

    async def _net_partition(self) -> None:
        agent, line, shortest = await self._cut("net_partition")
        hole = self._rng.choice((BOTH, frozenset({Direction.UP}), frozenset({Direction.DOWN})))
        if len(hole) == 2:
            self._bystander.taken("partition of an agent", agent.name)
        name = "partition of an agent" if len(hole) == 2 else "one-way partition of an agent"
        await self._behave(name, Behaviour(black_hole=hole), 3.0 * self._lease, line, agent.name, shortest)

    async def _net_refuse(self) -> None:
        agent, line, shortest = await self._cut("net_refuse")
        line.reset()
        name = "agent's connections refused"
        await self._behave(name, Behaviour(refuse=True), 2.5 * self._lease, line, agent.name, shortest)

    async def _net_slow(self) -> None:
        agent, line = self._line()
        slow = Behaviour(delay_seconds=self._seconds(0.5), jitter_seconds=0.5, bytes_per_second=20_000)
        await self._behave("slow network of an agent", slow, 2.0 * self._lease, line, agent.name)

    async def _net_half_open(self) -> None:
        agent, line = self._line()
        self._history.fault("agent's connections half open", agent.name)
        line.half_open()

    async def _net_half_close(self) -> None:
        agent, line = self._line()
        direction = self._rng.choice(tuple(Direction))
        self._history.fault("agent's connections half closed", agent.name, direction=direction.value)
        line.half_close(direction)

    async def _net_cut(self) -> None:
        agent, line = self._line()
        which = self._rng.choice((b"/complete ", b"/publish ", b"/heartbeat ", b"/lease "))
        name = "request cut in the middle"
        self._history.fault(name, agent.name, request=which.decode())
        await self._sprung(name, line, line.cut(which, Direction.UP, keep=self._rng.randint(1, 120)))

    async def _net_answer_lost(self) -> None:
        agent, line = self._line()
        name = "answer cut in the middle"
        self._history.fault(name, agent.name)
        await self._sprung(name, line, line.cut(b"HTTP/1.1 200", Direction.DOWN, keep=self._rng.choice((0, 5, 60))))

    async def _sprung(self, fault: str, line: Proxy, trap: Trap) -> None:
        try:
            async with asyncio.timeout(self._lease):
                await trap.reached()
        except TimeoutError:
            line.forget(trap)
            self._history.miss(fault)

    async def _net_copies(self) -> None:
        agent, line = self._line()
        twice = Behaviour(copies=0.5, copied=repeatable)
        await self._behave("requests sent twice", twice, 2.0 * self._lease, line, agent.name)

    async def _users_reset(self) -> None:
        self._history.fault("users' connections reset", "users")
        self._farm.users.reset()

    async def _users_copies(self) -> None:
        twice = Behaviour(copies=0.5, copied=repeatable)
        await self._behave("submissions sent twice", twice, self._lease, self._farm.users, "users")

    # databases

    async def _postgres_stop(self) -> None:
        await self._postgres("PostgreSQL stopped immediately", lambda server: server.stop_immediately())

    async def _postgres_kill(self) -> None:
        await self._postgres("kill -9 PostgreSQL", lambda server: server.kill())

    async def _postgres(self, fault: str, end: Callable[..., Awaitable[None]]) -> None:
        async with self._database:
            server = self._farm.server
            assert server is not None
            self._history.fault(fault, "postgres")
            await end(server)
            await asyncio.sleep(self._seconds(3.0))
            await server.start()

    async def _postgres_freeze(self) -> None:
        async with self._database:
            server = self._farm.server
            assert server is not None
            self._history.fault("SIGSTOP PostgreSQL", "postgres")
            with server.frozen():
                await asyncio.sleep(self._seconds(1.6 * self._lease))

    async def _backend_kill(self) -> None:
        async with self._database:
            found = await self._ask(_BACKENDS)
            self._history.fault("kill -9 of a PostgreSQL backend", "postgres")
            if found:
                _kill(self._rng.choice(found)[0])
            else:
                self._history.miss("kill -9 of a PostgreSQL backend")

    async def _backends_terminated(self) -> None:
        async with self._database:
            self._history.fault("pg_terminate_backend of all", "postgres")
            if not await self._ask(_TERMINATE):
                self._history.miss("pg_terminate_backend of all")

    async def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            return await self._farm.rows(sql)
        except (OSError, asyncpg.PostgresError):
            return []  # it is just recovering

    def _database_line(self) -> tuple[Seat, Proxy]:
        master = self._rng.choice(self._farm.masters)
        assert master.line is not None
        return master, master.line

    async def _database_partition(self) -> None:
        master, line = self._database_line()
        await self._behave(
            "partition between master and database", Behaviour(black_hole=BOTH), 2.0 * self._lease, line, master.name
        )

    async def _database_slow(self) -> None:
        master, line = self._database_line()
        slow = Behaviour(delay_seconds=0.02, jitter_seconds=0.1)
        await self._behave("slow network to the database", slow, self._lease, line, master.name)

    async def _database_reset(self) -> None:
        master, line = self._database_line()
        self._history.fault("connections to the database reset", master.name)
        line.reset()

    async def _database_half_open(self) -> None:
        master, line = self._database_line()
        self._history.fault("connections to the database half open", master.name)
        line.half_open()

    async def _database_commit_lost(self) -> None:
        """The commit was done, and its answer never comes: the outcome is unknown."""
        master, line = self._database_line()
        name = "answer to a COMMIT lost"
        self._history.fault(name, master.name)
        await self._sprung(name, line, line.cut(b"COMMIT\0", Direction.DOWN, keep=0))

    async def _writer_kill(self) -> None:
        async with self._victim("kill -9 of SQLite's writing process", self._farm.masters) as master:
            pid = self._farm.writer_pid(master) if master.up else None
            if pid is None:
                self._history.miss("kill -9 of SQLite's writing process")
            else:
                _kill(pid)


#: agents are killed more often than the rest: how soon their jobs run again is measured
_EVERYWHERE = (
    *("agent_kill", "net_partition", "master_kill", "engine_kill", "agent_freeze", "master_freeze", "agent_stop"),
    *("agent_kill", "net_copies", "net_cut", "net_half_open", "net_answer_lost", "master_stop", "agent_kill"),
    *("users_reset", "users_copies", "net_slow", "net_refuse", "net_half_close"),
)
_POSTGRES = (
    *("postgres_stop", "database_partition", "backends_terminated", "postgres_kill", "database_commit_lost"),
    *("backend_kill", "database_reset", "database_slow", "postgres_freeze", "database_half_open"),
)


def kinds(farm: Deployment) -> tuple[str, ...]:
    """The faults that this farm can have; those of its database come in turn with the others."""
    if farm.server is None:
        own: tuple[str, ...] = ("writer_kill",)
        return (*_EVERYWHERE[:1], *own, *_EVERYWHERE[1:5], *own, *_EVERYWHERE[5:])
    mixed: list[str] = []
    for number, name in enumerate(_EVERYWHERE):
        mixed += [name, *_POSTGRES[number : number + 1]]
    return tuple(mixed)


def repeatable(line: bytes) -> bool:
    """Whether a request, by its first line, may come twice."""
    text = line.decode(errors="replace")
    return text.startswith("POST ") and any(part in text for part in _REPEATABLE)


def _kill(pid: int) -> bool:
    """Whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
