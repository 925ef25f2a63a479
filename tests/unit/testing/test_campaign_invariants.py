"""Each invariant of the campaign finds what it is there for, and nothing else does."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ffrtmp.domain.job import OutputFile, Result
from ffrtmp.domain.spec import Engine
from ffrtmp.protocol import views
from ffrtmp.testing.campaign import invariants
from ffrtmp.testing.campaign.history import Attempt, History, Kill, Move, Recovery, Span
from ffrtmp.testing.campaign.invariants import CHECKS, Evidence, judge
from ffrtmp.testing.campaign.plan import Plan
from ffrtmp.testing.campaign.report import section
from ffrtmp.testing.campaign.world import Outcome
from ffrtmp.testing.deployment import Layout
from ffrtmp.testing.renames import Renamed


def _view(job: str, state: str, **more: object) -> views.JobView:
    base = {"id": job, "sequence_number": 1, "state": state, "status": state, "retry_count": 0, "max_retries": 3}
    text = ("scenario", "confidence", "engine", "queue", "priority", "created_at", "updated_at")
    return views.JobView(**{**base, **dict.fromkeys(text, ""), "parameters": {}, "progress": 0, **more})


def _result(**file: object) -> Result:
    output = OutputFile(**{"name": "a.mp4", "size_bytes": 1, "sha256": "5a", **file})
    return Result(outputs=[output], engine=Engine.FFMPEG, engine_reason="")


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Of a small farm where all was well: one job completed, one was canceled."""
    history = History(tmp_path / "history.jsonl")
    for job, key, end in (("a", "key-a", "completed"), ("b", "key-b", "canceled")):
        history.asked.add(key)
        history.acknowledge(key, job)
        history.outputs[job] = f"{job}.mp4"
        history.move(job, Move(1, "", "queued"))
        history.move(job, Move(2, "queued", end))
        history.tell(job, end)
    history.published.append(Renamed(name="a.mp4", was=".a.mp4.1.ffrtmp-part", at=5.0))
    history.canceled["b"] = 6.0
    jobs = {"a": _view("a", "completed", result=_result()), "b": _view("b", "canceled")}
    counted = {"m0": {"completed": 1.0, "canceled": 1.0, "queued": 0.0}}
    return Evidence(history, jobs, counted, {"a.mp4": "5a"}, {}, [], watched=True)


def _lost(found: Evidence) -> None:
    found.history.acknowledge("key-c", "c")


def _unanswered(found: Evidence) -> None:
    found.history.asked.add("key-c")


def _two_for_a_key(found: Evidence) -> None:
    found.history.acknowledge("key-a", "b")


def _unasked(found: Evidence) -> None:
    found.history.acknowledged["key-b"] = set()


def _refused(found: Evidence) -> None:
    found.history.refused_wrongly.append("key-a got Conflict")


def _moved_after_its_end(found: Evidence) -> None:
    found.history.move("b", Move(3, "canceled", "queued"))
    found.history.move("b", Move(4, "queued", "canceled"))


def _gap(found: Evidence) -> None:
    found.history.moves["a"][1] = Move(2, "running", "completed")


def _told_otherwise(found: Evidence) -> None:
    found.history.tell("b", "failed")


def _published_twice(found: Evidence) -> None:
    found.history.published.append(Renamed(name="a.mp4", was=".a.mp4.2.ffrtmp-part", at=5.5))


def _other_bytes(found: Evidence) -> None:
    found.hashes["a.mp4"] = "00"


def _upload_gone(found: Evidence) -> None:
    found.jobs["a"] = _view("a", "completed", result=_result(upload_id="u"))


def _half_watched(found: Evidence) -> None:
    found.watched = False


def _failed(found: Evidence, code: str, failure_class: str) -> None:
    failure = views.FailureView(code=code, failure_class=failure_class, message="there", advice="")
    found.jobs["b"] = _view("b", "failed", failure=failure)
    found.history.moves["b"][1] = Move(2, "queued", "failed")
    found.history.told["b"] = {"failed"}
    found.counted["m0"] = {"completed": 1.0, "failed": 1.0}


def _own_file_in_the_way(found: Evidence) -> None:
    _failed(found, "output_exists", "permanent")


def _our_mistake(found: Evidence) -> None:
    _failed(found, "internal", "crash")


def _published_after_cancel(found: Evidence) -> None:
    found.history.published.append(Renamed(name="b.mp4", was=".b.mp4.1.ffrtmp-part", at=6.5))


def _overlap(found: Evidence) -> None:
    found.history.overlap("a: two")


def _tried_for_ever(found: Evidence) -> None:
    found.jobs["b"] = _view("b", "canceled", retry_count=4)


def _left(found: Evidence) -> None:
    found.left.append("process 7")


def _miscounted(found: Evidence) -> None:
    found.counted["m0"]["queued"] = 1.0


