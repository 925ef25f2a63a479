"""Two masters on one PostgreSQL: one is stopped before each statement of an operation while the other runs one of its own.

What comes of it must be what one of the two orders, one after the other, would have given: the answers, and all that is stored.
A sample of the cells runs here; `make interleavings` runs all of them.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import msgspec
import pytest

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.protocol.agent import AttemptBeat
from ffrtmp.scheduling import assign
from ffrtmp.store import interface, statements
from ffrtmp.store.ops import unit
from ffrtmp.store.postgres import PostgresStore
from ffrtmp.store.statements import Dialect
from ffrtmp.testing import factories
from ffrtmp.testing.model import seen
from ffrtmp.testing.stops import Gate, StoppableStore
from ffrtmp.testing.story import check
from ffrtmp.testing.world import NoWait

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(1800)]
ALL = os.environ.get("INTERLEAVINGS") == "all"
#: of the cells of each pair, every so many
SAMPLE = 1 if ALL else 5
HELD = ("attempt", "node", "incarnation")
Do = Callable[[PostgresStore, str], Awaitable[Any]]


def _lease(store: PostgresStore, who: str) -> Awaitable[Any]:
    return _asks(store, f"request-{who}", f"attempt-{who}")


async def _asks(store: PostgresStore, request_id: str, attempt_id: str) -> Any:
    call = interface.LeaseCall(
        node_id="node",
        incarnation="incarnation",
        request_id=request_id,
        slots=1,
        class_ids=tuple(one.id for one in await store.classes()),
        attempt_ids=(attempt_id,),
    )
    return await store.lease(call, assign.choose)


def _beat(store: PostgresStore, who: str) -> Awaitable[Any]:
    named = (AttemptBeat(attempt_id="attempt", started=True),)
    return store.beat(interface.BeatCall(node_id="node", incarnation="incarnation", attempts=named))


def _submit(store: PostgresStore, who: str) -> Awaitable[Any]:
    return store.submit(_a_job(f"job-{who}", idempotency_key="key", body_sha256="body"))


def _fail(store: PostgresStore, who: str) -> Awaitable[Any]:
    return store.fail(*HELD, Failure(code=Code.STALLED, message="it stalled"), None)


def _register(store: PostgresStore, who: str) -> Awaitable[Any]:
    """The agent was started anew."""
    return store.register(factories.a_node("node", id="node", incarnation="anew", ttl_us=60_000_000))


#: operation → (what it does, the states of the job in which it does something)
OPERATIONS: dict[str, tuple[Do, tuple[str, ...]]] = {
    "lease": (_lease, ("queued",)),
    "beat": (_beat, ("held",)),
    "complete": (lambda store, who: store.complete(*HELD, factories.a_result()), ("held", "publishing")),
    "publish": (lambda store, who: store.publish(*HELD, [factories.an_output()]), ("held",)),
    "fail": (_fail, ("held", "publishing")),
    "give_back": (lambda store, who: store.give_back(*HELD, "drained"), ("held",)),
    "cancel": (lambda store, who: store.cancel("job"), ("held", "queued", "publishing", "retrying")),
    "pause": (lambda store, who: store.pause("job"), ("held", "queued", "retrying")),
    "rescue": (lambda store, who: store.rescue(10), ("held", "publishing")),
    "promote": (lambda store, who: store.promote(10), ("retrying",)),
    "reject": (lambda store, who: store.reject(["job"], "no node offers this"), ("queued",)),
    "expire": (lambda store, who: store.expire(finished_before=2**60, limit=10), ("over",)),
    "submit": (_submit, ("queued",)),
    "register": (_register, ("held", "queued", "publishing")),
}
#: they leave out what another master holds, as if they had not run, and come again
PATIENT = {"lease": [], "rescue": [], "promote": 0, "expire": 0}


def _a_job(job_id: str, **fields: Any) -> Any:
    made = factories.a_job(id=job_id, **fields)
    task = factories.a_task()
    return factories.a_job(
        id=job_id,
        tasks=(type(task)(id=f"task-of-{job_id}", kind=task.kind, requires_key=task.requires_key, payload=made.spec),),
        **fields,
    )


def _brief(answer: Any) -> Any:
    """What the two orders must agree on: no times, no numbers."""
    if isinstance(answer, errors.FfrtmpError):
        return seen.refusal(answer)
    if isinstance(answer, interface.AttemptResult):
        return answer.attempt_id, answer.attempt_state, answer.job_state, answer.replay, answer.retry
    if isinstance(answer, interface.JobChange):
        return answer.job.state, answer.job.paused, answer.job.cancel_requested, answer.attempts
    if isinstance(answer, interface.BeatResult):
        return answer.commands
    if isinstance(answer, interface.Submitted):
        return answer.job.id, answer.created
    if isinstance(answer, interface.RegisteredNode):
        return answer.created, answer.restored
    if isinstance(answer, interface.Rescued):
        return [_brief(one) for one in answer.attempts]
    if isinstance(answer, interface.Promoted):
        return answer.count
    if isinstance(answer, interface.Expired):
        return answer.jobs
    return [one if isinstance(one, str) else (one.attempt_id, one.job_id, one.number) for one in answer]


async def _answer(call: Awaitable[Any]) -> Any:
    try:
        return _brief(await call)
    except errors.FfrtmpError as error:
        return _brief(error)


#: all that is stored, without times and numbers
_STATE = (
    "SELECT id, state, paused, cancel_requested, retry_count, node_id, result_attempt, left(failure, 30) FROM jobs",
    "SELECT id, state, failures, crashes, attempts, run_at IS NULL FROM tasks",
    "SELECT id, task_id, node_id, number, state, left(failure, 30), result IS NULL FROM attempts",
    "SELECT attempt_id, state, expires_at > extract(epoch FROM clock_timestamp()) * 1000000 FROM leases",
    "SELECT task_id FROM ready",
    "SELECT position FROM delayed",
    "SELECT attempt_id, outputs FROM publications",
    "SELECT key, id FROM idempotency JOIN jobs ON seq = job_seq",
    "SELECT request_id, attempt_ids FROM lease_requests",
    "SELECT kind, task_id, attempt_id, node_id, count(*), CASE kind WHEN 'task.retry' THEN '' ELSE data END"
    " FROM events WHERE kind <> 'node.registered' GROUP BY 1, 2, 3, 4, 6",
)


class Masters:
    """Master A, which can be stopped, master B, and someone who looks."""

    def __init__(self, a: StoppableStore, b: StoppableStore, admin: Any) -> None:
        self.a, self.b, self.admin = a, b, admin
        self.empty = ""

    async def sql(self, text: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.admin.fetch(text)]

    async def begin(self, state: str) -> None:
        """One job in that state, of one node."""
        await self.admin.execute(self.empty)
        self.a.gate, self.b.gate = Gate(), Gate()
        store = self.b
        await store.register(factories.a_node("node", id="node", incarnation="incarnation", ttl_us=60_000_000))
        await store.submit(_a_job("job"))
        if state in ("held", "publishing", "retrying"):
            await _asks(store, "request", "attempt")
            await _beat(store, "")
        if state == "publishing":
            await store.publish(*HELD, [factories.an_output()])
        elif state == "retrying":
            await _fail(store, "")
        elif state == "over":
            await store.cancel("job")
        await self.admin.execute("UPDATE leases SET expires_at = expires_at - 3600000000")
        self.b.gate = Gate()

    async def state(self) -> list[list[tuple[Any, ...]]]:
        await check(self.b, self.sql)
        return [sorted(await self.sql(text), key=repr) for text in _STATE]

    async def serially(self, start: str, *order: tuple[str, str]) -> tuple[dict[str, Any], Any]:
        """(who, operation) one after the other: their answers, and what is stored then."""
        await self.begin(start)
        answers = {}
        for who, name in order:
            answers[who] = await _answer(OPERATIONS[name][0](self.a if who == "a" else self.b, who))
        return answers, await self.state()

    async def done_or_blocked(self, task: asyncio.Task[Any], pid: int) -> bool:
        """Whether the operation is done; if not, the server says that it waits for a lock of another."""
        while not task.done():
            if await self.admin.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", pid):
                return False
        return True


@pytest.fixture
async def masters(database: str) -> AsyncIterator[Masters]:
    stores = [StoppableStore(database, rng=NoWait(seed)) for seed in range(2)]
    for store in stores:
        await store.open()
    admin = await asyncpg.connect(database)
    made = Masters(stores[0], stores[1], admin)
    tables = await made.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    kept = ("classes", "schema_version")
    made.empty = ";".join(f"DELETE FROM {name}" for (name,) in tables if name not in kept)
    yield made
    for store in stores:
        await store.close()
    await admin.close()


def _starts(a: str, b: str) -> list[str]:
    """States in which both do something; where there is none, those in which one does."""
    first, second = OPERATIONS[a][1], OPERATIONS[b][1]
    return [state for state in first if state in second] or [first[0], second[0]]


def _sampled(count: int, seed: int) -> Iterator[int]:
    return iter(range(seed % SAMPLE, count, SAMPLE))


async def _meet(masters: Masters, start: str, a: str, b: str, at: int) -> tuple[dict[str, Any], Any]:
    """A stopped before its statement `at`, B until it is done or waits for A, then both to their ends."""
    await masters.begin(start)
    gate = masters.a.gate = Gate(at)
    first = asyncio.create_task(_answer(OPERATIONS[a][0](masters.a, "a")))
    stopped = asyncio.create_task(gate.reached.wait())
    await asyncio.wait({first, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    second = asyncio.create_task(_answer(OPERATIONS[b][0](masters.b, "b")))
    await masters.done_or_blocked(second, masters.b.pid)
    gate.opened.set()
    async with asyncio.timeout(30):
        answers = {"a": await first, "b": await second}
    for who, name in (("a", a), ("b", b)):
        if name in PATIENT and answers[who] == PATIENT[name]:
            answers[who] = await _answer(OPERATIONS[name][0](masters.a if who == "a" else masters.b, who))
    return answers, await masters.state()


async def _compare(masters: Masters, a: str, b: str) -> None:
    """Every cell of a pair, or every so many."""
    names = list(OPERATIONS)
    for start in _starts(a, b):
        orders = [
            await masters.serially(start, ("b", b), ("a", a)),
            await masters.serially(start, ("a", a), ("b", b)),
        ]
        # of the run in which A was first
        run = masters.a.gate.statements
        assert run[0] == "BEGIN"
        assert run[-1] == "COMMIT"
        for at in _sampled(len(run), names.index(a) + names.index(b)):
            outcome = await _meet(masters, start, a, b, at)
            assert outcome in orders, f"{a} stopped before statement {at} ({run[at]}), {b}, from {start}"


@pytest.mark.parametrize("a", OPERATIONS)
async def test_two_masters_are_as_one_after_the_other(masters: Masters, a: str) -> None:
    names = list(OPERATIONS)
    for b in names:
        if ALL or (names.index(a) + names.index(b)) % 3 == 0:
            await _compare(masters, a, b)


async def test_a_job_that_is_not_held_is_found(masters: Masters, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds nothing proves nothing: without the lock on the job's row, two reports meet."""
    loaded: Any = statements.load(Dialect.POSTGRES)
    held = loaded["jobs_by_seq"]
    assert "FOR UPDATE" in held.text
    monkeypatch.setitem(loaded, "jobs_by_seq", msgspec.structs.replace(held, text=held.text.replace("FOR UPDATE", "")))
    with pytest.raises((AssertionError, unit.GuardFailed)):
        await _compare(masters, "complete", "cancel")


