"""Who goes first: one static key per task, its ready time minus the head start of its rank.

A static key makes ageing cost nothing: a ready row never changes, and a low rank is overtaken only by higher ranks that became
ready less than the difference of their head starts later. That difference is the bound of G8; the queue `live` is outside it
(live work stays strictly first).
"""

from ffrtmp.domain.spec import Priority, Queue

_MINUTE_US = 60 * 1_000_000
#: more than any job can have waited: strictly first
_LIVE_US = 50 * 365 * 24 * 60 * _MINUTE_US
#: the queue weighs more than any priority inside it
_QUEUE_US = {Queue.LIVE: _LIVE_US, Queue.DEFAULT: 120 * _MINUTE_US, Queue.BATCH: 0}
_PRIORITY_US = {Priority.HIGH: 60 * _MINUTE_US, Priority.MEDIUM: 30 * _MINUTE_US, Priority.LOW: 0}

#: G8: a ready task is overtaken only by work that became ready at most this much later (live apart)
STARVATION_BOUND_US = _QUEUE_US[Queue.DEFAULT] + _PRIORITY_US[Priority.HIGH]


def head_start_us(queue: Queue, priority: Priority) -> int:
    """µs by which work of this rank goes before batch/low work that became ready at the same moment."""
    return _QUEUE_US[queue] + _PRIORITY_US[priority]
