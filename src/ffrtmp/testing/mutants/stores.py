"""Faults of the store's transactions: who may report what, what is remembered, counted and told."""

import contextlib
from collections.abc import Sequence
from typing import Any

from ffrtmp.domain import retry
from ffrtmp.domain.job import EventKind
from ffrtmp.domain.states import AttemptState, TaskState
from ffrtmp.store import calls, sqlite_process
from ffrtmp.store.ops import graph, lease, nodes, people, reports, rows, submit, sweeps, unit
from ffrtmp.store.statements import Dialect
from ffrtmp.testing.mutants.patches import Mutant, Run, Simulated, Tested, both, call, put, replace, returns, sql

_STORE = "tests/store"


def _as_if_not_canceled(was: Run) -> Run:
    async def run(of: unit.Unit, batch: Sequence[Any]) -> Sequence[Any]:
        canceled = [job for job in of.jobs.values() if job.cancel_requested]
        for job in canceled:
            job.cancel_requested = 0
        answers = await was(of, batch)
        for job in canceled:
            job.cancel_requested = 1
        return answers

    return run


def _cancels_what_publishes(was: Any) -> Any:
    def cancel(of: unit.Unit, ref: str, by: str) -> Any:
        found = of.find(ref)
        if found is None:
            return was(of, ref, by)
        before = found.leases
        found.leases = [lease for lease in before if lease.state is not AttemptState.PUBLISHING]
        answer = was(of, ref, by)
        found.leases = before
        return answer

    return cancel


def _cancel_told_after_the_end(was: Any) -> Any:
    def cancel(of: unit.Unit, ref: str, by: str) -> Any:
        found = of.find(ref)
        if found is not None and found.over:
            of.event(EventKind.JOB_CANCEL_REQUESTED, job_seq=found.seq)
        return was(of, ref, by)

    return cancel


def _anyone(_: Any) -> Any:
    def live(of: unit.Unit, report: calls.Report) -> rows.Lease | None:
        return of.leases.get(report.attempt_id)

    return live


def _always_a_replay(was: Any) -> Any:
    return lambda report, known, _: was(report, known, frozenset(AttemptState))


def _any_incarnation(was: Any) -> Any:
    def refusal(of: unit.Unit, asked: Any) -> Any:
        return was(of, asked) if asked.node_id not in of.nodes else None

    return refusal


def _always(**fixed: Any) -> Any:
    """Whatever it is told, it takes these."""
    return lambda was: lambda *about, **options: was(*about, **{**options, **fixed})


def _five_minutes_fast(was: Any) -> Any:
    async def promote(of: unit.Unit, limit: int) -> Any:
        now, told = of.now, len(of._events)
        of.now += 300_000_000
        try:
            return await was(of, limit)
        finally:
            of.now = now
            for event in of._events[told:]:
                event.at = now

    return promote


def _bodies_alike(was: Any) -> Any:
    async def known_keys(of: unit.Unit, batch: Sequence[calls.Submit]) -> dict[str, tuple[str, int]]:
        sent = {one.new.idempotency_key: one.new.body_sha256 for one in batch}
        return {key: (sent[key], seq) for key, (_, seq) in (await was(of, batch)).items()}

    return known_keys


def _at_once(was: Any) -> Any:
    def decide(failure: Any, **options: Any) -> Any:
        decision = was(failure, **options)
        return retry.Decision(retry=decision.retry, poison=decision.poison)

    return decide


def _untold(kind: EventKind) -> Any:
    return lambda was: lambda self, what, **about: None if what is kind else was(self, what, **about)


def _told_twice(kind: EventKind) -> Any:
    def make(was: Any) -> Any:
        def event(self: unit.Unit, what: EventKind, **about: Any) -> None:
            was(self, what, **about)
            if what is kind:
                was(self, what, **about)

        return event

    return make


def _half_counted(was: Any) -> Any:
    def count_job(self: unit.Unit, of: rows.Job, state: Any, by: int) -> None:
        if by > 0:
            was(self, of, state, by)

    return count_job


