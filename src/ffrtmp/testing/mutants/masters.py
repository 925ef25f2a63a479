"""Faults of the master's loops and long-polls, and of the order of the queue."""

from typing import Any

import msgspec

from ffrtmp.master import submission
from ffrtmp.master.api import work
from ffrtmp.master.dispatch import Dispatcher
from ffrtmp.master.loops import sweeps
from ffrtmp.scheduling import order
from ffrtmp.testing.mutants.patches import Mutant, Simulated, Tested, replace, returns


def _held_until_the_answer(was: Any) -> Any:
    async def lease_for(call: Any, node_id: str, asked: Any) -> Any:
        arrived = call.master.clock()
        reply = await was(call, node_id, asked)
        return msgspec.structs.replace(reply, held_seconds=call.master.clock() - arrived)

    return lease_for


def _retried_without_key(was: Any) -> Any:
    async def retry(*about: Any, **options: Any) -> Any:
        return await was(*about, **{**options, "idempotency_key": None})

    return retry


MUTANTS = {
    "retry-without-key": Mutant(
        "a retry that is sent again makes another job",
        Simulated("one_job_per_key", seed=12),
        replace(submission, "retry", _retried_without_key),
    ),
    "rescue-never": Mutant(
        "leases that ended are not looked for",
        Simulated("everything_ends", seed=85, jobs=6),
        replace(sweeps, "rescue", returns(dict)),
    ),
    "promote-never": Mutant(
        "retries never come back",
        Simulated("everything_ends", seed=6, jobs=6),
        replace(sweeps, "_promote", returns(dict)),
    ),
    "agents-not-woken": Mutant(
        "agents that wait are not told of new work",
        Simulated("calm_is_calm", faults=()),
        replace(Dispatcher, "ready", lambda _: lambda *_: None),
    ),
    "held-until-the-answer": Mutant(
        "an agent is told that its lease began with the answer, not with the commit",
        Tested("tests/unit/master/test_leases.py::test_a_lease_counts_from_its_commit_and_not_from_its_answer"),
        replace(work, "_lease_for", _held_until_the_answer),
    ),
    "no-ageing": Mutant(
        "a higher rank goes first for ever",
        Simulated("no_starvation"),
        replace(order, "head_start_us", lambda was: lambda *rank: 10_000 * was(*rank)),
    ),
}
