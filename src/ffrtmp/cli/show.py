"""The pages a person reads: one job, why it waits, lists of jobs and nodes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ffrtmp.cli import output, show_target, text, watch
from ffrtmp.domain import units

if TYPE_CHECKING:
    from ffrtmp.domain.energy import Energy
    from ffrtmp.domain.job import Quality, Result, Verdict
    from ffrtmp.protocol.views import AttemptView, ExplainView, JobView, OutputsView, TasksView

#: with the speeds beside it, 80 columns wide
_BAR = 20

#: told one by one to somebody who waited; a package may have hundreds
_MOST_FILES = 8


def jobs_table(out: output.Output, jobs: Sequence["JobView"]) -> None:
    """A line for each job."""
    if not jobs:
        out.say("No jobs. Submit one: ffrtmp transcode IN OUT, or ffrtmp jobs submit --scenario 720p30-h264")
        return
    out.table(
        ["#", "STATE", "%", "QUEUE", "NODE", "AGE", "TIME", "JOB"],
        [
            [
                job.sequence_number,
                output.state(job.state),
                "-" if _unknown_how_far(job) else job.progress,
                job.queue if job.priority == "medium" else f"{job.queue}/{job.priority}",
                _short(job.node_name or "-", 14),
                text.ago(job.created_at).removesuffix(" ago"),
                text.taken(job),
                text.made(job) + (f": {job.failure.code}" if job.failure else ""),
            ]
            for job in jobs
        ],
        right=("#", "%"),
    )


def job_page(out: output.Output, job: "JobView", outputs: "OutputsView | None", tasks: "TasksView | None") -> None:
    """Everything about one job."""
    _headline(out, job)
    _pairs(
        out,
        [
            ("Id", job.id),
            ("Job", text.made(job)),
            ("Asked for", _asked(job)),
            ("Queue", f"{job.queue}, priority {job.priority}, engine {job.engine}"),
            ("Submitted", f"{text.clock(job.created_at)} ({text.ago(job.created_at)})"),
            ("Ran", _ran(job)),
            ("Made by", _made_by(job)),
            ("Streamed", _streamed(job)),
            ("Took", _took(job)),
            ("Energy", _energy(job)),
            ("Retries", f"{job.retry_count} of at most {job.max_retries}" if job.retry_count else ""),
            ("Retry of", job.retry_of or ""),
            ("Tags", ", ".join(f"{name}={value}" for name, value in job.tags.items())),
        ],
    )
    if tasks and len(tasks.attempts) > (0 if job.failure else 1):
        _heading(out, "Attempts")
        _attempts(out, tasks.attempts)
    if outputs and outputs.outputs:
        _heading(out, "Outputs")
        out.table(
            ["NAME", "SIZE", "WHERE"],
            [
                [made.name, units.human_bytes(made.size_bytes), _where(out, job, made.path, made.node_name)]
                for made in outputs.outputs
            ],
            right=("SIZE",),
        )
    _target(out, job)
    if job.result and job.result.quality:
        _heading(out, "Quality")
        quality(out, job.result.quality)
    verdict = (outputs.verdict if outputs else None) or (job.result.verdict if job.result else None)
    if verdict:
        _heading(out, "Verification")
        _verdict(out, verdict)
    if job.failure:
        _heading(out, "Why it failed" if job.state != "canceled" else "Why it ended")
        out.text(f"  {job.failure.code}: {job.failure.message}")
        out.text(f"  {job.failure.advice}")
        if job.state != "canceled":
            _log_and_again(out, job)
    elif job.state in ("queued", "retrying"):
        out.text(f"\nWhy it waits: ffrtmp jobs explain {job.sequence_number}{out.options}")


def _target(out: output.Output, job: "JobView") -> None:
    if job.result and (job.result.search or job.result.fit):
        _heading(out, "How the target was met")
        show_target.found(out, job.result)


def outcome(out: output.Output, job: "JobView") -> None:
    """What a person who waited wants to know: where the output is, or why there is none. On stderr."""
    if job.failure and job.state != "canceled":
        out.say(f"{text.name(job)}: {job.failure.message}\n  {job.failure.advice}")
        _log_and_again(out, job, say=True)
    if streamed := _streamed(job):
        out.say(f"{text.name(job)}: streamed {streamed}")
    files = job.result.outputs if job.result else []
    for made in files[:_MOST_FILES]:
        where = _where(out, job, made.path, job.node_name)
        out.say(f"{text.name(job)}: {made.name}, {units.human_bytes(made.size_bytes)}: {where}")
    if rest := files[_MOST_FILES:]:
        size = units.human_bytes(sum(made.size_bytes for made in rest))
        out.say(
            f"{text.name(job)}: and {len(rest)} more, {size}; all: ffrtmp jobs status {job.sequence_number}{out.options}"
        )


def _log_and_again(out: output.Output, job: "JobView", *, say: bool = False) -> None:
    number = job.sequence_number
    log = (
        f"  Log: ffrtmp jobs logs {number}{out.options}" if job.node_id else ""
    )  # an attempt may fail before it starts
    again = f"  Again: ffrtmp jobs retry {number}{out.options}" if _may_go_well(job) else ""
    lines = [f"{log}  {again}"] if log and again and len(log + again) <= 78 else [line for line in (log, again) if line]
    for line in lines:
        (out.say if say else out.text)(line)


def _may_go_well(job: "JobView") -> bool:
    """Whether the same job can succeed at another try. A node that can run it may have come meanwhile."""
    return job.failure is not None and (job.failure.failure_class != "permanent" or job.failure.code == "unsatisfiable")


def explain_page(out: output.Output, job: "JobView", view: "ExplainView") -> None:
    """What the spec became, why it waits, where it can run, what happened."""
    _headline(out, job)
    if view.waiting_reason:
        ahead = f" {view.ahead} ready before it." if view.ahead else ""
        eta = f" It should end in about {units.human_seconds(view.eta_seconds)}." if view.eta_seconds else ""
        out.text(f"  Waits ({view.waiting_code}): {view.waiting_reason}{ahead}{eta}")
    elif view.eta_seconds and not job.cancel_requested:
        out.text(f"  It should end in about {units.human_seconds(view.eta_seconds)}.")
    _heading(out, "What it became")
    _pairs(out, spec_pairs(view.spec))
    if view.decisions:
        _heading(out, "Decided for you")
        for decision in view.decisions:
            out.text(f"  {decision}")
    _target(out, job)
    if took := _took(job):
        _heading(out, "What it took")
        _pairs(out, [("Engine", took), ("Energy", _energy(job))])
    _heading(out, "Where it can run")
    if view.nodes:
        out.table(
            ["NODE", "STATUS", "FITS", "WHY NOT"],
            [
                [
                    _short(node.node_name, 24),
                    output.state(node.status),
                    "yes" if node.fits else "no",
                    "; ".join(node.unmet),
                ]
                for node in view.nodes
            ],
        )
    else:
        out.text("  No node is registered. Start an agent: ffrtmp agent --register --master URL")
    if view.history:
        _heading(out, "What happened")
        if view.earlier_left_out:
            out.text(f"  Earlier events are left out; GET /jobs/{view.job_id}/events has all of them.")
        for line in view.history:
            out.text(f"  {text.with_clock(line)}")


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested JSON as dotted names, in order."""
    if isinstance(value, dict):
        return [pair for name, item in value.items() for pair in flat(item, f"{prefix}.{name}" if prefix else name)]
    if isinstance(value, list):
        return [(prefix, ", ".join(map(str, value)))]
    return [(prefix, "yes" if value is True else "no" if value is False else str(value))]


