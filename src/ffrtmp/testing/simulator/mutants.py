"""Deliberate faults in the protocol. Each must be found by an invariant: what finds nothing proves nothing.

They are put on from outside, for one run in this process: the product has no switch for them.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ffrtmp.agent import session
from ffrtmp.domain import retry
from ffrtmp.master.loops import sweeps
from ffrtmp.store import statements
from ffrtmp.store.ops import rows, submit, unit
from ffrtmp.store.statements import Dialect

Apply = Callable[[contextlib.ExitStack], None]


class Mutant(msgspec.Struct, frozen=True):
    says: str
    apply: Apply


def _put(stack: contextlib.ExitStack, on: Any, name: str, value: Any) -> None:
    stack.callback(setattr, on, name, getattr(on, name))
    setattr(on, name, value)


def _replace(on: Any, name: str, make: Callable[[Any], Any]) -> Apply:
    """`make` gets what is there and gives what takes its place."""
    return lambda stack: _put(stack, on, name, make(getattr(on, name)))


def _sql(name: str, old: str, new: str) -> Apply:
    def apply(stack: contextlib.ExitStack) -> None:
        loaded: Any = statements.load(Dialect.SQLITE)
        before = loaded[name]
        if old not in before.text:
            raise ValueError(f"{old!r} is not in {name}: {before.text}")
        loaded[name] = msgspec.structs.replace(before, text=before.text.replace(old, new))
        stack.callback(loaded.__setitem__, name, before)

    return apply


def _no_fence(_: Any) -> Any:
    return lambda _, renewed_at: renewed_at + 1e9


def _async_nothing(_: Any) -> Any:
    async def nothing(*_: Any) -> Any:
        return {}

    return nothing


def _retries_for_ever(was: Any) -> Any:
    def decide(failure: Any, **options: Any) -> Any:
        return was(failure, **{**options, "max_retries": 10**6, "crashes": 0})

    return decide


def _half_counted(was: Any) -> Any:
    def count_job(self: unit.Unit, of: rows.Job, state: Any, by: int) -> None:
        if by > 0:
            was(self, of, state, by)

    return count_job


def _answers_without_commit(stack: contextlib.ExitStack) -> None:
    """One in ten batches loses its last job."""
    from ffrtmp.store.sqlite_process import Transactions

    was = Transactions._transaction
    turn = iter(range(10**9))

    def transaction(self: Transactions, asked: Any) -> Any:
        answers = was(self, asked)
        if next(turn) % 10 == 9 and any(type(call).__name__ == "Submit" for call in asked):
            self._connection.execute("DELETE FROM jobs WHERE seq = (SELECT max(seq) FROM jobs)")
        return answers

    _put(stack, Transactions, "_transaction", transaction)


def _no_place(stack: contextlib.ExitStack) -> None:
    was = rows.placement

    def placement(task: rows.Task, *, held: bool) -> Any:
        if task.placed is None and task.updated_at == 0 and task.attempts == 0 and task.was is task.state:
            return None
        return was(task, held=held)

    _put(stack, rows, "placement", placement)


#: name → fault. `tests/simulator` runs each on the first seeds until one finds it.
MUTANTS: dict[str, Mutant] = {
    "no-fence": Mutant("an agent never fences itself", _replace(session.Session, "_fence", _no_fence)),
    "no-renewal": Mutant(
        "beats renew nothing", _sql("lease_renew", "expires_at = ?3", "expires_at = expires_at + 0 * ?3")
    ),
    "retries-for-ever": Mutant("no limit of tries", _replace(retry, "decide", _retries_for_ever)),
    "rescue-never": Mutant("leases that ended are not looked for", _replace(sweeps, "rescue", _async_nothing)),
    "promote-never": Mutant("retries never come back", _replace(sweeps, "_promote", _async_nothing)),
    "lease-leaves-ready": Mutant(
        "a lease leaves the task in line",
        _sql("ready_delete", "DELETE FROM ready WHERE", "UPDATE ready SET ready_at = ready_at WHERE"),
    ),
    "keys-forgotten": Mutant("idempotency keys are not looked up", _replace(submit, "_known_keys", _async_nothing)),
    "counters-half": Mutant("what leaves a state is not counted", _replace(unit.Unit, "count_job", _half_counted)),
    "answers-without-commit": Mutant("some submissions are answered and not kept", _answers_without_commit),
    "no-place": Mutant("a queued task gets no place in line", _no_place),
}


@contextlib.contextmanager
def applied(name: str) -> Iterator[None]:
    """ "" changes nothing."""
    with contextlib.ExitStack() as stack:
        if name:
            MUTANTS[name].apply(stack)
        yield