async def _gone(masters: Masters, pid: int) -> None:
    await masters.admin.execute("SELECT pg_terminate_backend($1, 10000)", pid)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_connection_lost_at_any_statement_leaves_a_call_that_can_be_repeated(
    masters: Masters, name: str
) -> None:
    do, starts = OPERATIONS[name]
    for start in starts if ALL else starts[:1]:
        await masters.begin(start)
        repeated = [await _answer(do(masters.a, "a")) for _ in range(2)]
        twice = await masters.state()
        # second, for the first run has learnt the ids of the classes
        once = await masters.serially(start, ("a", name))
        count = len(masters.a.gate.statements)
        # the last is no statement: COMMIT is done and its answer does not arrive
        for at in itertools.chain(_sampled(count, len(name)), [count - 1, count]):
            await masters.begin(start)
            gate = masters.a.gate = Gate(at if at < count else None, lose_commit=at == count)
            call = asyncio.create_task(_answer(do(masters.a, "a")))
            if at < count:
                await gate.reached.wait()
                await _gone(masters, masters.a.pid)
                gate.opened.set()
            async with asyncio.timeout(30):
                answer = await call
            lost = answer[0] == "Unavailable" if isinstance(answer, tuple) else False
            assert lost or at < count - 1, "nobody can know what became of a commit whose answer was lost"
            if lost:
                answer = await _answer(do(masters.a, "a"))
            assert answer in repeated, (start, at)
            assert await masters.state() in (once[1], twice), (start, at)
