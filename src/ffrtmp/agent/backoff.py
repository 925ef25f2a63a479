"""How long to leave the master alone after a call failed: full jitter (M. Brooker, "Exponential Backoff and Jitter", 2015)."""

import collections
import random

_FIRST_SECONDS = 0.1
_LONGEST_SECONDS = 5.0
_LONGEST_STALE_SECONDS = 60.0
#: the name comes free when another agent is stopped or lost: no master need be asked every second
_LONGEST_TAKEN_SECONDS = 30.0
#: counted as a call of its own
TAKING_THE_NAME = "taking the name"


def worth_a_line(failures: int) -> bool:
    """The first, the eighth, the sixteenth, the thirty-second…: a long absence does not fill the log."""
    return failures == 1 or (failures >= 8 and failures & (failures - 1) == 0)


class Backoff:
    """Counts failures by kind of call. Randomness is handed in."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures: collections.Counter[str] = collections.Counter()

    def fine(self, *calls: str) -> None:
        for call in calls:
            self._failures[call] = 0

    def failures(self, call: str) -> int:
        return self._failures[call]

    def failed(self, call: str, retry_after: float | None, ttl: float) -> float:
        """Seconds to wait; soon enough to try some times before a fence, never under what the master asked."""
        self._failures[call] += 1
        if call == TAKING_THE_NAME:
            return self._draw(1.0, _LONGEST_TAKEN_SECONDS, self._failures[call])
        return self.delay(self._failures[call], retry_after, ttl)

    def delay(self, failures: int, retry_after: float | None, ttl: float) -> float:
        return self._draw(_FIRST_SECONDS, min(_LONGEST_SECONDS, ttl / 6), failures) + (retry_after or 0.0)

    def stale(self) -> float:
        """Two agents of one name would take the node from each other for ever: each time they wait longer."""
        self._failures["stale"] += 1
        return self._draw(1.0, _LONGEST_STALE_SECONDS, self._failures["stale"])

    def _draw(self, first: float, longest: float, failures: int) -> float:
        return self._rng.uniform(0.0, min(longest, first * 2.0 ** min(failures, 16)))
