"""What a campaign found, as a section of docs/reliability-report.md."""

from ffrtmp.testing import report
from ffrtmp.testing.campaign.history import History, Recovery, middle
from ffrtmp.testing.campaign.invariants import ALLOWED_SECONDS
from ffrtmp.testing.campaign.world import Outcome


def section(outcome: Outcome, command: str, commit: str) -> str:
    """Markdown."""
    plan, history = outcome.plan, outcome.history
    layout = plan.layout
    ends = ", ".join(f"{count:,} {state}" for state, count in sorted(outcome.states.items()))
    lines = [
        f"## Campaign on {'PostgreSQL' if layout.database == 'postgres' else 'SQLite'}",
        "",
        *report.where(command, commit),
        "",
        f"{layout.masters} {'master' if layout.masters == 1 else 'masters'}, {layout.agents} agents with"
        f" {layout.slots} {'slot' if layout.slots == 1 else 'slots'} each, lease time {layout.lease_seconds:g} s, seed {plan.seed}."
        f" {sum(outcome.states.values()):,} jobs in {outcome.seconds:.0f} s ({ends}),"
        f" {outcome.attempts:,} attempts, {history.faults.total()} faults, of which {history.missed.total()} found nothing to"
        " strike.",
        "",
        "| fault | times | found nothing |",
        "|---|--:|--:|",
        *(
            f"| {kind} | {count} | {history.missed[kind] or ''} |"
            for kind, count in sorted(history.faults.items(), key=lambda one: (-one[1], one[0]))
        ),
        "",
        *_recoveries(history, layout.lease_seconds),
        *_cancels(history),
        *_by_themselves(history),
        "",
        "| invariant | | violations |",
        "|---|---|---|",
        *(f"| {verdict.name} | {verdict.says} | {len(verdict.broken)} |" for verdict in outcome.verdicts),
    ]
    return "\n".join(lines) + "\n"


def _recoveries(history: History, lease_seconds: float) -> list[str]:
    lines = []
    for fault in sorted({one.fault for one in history.recoveries}):
        found = [one for one in history.recoveries if one.fault == fault]
        alone = [one for one in found if history.alone(one)]
        lines.append(
            f"After {fault} its jobs ran again: {_times(found)}; with no other fault meanwhile: {_times(alone)}"
            f" (lease time + {ALLOWED_SECONDS:g} s = {lease_seconds + ALLOWED_SECONDS:g} s)."
        )
    return lines


def _times(found: list[Recovery]) -> str:
    if not found:
        return "none"
    seconds = [one.seconds for one in found]
    return f"median {middle(seconds):.2f} s, longest {max(seconds):.2f} s of {len(seconds)}"


def _cancels(history: History) -> list[str]:
    found = history.cancel_seconds
    if not found:
        return ["", "No canceled job had a process when its cancel was answered."]
    return [
        "",
        f"From the answer to a cancel until no process of the job was left: median {middle(found):.2f} s,"
        f" longest {max(found):.2f} s of {len(found)} that had one.",
    ]


def _by_themselves(history: History) -> list[str]:
    if not history.ended_by_itself:
        return []
    names = {"m": "masters", "a": "agents"}
    told = ", ".join(f"{names[kind]} {count} times" for kind, count in sorted(history.ended_by_itself.items()))
    return ["", f"Programs that ended by themselves and were started again, as a supervisor does: {told}."]