def _poison(found: Evidence, *, kills: int) -> None:
    """`b` failed as poison after an attempt that ended well and three on the agent `a0`; the first of these were killed: one with
    its FFmpeg, one with its agent, one before its agent knew of it."""
    _failed(found, "poison", "permanent")
    history = found.history
    history.attempts["0"] = Attempt("b", "a1", 1.0, 2.0)
    for number in (1, 2, 3):
        history.attempts[str(number)] = Attempt("b", "a0", 10.0 * number, 10.0 * number + 9.0)
    history.attempts["other"] = Attempt("a", "a0", 11.0, 12.0)
    history.registered["a0"] = [0.0, 25.0, 31.0]
    for kill in (Kill(11.0, "a0", frozenset({"1"})), Kill(24.0, "a0"), Kill(29.5, "a0"))[:kills]:
        history.kill(kill)


def _poison_of_two_kills(found: Evidence) -> None:
    _poison(found, kills=2)


def _poison_of_kills_elsewhere(found: Evidence) -> None:
    _poison(found, kills=2)
    found.history.kill(Kill(34.0, "a1"))
    found.history.kill(Kill(39.5, "a0"))  # it had ended
    found.history.kill(Kill(24.5, "a0"))  # the second once more
    found.history.kill(Kill(35.0, "a0", frozenset({"other"})))


def test_three_kills_explain_poison(evidence: Evidence) -> None:
    _poison(evidence, kills=3)
    assert evidence.history.struck("b") == {"1", "2", "3"}
    assert [verdict.broken for verdict in judge(evidence) if verdict.broken] == []


def test_a_fault_explains_a_failure(evidence: Evidence) -> None:
    _failed(evidence, "lease_expired", "infrastructure")
    assert [verdict.broken for verdict in judge(evidence) if verdict.broken] == []


def test_all_is_well(evidence: Evidence) -> None:
    assert [(verdict.name, verdict.broken) for verdict in judge(evidence) if verdict.broken] == []
    assert all(verdict.says for verdict in judge(evidence))


SPOILED = [
    (_lost, "acknowledged_jobs_exist"),
    (_unanswered, "everyone_is_answered"),
    (_two_for_a_key, "one_job_per_key"),
    (_unasked, "one_job_per_key"),
    (_refused, "answered_rightly"),
    (_moved_after_its_end, "one_end"),
    (_gap, "one_end"),
    (_told_otherwise, "one_end"),
    (_published_twice, "published_once"),
    (_other_bytes, "published_once"),
    (_upload_gone, "published_once"),
    (_half_watched, "published_once"),
    (_own_file_in_the_way, "fails_over_faults_alone"),
    (_our_mistake, "fails_over_faults_alone"),
    (_poison_of_two_kills, "fails_over_faults_alone"),
    (_poison_of_kills_elsewhere, "fails_over_faults_alone"),
    (_published_after_cancel, "canceled_is_final"),
    (_overlap, "fenced"),
    (_tried_for_ever, "poison_stops"),
    (_left, "nothing_left"),
    (_miscounted, "counted"),
]


@pytest.mark.parametrize(("spoil", "finder"), SPOILED)
def test_each_fault_is_found_by_its_invariant(
    evidence: Evidence, spoil: Callable[[Evidence], None], finder: str
) -> None:
    spoil(evidence)
    assert [verdict.name for verdict in judge(evidence) if verdict.broken] == [finder]


def test_a_history_is_kept_as_lines(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    history.fault("kill -9 agent", "a0")
    history.close()
    [line] = map(msgspec.json.decode, (tmp_path / "history.jsonl").read_bytes().splitlines())
    assert (line["kind"], line["fault"], line["victim"]) == ("fault", "kill -9 agent", "a0")
    assert line["at"] <= time.time()


def test_a_fault_that_struck_nothing_is_told(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    for _ in range(2):
        history.fault("kill -9 ffmpeg", "a0")
    history.miss("kill -9 ffmpeg")
    history.fault("kill -9 agent", "a0")
    history.close()
    plan = Plan(seed=1, jobs=1, faults=3, layout=Layout(database="sqlite"))
    text = section(Outcome(plan, history, [], {}, 0, 1.0), "the command", "abc")
    assert "3 faults, of which 1 found nothing to strike" in text
    assert "| kill -9 ffmpeg | 2 | 1 |\n| kill -9 agent | 1 |  |" in text


def test_a_job_that_runs_again_too_late_is_found(evidence: Evidence) -> None:
    history = evidence.history
    history.spans = [Span(0.5, 1.5), Span(100.0, 102.0), Span(110.0), Span(200.0, 201.0), Span(300.0, 301.0)]
    history.recoveries = [
        Recovery("kill -9 agent", since=1.0, at=10.9, load=1.0),  # in time
        Recovery("kill -9 agent", since=101.0, at=112.0, load=1.0),  # not alone
        Recovery("partition of an agent", since=200.5, at=250.0, load=1.0),
    ]
    history.spans[2].until = 111.0
    assert invariants.recovers_in_time(history, 5.0).broken == []
    history.recoveries.append(Recovery("kill -9 agent", since=300.5, at=315.5, load=4.0))
    assert invariants.recovers_in_time(history, 5.0).broken == [
        "15.0 s instead of at most 10.0 s (load 4.0 for each core)"
    ]
    history.recoveries[-1] = Recovery("kill -9 agent", since=300.5, at=315.5, load=8.0)
    assert invariants.recovers_in_time(history, 5.0).broken == []


def test_every_invariant_has_a_fault_here() -> None:
    assert {finder for _, finder in SPOILED} == {check.__name__ for check in CHECKS}
