"""How a fault is put on, and what says that it is there."""

import contextlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from ffrtmp.store import statements
from ffrtmp.store.ops import batch
from ffrtmp.store.statements import Dialect

Apply = Callable[[contextlib.ExitStack], None]
Run = Callable[[Any, Sequence[Any]], Awaitable[Sequence[Any]]]


class Simulated(msgspec.Struct, frozen=True):
    """Found by an invariant of the simulator. `seed`: one that is known to show it, tried first; a stale one costs time only."""

    invariant: str
    seed: int = 0
    jobs: int = 30
    faults: tuple[str, ...] | None = (
        None  #: of the kinds that a run may have, those in which it shows best. None: as the seed has it
    )


class Tested(msgspec.Struct, frozen=True):
    """Found by a test, named as pytest does: it fails with the fault and passes without."""

    test: str


class Mutant(msgspec.Struct, frozen=True):
    breaks: str
    found_by: Simulated | Tested
    apply: Apply


def put(stack: contextlib.ExitStack, on: Any, name: str, value: Any) -> None:
    """`value` as `on.name`, until the stack is closed."""
    stack.callback(setattr, on, name, getattr(on, name))
    setattr(on, name, value)


def replace(on: Any, name: str, make: Callable[[Any], Any]) -> Apply:
    """`make` gets what is there and gives what takes its place."""
    return lambda stack: put(stack, on, name, make(getattr(on, name)))


def both(*applied: Apply) -> Apply:
    def apply(stack: contextlib.ExitStack) -> None:
        for one in applied:
            one(stack)

    return apply


def call(kind: type, make: Callable[[Run], Run]) -> Apply:
    """In place of how a batch of calls of this kind is run."""

    def apply(stack: contextlib.ExitStack) -> None:
        before = batch.KINDS[kind]
        stack.callback(batch.KINDS.__setitem__, kind, before)
        batch.KINDS[kind] = msgspec.structs.replace(before, run=make(before.run))

    return apply


def sql(name: str, old: str, new: str, dialects: Sequence[Dialect] = tuple(Dialect)) -> Apply:
    """In the statement of that name `old`, a regular expression, becomes `new`."""

    def apply(stack: contextlib.ExitStack) -> None:
        for dialect in dialects:
            loaded: Any = statements.load(dialect)
            before = loaded[name]
            text, count = re.subn(old, new, before.text)
            if not count:
                raise ValueError(f"{old!r} is not in {name} for {dialect.value}: {before.text}")
            loaded[name] = msgspec.structs.replace(before, text=text)
            stack.callback(loaded.__setitem__, name, before)

    return apply


def returns(value: Callable[[], Any]) -> Callable[[Any], Any]:
    """In place of a coroutine function: one that does nothing and returns `value()`."""

    def make(_: Any) -> Any:
        async def nothing(*_: Any, **__: Any) -> Any:
            return value()

        return nothing

    return make
