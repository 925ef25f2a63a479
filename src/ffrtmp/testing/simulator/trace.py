"""All that happened in a run, a line each: faults, what people did, what ran where, and the history of events."""

import re
from collections.abc import Iterable, Sequence

from ffrtmp.domain.job import EventKind
from ffrtmp.testing.simulator import told
from ffrtmp.testing.simulator.scene import Scene

_ID = re.compile(r"\b[0-9a-f]{32}\b")


def lines(scene: Scene, violations: Sequence[str]) -> list[str]:
    """In the order of time, with short names: `job 3` by its number, `job 3 try 2` for an attempt. Last, what is wrong."""
    names = _names(scene)
    found = [*scene.history.notes, *_runs(scene), *((event.at, _words(event)) for event in told.events(scene))]
    story = [f"{at:10.3f}  {text}" for at, text in sorted(found, key=lambda one: one[0])]
    return [_ID.sub(lambda match: names.get(match[0], match[0]), line) for line in (*story, *violations)]


def _names(scene: Scene) -> dict[str, str]:
    names = {job: f"job {seq}" for job, seq in scene.database.rows("SELECT id, seq FROM jobs")}
    attempts = scene.database.rows("SELECT id, job_seq, number FROM attempts")
    return names | {attempt: f"job {seq} try {number}" for attempt, seq, number in attempts}


def _runs(scene: Scene) -> Iterable[tuple[float, str]]:
    for run in scene.history.runs:
        yield run.since, f"{run.attempt_id}: its processes begin on {run.host}"
        for since, until in run.pauses:
            yield since, f"{run.attempt_id}: its processes are paused"
            if until < float("inf"):
                yield until, f"{run.attempt_id}: its processes go on"
        if run.asked is not None:
            yield run.asked, f"{run.attempt_id}: its output is whole; asks to publish"
        if run.until is not None:
            yield run.until, f"{run.attempt_id}: its processes have ended"


def _words(event: told.Event) -> str:
    data = event.data
    if event.kind == EventKind.JOB_STATE:
        return f"{event.job_id}: {data['from']} → {data['to']}"
    about = event.attempt_id or event.job_id or event.node
    more = [f"{name} {value}" for name, value in data.items() if name not in ("number", "run_at", "name")]
    if "run_at" in data:
        more.append(f"ready at {told.seconds(data['run_at']):.3f}")
    if event.attempt_id:
        more.append(event.node)
    return f"{about}: {event.kind}{' (' + ', '.join(more) + ')' if more else ''}"
