"""Whether a failed task gets another attempt, and when: a pure function, so that both stores and the simulator agree."""

import random

import msgspec

from ffrtmp.domain.errors import Failure, FailureClass

#: G7: a task that took its agent or engine down this often fails for good
POISON_CRASHES = 3
#: a task whose agents live, and lost its lease all the same, is not tried for ever: from this attempt on each counts as a crash
EXCUSED_ATTEMPTS = 20
_FIRST_BACKOFF_SECONDS = 2.0
_LONGEST_BACKOFF_SECONDS = 300.0


class Decision(msgspec.Struct, frozen=True):
    """Try again after `delay_us`, or stop: as poison, or with the failure as it is."""

    retry: bool
    delay_us: int = 0
    poison: bool = False


def decide(failure: Failure, *, failures: int, crashes: int, max_retries: int, rng: random.Random) -> Decision:
    """`failures` and `crashes` count this failure too.

    Back-off with full jitter (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015): a uniform draw
    from 0 to min(cap, base · 2^n), so that jobs that failed together do not come back together.
    """
    if crashes >= POISON_CRASHES:
        return Decision(retry=False, poison=True)
    retriable = failure.retriable
    if retriable is None:
        retriable = failure.failure_class is not FailureClass.PERMANENT
    tries = failures + crashes
    if not retriable or tries > max_retries:
        return Decision(retry=False)
    ceiling = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2 ** (tries - 1))
    return Decision(retry=True, delay_us=int(rng.uniform(0, ceiling) * 1_000_000))
