"""Open long-polls, and which of them to wake for a class: found without looking at all of them, of which there are thousands."""

import asyncio

import msgspec


class Wants(msgspec.Struct, frozen=True, kw_only=True):
    """A long-poll as the dispatcher sees it."""

    node_id: str
    free_slots: int
    deadline: float  #: monotonic


class Waiter:
    def __init__(self, wants: Wants, class_ids: tuple[int, ...]) -> None:
        self.wants = wants
        self.class_ids = class_ids
        self.woken: asyncio.Event = asyncio.Event()
        self.for_classes: set[int] = set()


class Idle:
    """Those that have a free slot and were not woken, by the classes that they satisfy and their slots: nodes are of few kinds.
    In each group the one that has waited longest comes first."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, ...], dict[int, dict[Waiter, None]]] = {}

    def add(self, waiter: Waiter) -> None:
        if waiter.wants.free_slots > 0:
            group = self._groups.setdefault(waiter.class_ids, {})
            group.setdefault(waiter.wants.free_slots, {})[waiter] = None

    def discard(self, waiter: Waiter) -> None:
        """It may not be there."""
        group = self._groups.get(waiter.class_ids, {})
        row = group.get(waiter.wants.free_slots, {})
        if waiter in row:
            del row[waiter]
            if not row:
                del group[waiter.wants.free_slots]
            if not group:
                del self._groups[waiter.class_ids]

    def best(self, class_id: int) -> Waiter | None:
        """Of those that satisfy the class: of the node that satisfies the fewest; then the one with the most free slots."""
        able = [
            (len(class_ids), -max(group), group) for class_ids, group in self._groups.items() if class_id in class_ids
        ]
        if not able:
            return None
        _, slots, group = min(able, key=lambda one: one[:2])
        return next(iter(group[-slots]))
