"""Live progress on stderr: bars on a terminal, sparse lines elsewhere, nothing with --output json."""

from typing import TYPE_CHECKING, Protocol

from ffrtmp.cli import output, text, watch
from ffrtmp.domain import units

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ffrtmp.protocol.views import JobView

#: terminals below this width get the short form
_NARROW = 100
#: without a terminal, a job says something each time it has passed this many percent more
_STEP = 10


class Display(Protocol):
    def job(self, job: "JobView", label: str) -> None:
        """The job as it is now."""

    def transfer(self, label: str, verb: str, done: int, total: int) -> None:
        """So much of a file was sent or fetched."""

    def note(self, message: str) -> None:
        """A line for the person."""

    def suspend(self) -> None:
        """The screen is free for a question, from the start of a line."""

    def resume(self) -> None:
        """It is drawn again, below whatever the screen shows. What comes after a question that is answered does it too."""


class Bars:
    """One bar for each job, as rich draws them. `passing`: they are wiped away at the end."""

    def __init__(self, out: output.Output, *, passing: bool = False) -> None:
        self._out = out
        self._passing = passing
        self._narrow = out.messages.width < _NARROW
        self._last: dict[str, tuple[float, str]] = {}
        self._percent: dict[str, float] = {}
        self._asking = False
        self._notes: list[str] = []  #: what came under a question
        self._bars: Progress | None = None  #: None: nothing is drawn

    def __enter__(self) -> "Bars":
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._say_notes()

    def suspend(self) -> None:
        self._stop()
        self._asking = True

    def resume(self) -> None:
        self._asking = False
        self._say_notes()
        if self._bars is None:
            self._draw()

    def _say_notes(self) -> None:
        notes, self._notes = self._notes, []
        for note in notes:
            self._out.say(note)

    def _stop(self) -> None:
        bars, self._bars = self._bars, None
        if bars is not None:
            bars.stop()

    def _draw(self) -> None:
        """Fresh bars below whatever the screen shows."""
        from rich import progress

        self._tasks: dict[str, TaskID] = {}
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=12 if self._narrow else 18),
            progress.TextColumn("{task.percentage:>3.0f}%"),
            progress.TextColumn("{task.fields[detail]}", markup=False),
            console=self._out.messages,
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=8,
            transient=self._passing,
        )
        for label, (percent, said) in self._last.items():
            self._update(self._bars, label, percent, said)
        self._bars.start()

    def _update(self, bars: "Progress", label: str, percent: float, said: str) -> None:
        if label not in self._tasks:
            shown = _shortened(label, 24 if self._narrow else 40)
            self._tasks[label] = bars.add_task(shown, total=100, detail=said)
        bars.update(self._tasks[label], completed=percent, detail=said)

    def _set(self, label: str, percent: float, said: str) -> None:
        self._last[label] = (percent, said)
        if self._bars is not None:
            self._update(self._bars, label, percent, said)

    def job(self, job: "JobView", label: str) -> None:
        percent = job.progress_detail.percent if job.progress_detail else None
        if job.state == "completed":
            percent = 100.0
        elif job.state in watch.TERMINAL:  # the master forgets how far it was
            percent = self._percent.get(label)
        self._percent[label] = percent or 0.0
        self._set(label, percent or 0.0, detail(job, short=self._narrow))

    def transfer(self, label: str, verb: str, done: int, total: int) -> None:
        of = f"{verb} {units.human_bytes(done)} of {units.human_bytes(total)}"
        self._set(label, 100.0 * done / total if total else 100.0, of)

    def note(self, message: str) -> None:
        if self._asking:
            self._notes.append(message)
        else:
            self._out.say(message)


class Lines:
    """For logs and pipes: a line when the state changes and at each tenth."""

    def __init__(self, out: output.Output) -> None:
        self._out = out
        self._said: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None: ...

    def _step(self, label: str, what: str, percent: float, line: str) -> None:
        now = (what, int(percent) // _STEP)
        if self._said.get(label) != now:
            self._said[label] = now
            self._out.say(f"{label}: {line}")

    def job(self, job: "JobView", label: str) -> None:
        percent = job.progress if job.state == "running" else 0
        self._step(label, job.state, percent, detail(job) + (f" ({job.progress}%)" if percent else ""))

    def transfer(self, label: str, verb: str, done: int, total: int) -> None:
        if total and not done:
            return
        percent = 100.0 * done / total if total else 100.0
        self._step(label, verb, percent, f"{verb} {percent:.0f}% of {units.human_bytes(total)}")

    def note(self, message: str) -> None:
        self._out.say(message)

    def suspend(self) -> None: ...

    def resume(self) -> None: ...


class Silent:
    """With --output json, stderr has notes only."""

    def __init__(self, out: output.Output) -> None:
        self._out = out

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None: ...

    def job(self, job: "JobView", label: str) -> None: ...

    def transfer(self, label: str, verb: str, done: int, total: int) -> None: ...

    def note(self, message: str) -> None:
        self._out.say(message)

    def suspend(self) -> None: ...

    def resume(self) -> None: ...


def display(out: output.Output, *, passing: bool = False) -> Bars | Lines | Silent:
    """What suits this output. `passing`: what follows says the last of it again, so bars do not stay."""
    if out.json:
        return Silent(out)
    return Bars(out, passing=passing) if out.messages.is_terminal and not out.messages.is_dumb_terminal else Lines(out)


def detail(job: "JobView", *, short: bool = False) -> str:
    """What stands beside the bar. Why a job failed has more room below: `show.outcome`."""
    if job.state in watch.TERMINAL:
        took = text.taken(job)
        if job.state == "completed":
            verified = job.result and job.result.verdict and job.result.verdict.passed
            return f"completed in {took}{', verified' if verified else ''}"
        return f"{job.state}: {job.failure.code}" if job.failure and job.state != "canceled" else job.state
    if job.cancel_requested:
        return "canceling"
    if job.state == "queued":
        return "waiting for a node"
    if job.state != "running":
        return job.state
    eta = job.progress_detail.eta_seconds if job.progress_detail else None
    left = f" · {units.human_seconds(eta)} left" if eta is not None else ""
    return (text.speeds(job.progress_detail, short=short) or "starting") + left


def _shortened(label: str, width: int) -> str:
    return label if len(label) <= width else label[: width // 2 - 1] + "…" + label[-(width - width // 2) :]
