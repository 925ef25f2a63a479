"""Which ready task goes to which agent that asks."""

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar


class ReadyRow(Protocol):
    @property
    def class_id(self) -> int: ...
    @property
    def sort_key(self) -> int: ...


class Asker(Protocol):
    @property
    def slots(self) -> int: ...
    @property
    def class_ids(self) -> Collection[int]: ...


R = TypeVar("R", bound=ReadyRow)


def choose(ready: Sequence[R], askers: Sequence[Asker]) -> list[list[R]]:
    """For each asker the rows it gets, in order.

    Rows go out by their key. Of the askers that may take a row, the one that satisfies the fewest classes gets it, so that a node
    that can do everything stays free for what only it can do; then the one with the most free slots, so that work spreads.
    """
    given: list[list[R]] = [[] for _ in askers]
    free = [asker.slots for asker in askers]
    fits = [frozenset(asker.class_ids) for asker in askers]
    open_slots = sum(free)
    for row in sorted(ready, key=lambda row: row.sort_key):
        if open_slots == 0:
            break
        able = [i for i in range(len(askers)) if free[i] > 0 and row.class_id in fits[i]]
        if not able:
            continue
        taker = min(able, key=lambda i: (len(fits[i]), -free[i], i))
        given[taker].append(row)
        free[taker] -= 1
        open_slots -= 1
    return given
