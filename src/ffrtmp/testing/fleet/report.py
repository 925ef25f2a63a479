"""What a fleet found: what must hold, and a section of docs/reliability-report.md."""

import statistics
from collections.abc import Sequence

import msgspec

from ffrtmp.testing import report
from ffrtmp.testing.fleet.run import Outcome, Sample, percentile

_SHARES = (("median", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("99.9 %", 0.999))


class Check(msgspec.Struct, frozen=True):
    """Something that must hold, with what was found. `correctness`: it holds on any machine, however busy."""

    says: str
    found: str
    holds: bool
    correctness: bool = True


def checks(outcome: Outcome) -> list[Check]:
    plan, tally = outcome.plan, outcome.tally
    expired = int(outcome.metrics.get("ffrtmp_lease_expiries_total", -1))
    lost = tally.warnings["attempt lost"] + tally.ended["stopped"]
    refused = tally.warnings["report refused"]
    beats = sorted(tally.seconds["beat"])
    p99 = percentile(beats, 0.99) if beats else float("inf")
    growth = growth_share(_under_load(outcome))
    return [
        Check(
            says="every job that was submitted completed",
            found=f"{outcome.completed:,} of {outcome.submitted:,}",
            holds=outcome.completed == outcome.submitted > 0,
        ),
        Check(says="no lease ended without a report", found=f"{expired}", holds=expired == 0),
        Check(says="no agent lost an attempt", found=f"{lost}", holds=lost == 0),
        Check(says="no agent ended by itself", found=f"{len(tally.exits)}", holds=not tally.exits),
        Check(says="no report was refused", found=f"{refused}", holds=refused == 0),
        Check(
            says=f"beats: 99 % within {plan.beat_p99_seconds * 1000:g} ms, as the agents see it",
            found=f"{p99 * 1000:.1f} ms",
            holds=p99 <= plan.beat_p99_seconds,
            correctness=False,
        ),
        Check(
            says=f"the master's memory is flat: at most {plan.growth_share:.0%} more over the second half of the load",
            found=f"{growth:+.1%}",
            holds=growth <= plan.growth_share,
            correctness=False,
        ),
    ]


def _under_load(outcome: Outcome) -> list[Sample]:
    """Without the time in which the last jobs ran out."""
    return [sample for sample in outcome.samples if sample.at <= outcome.plan.seconds]


def growth_share(samples: Sequence[Sample]) -> float:
    """By how much the master grew over the second half, of its median there: the slope of a line through it (least squares)."""
    half = [sample for sample in samples if sample.at >= samples[-1].at / 2]
    if len(half) < 3:
        return 0.0
    slope, _ = statistics.linear_regression([one.at for one in half], [float(one.master_bytes) for one in half])
    return slope * (half[-1].at - half[0].at) / statistics.median(one.master_bytes for one in half)


def section(outcome: Outcome, command: str, commit: str) -> str:
    """Markdown."""
    plan, samples = outcome.plan, _under_load(outcome)
    passed = samples[-1].at - samples[0].at or 1.0
    used = {
        "master": samples[-1].master_cpu - samples[0].master_cpu,
        "PostgreSQL" if plan.database == "postgres" else "the process that writes SQLite": samples[-1].database_cpu
        - samples[0].database_cpu,
        "the simulated agents": samples[-1].fleet_cpu - samples[0].fleet_cpu,
    }
    late = sorted(sample.late for sample in samples)
    warnings = ", ".join(f"{what}: {count:,}" for what, count in sorted(outcome.tally.warnings.items())) or "none"
    return (
        "\n".join(
            [
                f"## Fleet on {'PostgreSQL' if plan.database == 'postgres' else 'SQLite'}",
                "",
                *report.where(command, commit),
                "",
                f"{plan.agents:,} simulated agents with the product's own session and a slot each, over plain HTTP on the loopback"
                f" interface, on one master without authentication. Heartbeats each {plan.heartbeat_seconds:g} s from idle agents,"
                f" each third of the lease time of {plan.lease_seconds:g} s from busy ones; long-polls of {plan.poll_seconds:g} s."
                f" {plan.jobs_per_second:g} jobs a second for {plan.seconds:g} s, of {_between(plan.job_seconds)} s"
                f" ({plan.long_share:.0%} of them: {_between(plan.long_seconds)} s), pretended."
                f" Registering took {outcome.joined_seconds:.0f} s. What agents' logs would have warned of: {warnings}.",
                "",
                "| must hold | found | |",
                "|---|---|---|",
                *(f"| {one.says} | {one.found} | {'yes' if one.holds else '**no**'} |" for one in checks(outcome)),
                "",
                f"| call | times | {' | '.join(name for name, _ in _SHARES)} | longest, ms |",
                "|---|--:|" + "--:|" * (len(_SHARES) + 1),
                *(_call(name, sorted(seconds)) for name, seconds in sorted(outcome.tally.seconds.items())),
                "",
                "| process | cores used |",
                "|---|--:|",
                *(f"| {name} | {seconds / passed:.2f} |" for name, seconds in used.items()),
                "",
                f"The master with its children: {samples[0].master_bytes / 1e6:.0f} MB at the beginning,"
                f" {statistics.median(one.master_bytes for one in samples) / 1e6:.0f} MB in the middle,"
                f" {samples[-1].master_bytes / 1e6:.0f} MB at the end. The process that plays the agents was late by"
                f" {percentile(late, 0.99) * 1000:.0f} ms at most in 99 % of {len(late)} looks; that is in the times above.",
            ]
        )
        + "\n"
    )


def _call(name: str, seconds: list[float]) -> str:
    if not seconds:
        return f"| {name} | 0 |" + " |" * (len(_SHARES) + 1)
    shares = " | ".join(f"{percentile(seconds, share) * 1000:.1f}" for _, share in _SHARES)
    return f"| {name} | {len(seconds):,} | {shares} | {seconds[-1] * 1000:.1f} |"


def _between(seconds: tuple[float, float]) -> str:
    return f"{seconds[0]:g} to {seconds[1]:g}"
