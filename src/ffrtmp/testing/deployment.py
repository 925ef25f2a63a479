"""A whole farm of real processes with a fault proxy on every line of it: masters, agents, users, the database.

agent ─ its proxy ─┐                ┌─ master ─ its proxy ─┐
agent ─ its proxy ─┼─ (round robin) ┼─ master ─ its proxy ─┼─ PostgreSQL        or one master on SQLite
users ─ a proxy  ──┘                └─ master ─ its proxy ─┘
"""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ffrtmp.testing import postgres, programs, slow
from ffrtmp.testing.programs import Program
from ffrtmp.testing.proxy import Proxy

DATABASES = ("sqlite", "postgres")
_DATABASE = "ffrtmp"
#: runs `ffrtmp` with what `launcher` puts on
LAUNCHER = (sys.executable, "-m", "ffrtmp.testing.launcher")


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What is deployed. `launcher`: what runs the programs instead of `ffrtmp`, `env`: with
    this in their environment."""

    database: str
    masters: int = 1
    agents: int = 2
    slots: int = 1
    lease_seconds: float = 5.0
    stop_grace_seconds: float = 10.0
    master_options: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()
    env: dict[str, str] = {}

    def check(self) -> None:
        """Raises ValueError naming what cannot be."""
        if self.database not in DATABASES:
            raise ValueError(f"database {self.database!r} is not known; choose {' or '.join(DATABASES)}")
        if self.database == "sqlite" and self.masters != 1:
            raise ValueError(f"{self.masters} masters cannot share a SQLite file; take one, or postgres")


class Seat:
    """A place where a program runs, is killed and runs again: a master's or an agent's machine. `line`: its network (an agent's
    to the masters, a master's to its database; None with SQLite)."""

    def __init__(self, name: str, line: Proxy | None) -> None:
        self.name = name
        self.line = line
        self.port = 0
        self.url = ""
        self.metrics_url = ""
        self.program: Program | None = None
        self.busy = asyncio.Lock()  #: one fault at a time
        self.options: tuple[str, ...] = ()

    @property
    def up(self) -> bool:
        return self.program is not None and self.program.process.returncode is None

    @property
    def pid(self) -> int:
        assert self.program is not None
        return self.program.pid

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def kill(self) -> None:
        if self.up:
            assert self.program is not None
            await self.program.kill()

    async def stop(self) -> int:
        assert self.program is not None
        self.signal(signal.SIGCONT)
        return await self.program.stop()


class Deployment:
    def __init__(self, root: Path, layout: Layout, rng: random.Random) -> None:
        layout.check()
        self.root = root
        self.layout = layout
        self.media = root / "media"
        self.media.mkdir(parents=True, exist_ok=True)
        self._ffmpeg = slow.ffmpeg(root)
        self.server: postgres.Server | None = None
        self.masters: list[Seat] = []
        self.agents: list[Seat] = []
        self._rng = rng
        self._users: Proxy | None = None
        self._bystanders: Proxy | None = None
        self._programs: list[Program] = []
        # they end when we do, however that is
        self._env = {"FFRTMP_STATE_DIR": str(root / "state"), "COLUMNS": "200", "FFRTMP_PARENT_PID": str(os.getpid())}

    @property
    def url(self) -> str:
        """Where users find the farm."""
        assert self._users is not None
        return self._users.url

    @property
    def users(self) -> Proxy:
        """The users' network."""
        assert self._users is not None
        return self._users

    @property
    def calm_url(self) -> str:
        """The same over a network that never fails: for who only looks."""
        assert self._bystanders is not None
        return self._bystanders.url

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    async def start(self) -> None:
        """All of it; every agent has registered when this returns."""
        if self.layout.database == "postgres":
            self.server = postgres.Server()
            await self.server.start()
            await self.server.create(_DATABASE)
        for number in range(self.layout.masters):
            line = None
            if self.server is not None:
                line = await Proxy.listen([("127.0.0.1", self.server.port)], self._rng)
            seat = Seat(f"m{number}", line)
            self.masters.append(seat)
            await self.start_master(seat)
        for number in range(self.layout.agents):
            self.agents.append(Seat(f"a{number}", await self._line()))
        self._users = await self._line()
        self._bystanders = await self._line()
        for agent in self.agents:
            await self.start_agent(agent)
        for agent in self.agents:
            assert agent.program is not None
            await agent.program.event("registered")

    async def _line(self) -> Proxy:
        return await Proxy.listen([("127.0.0.1", master.port) for master in self.masters], self._rng)

    async def start_master(
        self, seat: Seat, *, launcher: tuple[str, ...] | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """On the port and the database that it had before; it takes requests when this returns. Raises AssertionError with what
        it said when it ends instead. `launcher` and `env` take the place of the layout's."""
        arguments = ["master", "--host", "127.0.0.1", "--port", str(seat.port), "--metrics-port", "0", "--no-tls"]
        arguments += ["--no-auth", "--log-format", "json", "--lease-time", f"{self.layout.lease_seconds:g}s"]
        arguments += ["--artifacts", str(self.artifacts), "--scheduler-interval", "1s"]
        if self.server is None:
            arguments += ["--db", str(self.root / "master.db")]
        else:
            assert seat.line is not None
            arguments += ["--db-dsn", self.server.dsn(_DATABASE, port=seat.line.port)]
        arguments += [*self.layout.master_options, *seat.options]
        seat.program = await self._start(
            seat.name,
            arguments,
            self.layout.launcher if launcher is None else launcher,
            self.layout.env if env is None else env,
        )
        ready = await seat.program.event("the master is ready")
        seat.url, seat.metrics_url = ready["url"], ready["metrics"]
        seat.port = int(ready["url"].rsplit(":", 1)[1])

    async def start_agent(self, seat: Seat) -> None:
        """Returns before it has registered: the network may be away."""
        assert seat.line is not None
        arguments = ["agent", "--register", "--master", seat.line.url, "--name", seat.name, "--no-metrics"]
        arguments += ["--max-concurrent-jobs", str(self.layout.slots), "--poll-interval", "2s", "--log-format", "json"]
        arguments += ["--work-dir", str(self.root / f"work-{seat.name}"), "--media-root", str(self.media)]
        arguments += ["--stop-grace", f"{self.layout.stop_grace_seconds:g}s", "--ffmpeg", str(self._ffmpeg)]
        arguments += seat.options
        seat.program = await self._start(seat.name, arguments, self.layout.launcher, self.layout.env)

    async def _start(
        self, name: str, arguments: Sequence[str], launcher: tuple[str, ...], env: Mapping[str, str]
    ) -> Program:
        env = {**self._env, **env}
        started = await Program.start(name, *arguments, env=env, cwd=self.root, launcher=launcher)
        self._programs.append(started)
        return started

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """From the database itself, beside the masters."""
        if self.server is not None:
            return await self.server.fetch(_DATABASE, sql)
        connection = sqlite3.connect(self.root / "master.db", isolation_level=None)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    async def node_name(self, node_id: str) -> str:
        return await self._name(f"SELECT name FROM nodes WHERE id = '{node_id}'")  # noqa: S608 - ids are ours

    async def holder(self, job_id: str) -> str:
        """The name of the node that has this job."""
        return await self._name(
            "SELECT nodes.name FROM leases JOIN nodes ON nodes.id = leases.node_id"  # noqa: S608 - ids are ours
            f" JOIN jobs ON jobs.seq = leases.job_seq WHERE jobs.id = '{job_id}'"
        )

    async def _name(self, sql: str) -> str:
        found = await self.rows(sql)
        assert found, f"no node has it: {sql}"
        return str(found[0][0])

    def writer_pid(self, master: Seat) -> int | None:
        """The process that writes a master's SQLite file."""
        return next((pid for pid in programs.descendants(master.pid) if b"sqlite_process" in cmdline(pid)), None)

    async def close(self) -> None:
        """Kills what still runs."""
        for program in reversed(self._programs):
            if program.process.returncode is None:
                await program.kill()
        lines = [seat.line for seat in (*self.masters, *self.agents)]
        for line in (*lines, self._users, self._bystanders):
            if line is not None:
                await line.close()
        if self.server is not None:
            self.server.close()


@contextlib.asynccontextmanager
async def deployed(root: Path, layout: Layout, rng: random.Random) -> AsyncIterator[Deployment]:
    """A farm that runs. Nothing of it is left at the end, whatever happened."""
    made = Deployment(root, layout, rng)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


def cmdline(pid: int) -> bytes:
    """A process's arguments, with zeros between them; b"" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