def _answers_without_commit(stack: contextlib.ExitStack) -> None:
    """One in ten batches loses its last job."""
    was = sqlite_process.Transactions._transaction
    turn = iter(range(10**9))

    def transaction(self: sqlite_process.Transactions, asked: Any) -> Any:
        answers = was(self, asked)
        if next(turn) % 10 == 9 and any(isinstance(one, calls.Submit) for one in asked):
            self._connection.execute("DELETE FROM jobs WHERE seq = (SELECT max(seq) FROM jobs)")
        return answers

    put(stack, sqlite_process.Transactions, "_transaction", transaction)


def _no_place(was: Any) -> Any:
    def placement(task: rows.Task, *, held: bool) -> Any:
        if task.placed is None and task.updated_at == 0 and task.attempts == 0 and task.was is task.state:
            return None
        return was(task, held=held)

    return placement


def _willing_to_all(_: Any) -> Any:
    return lambda _, asked: bool(asked.attempt_ids[: asked.slots])


REPORTS = {
    "publish-canceled": Mutant(
        "the master lets a canceled job be published",
        Simulated("canceled_is_final", seed=25),
        call(calls.Publish, _as_if_not_canceled),
    ),
    "complete-canceled": Mutant(
        "the result of a canceled job is taken",
        Simulated("canceled_is_final", seed=14, jobs=60, faults=("cancel", "slow", "drop", "partition")),
        call(calls.Complete, _as_if_not_canceled),
    ),
    "cancel-publishing": Mutant(
        "a cancel is acknowledged while the output is being renamed",
        Simulated("canceled_is_final", seed=6, jobs=60, faults=("cancel", "slow_disk")),
        replace(people, "_cancel", _cancels_what_publishes),
    ),
    "anyone-reports": Mutant(
        "any node may report of an attempt",
        Tested(f"{_STORE}/test_reports.py::test_only_its_node_reports[sqlite]"),
        replace(reports, "_live", _anyone),
    ),
    "late-report-taken": Mutant(
        "a report of an attempt that was taken away is answered as if it counted",
        Tested(f"{_STORE}/test_reports.py::test_what_is_over_cannot_end_otherwise[sqlite]"),
        replace(reports, "_late", _always_a_replay),
    ),
    "result-dropped": Mutant(
        "a job completes without its result",
        Simulated("published_once"),
        replace(graph, "end_attempt", _always(result=None)),
    ),
    "publications-forgotten": Mutant(
        "what an attempt was about to publish is not told to the next one",
        Simulated("not_in_its_own_way", seed=1),
        both(
            sql("publications_of_jobs", "WHERE", "WHERE 1 = 0 AND"),
            sql("publications_before", "WHERE", "WHERE 1 = 0 AND"),
        ),
    ),
}

LEASES = {
    "no-renewal": Mutant(
        "beats renew nothing",
        Simulated("calm_is_calm", seed=1, faults=()),
        sql("lease_renew", r"expires_at = ([?$]\d+)", r"expires_at = expires_at + 0 * \1"),
    ),
    "lease-cut-short": Mutant(
        "a renewed lease ends five seconds before the agent was told",
        Simulated("fenced", seed=26),
        sql("lease_renew", r"expires_at = ([?$]\d+)", r"expires_at = \1 - 5000000"),
    ),
    "no-take-back": Mutant(
        "a restarted agent's attempts stay with the process that is gone",
        Simulated("restarts_give_back", faults=("kill_agent",)),
        replace(nodes, "_take_back", lambda _: lambda *_: []),
    ),
    "name-for-anyone": Mutant(
        "an agent takes its name from another that lives",
        Simulated("fenced", faults=("same_name",)),
        replace(nodes, "_taken", lambda _: lambda *_: None),
    ),
    "late-start-taken": Mutant(
        "a registration that comes after that of a later start takes the node from it",
        Tested(f"{_STORE}/test_nodes.py::test_a_registration_that_comes_late_takes_nothing_from_a_later_start[sqlite]"),
        replace(nodes, "_late", lambda _: lambda *_: None),
    ),
    "node-only-fence": Mutant(
        "an agent's process that was replaced is given work as the node that it was",
        Tested(f"{_STORE}/test_lease.py::test_the_agent_before_a_restart_gets_nothing[sqlite]"),
        replace(lease, "_refusal", _any_incarnation),
    ),
    "requests-forgotten": Mutant(
        "a lease request that is repeated is given other work",
        Tested(f"{_STORE}/test_lease.py::test_repeating_a_request_repeats_its_grants[sqlite]"),
        both(replace(lease, "_known_requests", returns(dict)), replace(lease, "_remember", returns(dict))),
    ),
    "lease-leaves-ready": Mutant(
        "a lease leaves the task in line",
        Simulated("everything_ends", jobs=6),
        sql("ready_delete", "DELETE FROM ready WHERE", "UPDATE ready SET ready_at = ready_at WHERE"),
    ),
    "leases-kept": Mutant(
        "the lease of an attempt that ended stays",
        Simulated("nothing_left", faults=()),
        sql("lease_delete", "DELETE FROM leases WHERE", "UPDATE leases SET paused = paused WHERE"),
    ),
    "no-place": Mutant(
        "a queued task gets no place in line",
        Simulated("everything_ends", jobs=6),
        replace(rows, "placement", _no_place),
    ),
    "place-lost": Mutant(
        "a task that is given back goes to the end of the line",
        Simulated("no_starvation", seed=1),
        replace(graph, "make_ready", _always(keep_place=False)),
    ),
    "paused-in-line": Mutant(
        "a paused job stays in line",
        Simulated("paused_rests", seed=1),
        replace(
            rows,
            "placement",
            lambda was: lambda task, *, held: was(task, held=held and task.state is not TaskState.QUEUED),
        ),
    ),
    "drain-unheeded": Mutant(
        "a drained node is given work", Simulated("drained_rests", seed=9), replace(lease, "_willing", _willing_to_all)
    ),
}

