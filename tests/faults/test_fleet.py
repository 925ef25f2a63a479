"""The fleet in small: simulated agents on a real master. Whole: `make fleet`. Times are not asked for here."""

import resource
from pathlib import Path

import msgspec
import pytest

from ffrtmp.testing import programs
from ffrtmp.testing.fleet import agents, plan, report, run


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_all_work_of_a_small_fleet_is_done_and_no_lease_is_lost(database: str, tmp_path: Path) -> None:
    small = plan.Plan(
        agents=50, seconds=3.0, database=database, jobs_per_second=10.0, job_seconds=(0.1, 1.0), long_share=0.0
    )
    outcome = await run.run(small, tmp_path, lambda _: None)
    assert [one for one in report.checks(outcome) if one.correctness and not one.holds] == []
    assert outcome.submitted == 30
    # the start and the end of each attempt were told by a beat, a publish and a complete
    assert len(outcome.tally.seconds["beat"]) >= outcome.submitted
    assert len(outcome.tally.seconds["publish"]) == len(outcome.tally.seconds["complete"]) == outcome.submitted
    text = report.section(outcome, "command", "commit")
    assert "| every job that was submitted completed | 30 of 30 | yes |" in text


def _outcome(**changes: object) -> run.Outcome:
    tally = agents.Tally()
    tally.seconds["beat"].append(0.01)
    sample = run.Sample(at=0.0, master_bytes=1, master_cpu=0.0, database_cpu=0.0, fleet_cpu=0.0, late=0.0)
    base = run.Outcome(
        plan=plan.Plan(),
        tally=tally,
        submitted=9,
        completed=9,
        samples=[sample],
        joined_seconds=1.0,
        metrics={"ffrtmp_lease_expiries_total": 0.0},
    )
    return msgspec.structs.replace(base, **changes)


def _broken(outcome: run.Outcome) -> list[str]:
    return [one.says for one in report.checks(outcome) if not one.holds]


def test_each_thing_that_must_hold_is_missed_when_it_does_not() -> None:
    assert _broken(_outcome()) == []
    assert _broken(_outcome(completed=8)) == ["every job that was submitted completed"]
    assert _broken(_outcome(metrics={"ffrtmp_lease_expiries_total": 1.0})) == ["no lease ended without a report"]
    assert _broken(_outcome(metrics={})) == ["no lease ended without a report"]
    for warning, says in (("attempt lost", "no agent lost an attempt"), ("report refused", "no report was refused")):
        outcome = _outcome()
        outcome.tally.warnings[warning] += 1
        assert _broken(outcome) == [says]
    slow = _outcome()
    slow.tally.seconds["beat"].append(0.3)
    assert [one.split(":")[0] for one in _broken(slow)] == ["beats"]
    growing = [
        run.Sample(at=float(at), master_bytes=100 + at, master_cpu=0.0, database_cpu=0.0, fleet_cpu=0.0, late=0.0)
        for at in range(100)
    ]
    assert [one.split(":")[0] for one in _broken(_outcome(samples=growing))] == ["the master's memory is flat"]


async def test_a_master_may_open_as_many_files_as_the_system_allows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        async with programs.farm(tmp_path) as farm:
            master = await farm.master()
            assert resource.prlimit(master.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_agents_than_the_system_has_files_for_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"--agents 100000000 needs 200000256 open files"):
        plan.raise_file_limit(100_000_000)
