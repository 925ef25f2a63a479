"""The cells of the matrix, one after another on one farm, and the invariants over all of them at the end."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.testing import deployment, programs, report
from ffrtmp.testing.campaign import invariants
from ffrtmp.testing.campaign.bystander import Bystander
from ffrtmp.testing.campaign.evidence import gather
from ffrtmp.testing.campaign.history import History
from ffrtmp.testing.deployment import LAUNCHER, Deployment, Layout, Seat
from ffrtmp.testing.kills.points import Points, Requests, Stop
from ffrtmp.testing.kills.scene import Scene
from ffrtmp.testing.kills.transitions import TRANSITIONS, Transition
from ffrtmp.testing.launcher import Point
from ffrtmp.testing.proxy import Direction, Proxy

MOMENTS = ("before send", "before commit", "after commit")
VICTIMS = ("agent", "master", "database")
_PATIENCE_SECONDS = 90.0
_COMMIT = b"COMMIT\0"


class Cell(msgspec.Struct, frozen=True):
    transition: Transition
    moment: str
    victim: str

    @property
    def name(self) -> str:
        return f"{self.transition.name} / {self.moment} / {self.victim}"

    @property
    def senseless(self) -> str:
        """Why there is nothing to try; "": there is."""
        return self.transition.without_agent if self.victim == "agent" else ""


class Outcome(msgspec.Struct):
    database: str
    cells: dict[str, str]  #: cell → "" when the farm recovered, else what went wrong
    verdicts: list[invariants.Verdict]
    seconds: float

    @property
    def broken(self) -> list[str]:
        return [f"{cell}: {what}" for cell, what in self.cells.items() if what] + [
            f"{verdict.name}: {what}" for verdict in self.verdicts for what in verdict.broken
        ]


def cells() -> list[Cell]:
    """All of them. The expiring ones come last: they take the jobs of the others away."""
    return [Cell(transition, moment, victim) for transition in TRANSITIONS for moment in MOMENTS for victim in VICTIMS]


def section(outcome: Outcome, command: str, commit: str) -> str:
    """Markdown: a row per transition and moment, a column per victim."""
    lines = [
        f"## Kill matrix on {'PostgreSQL' if outcome.database == 'postgres' else 'SQLite'}",
        "",
        *report.where(command, commit),
        "",
        f"{len(outcome.cells)} cells in {outcome.seconds:.0f} s, {len(outcome.broken)} violations. Each: kill -9 of the victim at"
        " that point, and the farm recovers; over all of them the invariants of the campaign hold.",
        "",
        "| transition | moment | agent | master | database |",
        "|---|---|---|---|---|",
    ]
    reasons: list[str] = []
    for transition in TRANSITIONS:
        for moment in MOMENTS:
            row = [_word(outcome, Cell(transition, moment, victim), reasons) for victim in VICTIMS]
            lines.append(f"| {transition.name} | {moment} | {' | '.join(row)} |")
    lines += ["", *(f"{'—' * number}: {reason}. " for number, reason in enumerate(reasons, 1))]
    return "\n".join(lines) + "\n"


def _word(outcome: Outcome, cell: Cell, reasons: list[str]) -> str:
    if why := cell.senseless:
        if why not in reasons:
            reasons.append(why)
        return "—" * (reasons.index(why) + 1)
    if cell.name not in outcome.cells:
        return "not run"
    return "**broken**" if outcome.cells[cell.name] else "ok"


async def run(database: str, chosen: Sequence[Cell], root: Path, progress: Callable[[str], None]) -> Outcome:
    """Raises what keeps the farm from being started."""
    began = time.monotonic()
    # expiring takes the jobs of the other cells away: on a farm of its own
    groups = {
        "lasting": [cell for cell in chosen if cell.transition.kind != "Expire"],
        "expiring": [cell for cell in chosen if cell.transition.kind == "Expire"],
    }
    found: dict[str, str] = {}
    verdicts: list[invariants.Verdict] = []
    for name, group in groups.items():
        if group:
            (root / name).mkdir()
            tried, judged = await _on_a_farm(database, group, root / name, progress)
            found |= tried
            verdicts += [one for one in judged if name == "lasting" or one.name in ("nothing_left", "counted")]
    return Outcome(database, found, verdicts, time.monotonic() - began)


async def _on_a_farm(
    database: str, chosen: Sequence[Cell], root: Path, progress: Callable[[str], None]
) -> tuple[dict[str, str], list[invariants.Verdict]]:
    points = Points(root / "points")
    await points.open()
    layout = Layout(
        database=database,
        agents=2,
        lease_seconds=3.0,
        stop_grace_seconds=0.0,
        master_options=("--unsatisfiable-grace", "0s"),
        launcher=LAUNCHER,
        env={"FFRTMP_TEST_POINTS": str(points.folder)},
    )
    history = History(root / "history.jsonl")
    try:
        async with (
            deployment.deployed(root, layout, random.Random(0)) as farm,
            Client(farm.url) as client,
            Client(farm.calm_url) as calm,
        ):
            bystander = Bystander(calm, farm.media, history)
            looking = asyncio.create_task(bystander.run())
            matrix = _Matrix(farm, client, points, bystander, history)
            found: dict[str, str] = {}
            try:
                for number, cell in enumerate(chosen, 1):
                    progress(f"{database}, {number} of {len(chosen)}: {cell.name}")
                    history.note("cell", name=cell.name)
                    found[cell.name] = await matrix.try_out(cell)
                    if found[cell.name]:
                        progress(f"BROKEN {cell.name}: {found[cell.name]}")
                evidence = await gather(farm, calm, bystander, history)
            finally:
                looking.cancel()
                await asyncio.wait({looking})
        return found, invariants.judge(evidence)
    finally:
        await points.close()
        history.close()


class _Matrix:
    def __init__(
        self, farm: Deployment, client: Client, points: Points, bystander: Bystander, history: History
    ) -> None:
        self._farm = farm
        self._client = client
        self._points = points
        self._bystander = bystander
        self._history = history
        [self._master] = farm.masters

    async def try_out(self, cell: Cell) -> str:
        """What went wrong; "" when the farm recovered."""
        scene = Scene(self._farm, self._client, self._bystander, self._history)
        doing: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._try(cell, scene, doing)
        except TimeoutError:
            return f"nothing came of it in {_PATIENCE_SECONDS:g} s"
        except (AssertionError, OSError, errors.FfrtmpError) as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        finally:
            for task in doing:
                task.cancel()
            self._points.disarm()
            await self._all_up()
        return ""

    async def _try(self, cell: Cell, scene: Scene, doing: list["asyncio.Task[None]"]) -> None:
        transition = cell.transition
        await transition.before(scene)
        requests = None
        if cell.moment == "before send" and transition.request:
            requests = Requests(self._lines(transition), transition.request)
        else:
            self._points.arm(Point(transition.kind, self._stage(cell)))
        doing.append(asyncio.create_task(transition.do(scene)))
        try:
            stop = await (self._points.reached() if requests is None else requests.reached())
        finally:
            if requests is not None:
                requests.forget()
        try:
            await self._kill(cell, scene, stop)
        except BaseException:
            stop.release()  # or the next cells wait for it
            raise
        await doing[0]
        await transition.after(scene)

    async def _kill(self, cell: Cell, scene: Scene, stop: Stop) -> None:
        match cell.victim:
            case "agent":
                await self._kill_agent(cell, scene, stop)
            case "master":
                await self._kill_master(stop)
            case "database":
                await self._kill_database(cell, stop)

    def _lines(self, transition: Transition) -> list[Proxy]:
        if transition.by_user:
            return [self._farm.users]
        return [agent.line for agent in self._farm.agents if agent.line is not None]

    def _stage(self, cell: Cell) -> str:
        if cell.moment == "after commit" and cell.victim == "database" and self._farm.server is not None:
            return "before_commit"  # from there the proxy before the database takes over
        return {"before send": "begin", "before commit": "before_commit", "after commit": "after_commit"}[cell.moment]

    async def _kill_agent(self, cell: Cell, scene: Scene, stop: Stop) -> None:
        agent = await self._agent(scene, stop)
        await agent.kill()
        stop.release(lost=not cell.transition.by_user)
        await self._farm.start_agent(agent)
        await scene.registered(agent)

    async def _agent(self, scene: Scene, stop: Stop) -> Seat:
        """Whose call it is; a user's concerns the agent that has the job. The database says so: the master stands still."""
        if stop.line is not None and stop.line is not self._farm.users:
            return next(agent for agent in self._farm.agents if agent.line is stop.line)
        if stop.node_id:
            return scene.seat(await self._farm.node_name(stop.node_id))
        return scene.agent or scene.seat(await self._farm.holder(scene.job))

    async def _kill_master(self, stop: Stop) -> None:
        assert self._master.program is not None
        self._master.signal(signal.SIGKILL)
        await programs.gone({self._master.pid})
        stop.release()  # the process that writes its database may stand still, and holds the master's log open
        await self._master.program.process.wait()
        await self._farm.start_master(self._master)

    async def _kill_database(self, cell: Cell, stop: Stop) -> None:
        server = self._farm.server
        if server is None:
            writer = stop.pid or self._farm.writer_pid(self._master)
            assert writer
            os.kill(writer, signal.SIGKILL)
            stop.release()
            return
        trap = None
        if cell.moment != "before send":
            line = self._master.line
            assert line is not None
            trap = line.hold(_COMMIT, Direction.UP if cell.moment == "before commit" else Direction.DOWN)
            stop.release()
            await trap.reached()
        await server.kill()
        if trap is None:
            stop.release()
        else:
            trap.release(reset=True)
        await server.start()

    async def _all_up(self) -> None:
        """For the next cell, whatever became of this one."""
        if not self._master.up:
            await self._farm.start_master(self._master)
        for agent in self._farm.agents:
            if agent.up:
                agent.signal(signal.SIGCONT)
            else:
                await self._farm.start_agent(agent)