RETRIES = {
    "crash-uncounted": Mutant(
        "a crash counts as any failure",
        Simulated("poison_stops", seed=2),
        replace(graph, "fail_task", _always(crashed=False)),
    ),
    "retries-for-ever": Mutant(
        "there is no limit of tries",
        Simulated("everything_ends", seed=10, jobs=6),
        replace(retry, "decide", _always(max_retries=10**6, crashes=0)),
    ),
    "retries-at-once": Mutant(
        "a retry does not wait", Simulated("retries_back_off"), replace(retry, "decide", _at_once)
    ),
    "promote-early": Mutant(
        "a retry comes five minutes early",
        Simulated("retries_back_off"),
        replace(sweeps, "_promote", _five_minutes_fast),
    ),
}

MEMORY = {
    "answers-without-commit": Mutant(
        "some submissions are answered and not kept",
        Simulated("acknowledged_jobs_exist", seed=0),
        _answers_without_commit,
    ),
    "keys-forgotten": Mutant(
        "idempotency keys are not looked up",
        Simulated("one_job_per_key"),
        both(replace(submit, "_known_keys", returns(dict)), sql("idempotency_insert", "$", " ON CONFLICT DO NOTHING")),
    ),
    "body-unchecked": Mutant(
        "a key that comes with another body is answered with the old job",
        Simulated("another_body_is_refused"),
        replace(submit, "_known_keys", _bodies_alike),
    ),
    "keys-not-kept-a-day": Mutant(
        "retention forgets a key before its day is over",
        Tested(f"{_STORE}/test_sweeps.py::test_a_key_is_known_for_a_day_whatever_the_retention[sqlite]"),
        replace(sweeps, "_KEY_PROMISE_US", lambda _: 0),
    ),
    "counters-half": Mutant(
        "what leaves a state is not counted", Simulated("counted"), replace(unit.Unit, "count_job", _half_counted)
    ),
}

HISTORY = {
    "ready-untold": Mutant(
        "the history does not say that a task is ready again",
        Simulated("history_is_whole"),
        replace(unit.Unit, "event", _untold(EventKind.TASK_READY)),
    ),
    "end-told-twice": Mutant(
        "the end of a job is told twice",
        Simulated("one_end"),
        replace(unit.Unit, "event", _told_twice(EventKind.JOB_STATE)),
    ),
    "told-after-the-end": Mutant(
        "a cancel of a finished job is in its history",
        Simulated("history_is_whole", seed=2),
        replace(people, "_cancel", _cancel_told_after_the_end),
    ),
    "tail-skips": Mutant(
        "who follows the history misses an event at the turn of a page",
        Simulated("stream_is_whole"),
        sql("events_after", r"e\.seq > (\?\d)", r"e.seq > \1 + 1", [Dialect.SQLITE]),
    ),
}