#: of what a node must offer: it follows from the rest of the job
_IMPLIED = ("engine", "codec", "container", "generates_input", "local_path", "beyond_reference")


def spec_pairs(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """A resolved spec; its decisions are told apart, and what is not set, or says nothing here, is left out."""
    left_out = {"decisions"} if spec.get("start") else {"decisions", "start"}
    if spec.get("output_mode", "file") == "file":
        left_out.add("segment_seconds")
    told = {name: item for name, item in spec.items() if name not in left_out}
    if "requires" in told:
        told["requires"] = {name: item for name, item in told["requires"].items() if name not in _IMPLIED}
    said = flat(told | ({"ladder": text.ladder(told["ladder"])} if told.get("ladder") is not None else {}))
    return [(name, value) for name, value in said if value != "None"]


def pairs(out: output.Output, rows: Iterable[tuple[str, str]]) -> None:
    _pairs(out, rows)


def _headline(out: output.Output, job: "JobView") -> None:
    from rich.text import Text

    percent = 100.0 if job.state == "completed" else float(job.progress)
    filled = round(_BAR * percent / 100)
    style = output.STATE_STYLE.get(job.state, "")
    line = Text(f"Job {job.sequence_number}  ", style="bold")
    line.append(job.state + (" (canceling)" if job.cancel_requested and not job.completed_at else ""), style=style)
    out.show(line)
    if _unknown_how_far(job):
        return
    bar = Text("  ")
    bar.append("━" * filled, style=style or "bold")
    bar.append("─" * (_BAR - filled), style="dim")
    bar.append(f"  {percent:.0f}%  ")
    if not job.completed_at and job.progress_detail:
        eta = job.progress_detail.eta_seconds
        left = f" · {units.human_seconds(eta)} left" if eta is not None else ""
        bar.append(text.speeds(job.progress_detail) + left)
    out.show(bar)


def _unknown_how_far(job: "JobView") -> bool:
    """Of a job that ended before its attempt had said anything."""
    return job.state in watch.TERMINAL and job.state != "completed" and not job.progress


def _heading(out: output.Output, title: str) -> None:
    from rich.text import Text

    out.show(Text(f"\n{title}", style="bold"))


def _pairs(out: output.Output, rows: Iterable[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        if value != "":
            table.add_row(output.cell(f"  {name}"), output.cell(value))
    out.show(table)


def _asked(job: "JobView") -> str:
    said = [f"scenario={job.scenario}"] if job.scenario else []
    said += [f"{name}={value}" for name, value in flat(job.parameters) if name.split(".")[0] not in ("tags", "engine")]
    return " ".join(said)


def _ran(job: "JobView") -> str:
    if not job.started_at:
        return ""
    took = text.taken(job)
    where = f" on {job.node_name}" if job.node_name else ""
    return f"{took}{where}, from {text.clock(job.started_at)}" + (
        f" to {text.clock(job.completed_at)}" if job.completed_at else ""
    )


def _made_by(job: "JobView") -> str:
    made = job.result
    if made is None or not made.encoder:
        return ""
    parts = [
        f"{made.encoder}{f' on {made.device}' if made.device else ''}{f' ({made.engine.value})' if made.engine else ''}",
        f"{made.frames} frames" if made.frames is not None else "",
        f"{made.speed:.2f}x real time" if made.speed else "",
    ]
    return ", ".join(part for part in parts if part)


def _streamed(job: "JobView") -> str:
    pushed = job.result.pushed if job.result else None
    if pushed is None:
        return ""
    parts = [f"{units.human_seconds(pushed.seconds)} to {pushed.target}", f"{pushed.frames} frames"]
    if pushed.reconnects or pushed.dropped_frames:
        parts.append(
            f"{pushed.reconnects} reconnects, {pushed.away_seconds:.1f} s without the server,"
            f" {pushed.dropped_frames} frames dropped"
        )
    return ", ".join(parts)


def _took(job: "JobView") -> str:
    """What the engine used, as far as it was measured."""
    made = job.result
    if made is None or made.cpu_seconds is None:
        return ""
    parts = [f"{made.cpu_seconds:.1f} s of CPU"]
    for size, what in (
        (made.peak_memory_bytes, "of memory at most"),
        (made.read_bytes, "read"),
        (made.written_bytes, "written"),
    ):
        if size:
            parts.append(f"{units.human_bytes(size)} {what}")
    return ", ".join(parts)


def _energy(job: "JobView") -> str:
    def told(one: "Energy") -> str:
        beside = f", with {one.shared_with} other attempts beside it" if one.shared_with else ""
        return f"{one.joules:.1f} J ({one.source}{beside})"

    return "; ".join(told(one) for one in job.result.energy) if job.result else ""


def _attempts(out: output.Output, attempts: Sequence["AttemptView"]) -> None:
    out.table(
        ["#", "NODE", "STATE", "TIME", "ENCODER", "WHAT HAPPENED"],
        [
            [
                attempt.number,
                _short(attempt.node_name, 20),
                output.state(attempt.state),
                text.between(attempt.started_at or attempt.assigned_at, attempt.finished_at),
                attempt.result.encoder if attempt.result else "",
                f"{attempt.failure.code}: {attempt.failure.message}" if attempt.failure else "",
            ]
            for attempt in attempts
        ],
        right=("#",),
    )


def _verdict(out: output.Output, verdict: "Verdict") -> None:
    from rich.text import Text

    line = Text("  passed" if verdict.passed else "  not passed", style="green" if verdict.passed else "red")
    line.append(f"  (level {verdict.level}, {units.human_seconds(verdict.seconds)})", style="dim")
    out.show(line)
    _pairs(out, _found(verdict.checks))
    for problem in verdict.problems:
        out.text(f"  ! {problem}")


def quality(out: output.Output, found: "Quality") -> None:
    """A line for each metric, and how the two videos were made comparable."""
    out.table(
        ["METRIC", "MEAN", "HARMONIC", "MIN", "1 %", "5 %", "MEDIAN", "MAX"],
        [
            [
                name,
                *(
                    _score(name, value)
                    for value in (
                        scores.overall if name == "psnr" else scores.mean,
                        scores.harmonic_mean,
                        scores.min,
                        scores.p1,
                        scores.p5,
                        scores.p50,
                        scores.max,
                    )
                ),
            ]
            for name, scores in found.scores.items()
        ],
        right=("MEAN", "HARMONIC", "MIN", "1 %", "5 %", "MEDIAN", "MAX"),
    )
    how = [f"{found.frames} frames, {found.size} {found.pixel_format}"]
    if found.model:
        how.append(found.model + (f" of one frame in {found.every}" if found.every > 1 else ""))
    if found.equal_frames:
        how.append(f"{found.equal_frames} frames without any difference")
    for line in (", ".join(how), *found.notes):
        out.text(f"  {line}")


def _score(name: str, value: float | None) -> str:
    """SSIM's scale ends at 1. None: no difference, which in dB has no bound."""
    if value is None:
        return "∞"
    return f"{value:.5f}" if name.startswith("ssim") else f"{value:.2f}"


def _found(checks: dict[str, Any]) -> list[tuple[str, str]]:
    """What was found, beside what was expected where that differs."""
    found = dict(flat(checks))
    rows = []
    for name, value in found.items():
        if name.endswith("_expected") and name.removesuffix("_expected") in found:
            continue
        expected = found.get(f"{name}_expected", value)
        rows.append((name, value if expected == value else f"{value} (expected {expected})"))
    return rows


def _where(out: output.Output, job: "JobView", path: str | None, node: str | None) -> str:
    if path:
        return f"{path} on {node}" if node else path
    return f"ffrtmp jobs download {job.sequence_number}{out.options}"


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def made_table(out: output.Output, rows: Sequence[tuple[str, "JobView"]]) -> None:
    """What was made, a line for each file."""
    out.table(
        ["SIZE", "FRAMES", "TIME", "SPEED", "VERIFIED", "OUTPUT"],
        [
            [
                units.human_bytes(_size(job.result)) if job.result else "",
                job.result.frames if job.result and job.result.frames is not None else "",
                text.taken(job),
                f"{job.result.speed:.2f}x" if job.result and job.result.speed else "",
                "yes" if job.result and job.result.verdict and job.result.verdict.passed else "no",
                path,
            ]
            for path, job in rows
        ],
        right=("SIZE", "FRAMES", "TIME", "SPEED"),
    )


def _size(made: "Result") -> int:
    return made.pushed.sent_bytes if made.pushed else sum(file.size_bytes for file in made.outputs)
