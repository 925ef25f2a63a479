"""The campaign in small, on both databases: real processes under real faults, judged from outside. Whole: `make campaign`."""

from pathlib import Path

import pytest

from ffrtmp.testing.campaign import world
from ffrtmp.testing.campaign.plan import Plan
from ffrtmp.testing.deployment import LAUNCHER, Layout
from ffrtmp.testing.mutants import VARIABLE

#: those that are over soon; the others take a lease time or more, and are left to the command
_SQLITE = (
    *("writer_kill", "agent_kill", "master_kill", "users_reset", "net_cut", "net_copies", "engine_kill"),
    *("net_answer_lost", "agent_stop"),
)
_POSTGRES = (
    *("postgres_stop", "master_kill", "backends_terminated", "database_commit_lost", "agent_kill", "backend_kill"),
    *("database_reset", "net_copies", "users_reset"),
)


@pytest.mark.parametrize(
    ("layout", "kinds"),
    [
        pytest.param(Layout(database="sqlite", agents=3, slots=2, lease_seconds=4.0), _SQLITE, id="sqlite"),
        pytest.param(
            Layout(database="postgres", masters=2, agents=3, slots=2, lease_seconds=4.0),
            _POSTGRES,
            id="postgres",
            marks=pytest.mark.postgres,
        ),
    ],
)
async def test_what_must_hold_holds_under_faults(layout: Layout, kinds: tuple[str, ...], tmp_path: Path) -> None:
    plan = Plan(seed=11, jobs=80, faults=len(kinds), layout=layout, kinds=kinds, open_jobs=24)
    lines: list[str] = []
    outcome = await world.run(plan, tmp_path, lines.append)
    assert outcome.broken == [], lines[-1:]
    assert outcome.history.faults.total() == len(kinds)
    assert sum(outcome.states.values()) >= plan.jobs
    assert outcome.states["completed"] > plan.jobs // 2
    assert outcome.history.published


async def test_an_agent_without_a_fence_is_found(tmp_path: Path) -> None:
    """A slow job's agent is cut off until another one has the job: both run it, where the first does not fence itself."""
    layout = Layout(
        database="sqlite", agents=2, slots=2, lease_seconds=3.0, launcher=LAUNCHER, env={VARIABLE: "no-fence"}
    )
    plan = Plan(seed=1, jobs=2, faults=1, layout=layout, kinds=("net_partition",))
    outcome = await world.run(plan, tmp_path, lambda _: None)
    assert {verdict.name for verdict in outcome.verdicts if verdict.broken} == {"fenced"}, outcome.broken
    assert len(outcome.broken) == 1
