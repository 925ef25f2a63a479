"""Group commit, what both databases share: calls that wait together become one transaction."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from ffrtmp.store.ops import batch as batches

#: calls in one transaction at most; measured: more gains nothing and delays the first of them
BATCH = 256


class Pending(msgspec.Struct, eq=False):
    """Who waits for the future keeps neither in a variable: an error leads by its traceback to who waits, and must not lead back to
    itself."""

    call: Any
    future: asyncio.Future[Any]


def is_bulk(pending: Pending) -> bool:
    return batches.KINDS[type(pending.call)].bulk


def wanted(batch: Sequence[Pending]) -> list[Pending]:
    """Without those whose callers went away before anything was begun."""
    return [pending for pending in batch if not pending.future.cancelled()]


def take(waiting: deque[Pending]) -> list[Pending]:
    return [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]


def deliver(batch: Sequence[Pending], answers: Sequence[Any]) -> None:
    """In the callers' loop, once for the whole batch."""
    for pending, answer in zip(batch, answers, strict=True):
        if pending.future.done():
            continue
        if isinstance(answer, Exception):
            pending.future.set_exception(answer)
        else:
            pending.future.set_result(answer)
