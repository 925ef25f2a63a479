import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.domain import errors, retry
from ffrtmp.domain.errors import ADVICE, Code, Failure, FailureClass


def _decide(code: Code, *, failures: int = 1, crashes: int = 0, max_retries: int = 3, retriable: bool | None = None):
    failure = Failure(code=code, message="it failed", retriable=retriable)
    return retry.decide(failure, failures=failures, crashes=crashes, max_retries=max_retries, rng=random.Random(1))


def test_every_code_has_a_class_and_says_what_to_do() -> None:
    assert set(ADVICE) == set(Code)
    assert all(advice.endswith(".") for _, advice in ADVICE.values())


@pytest.mark.parametrize("code", [code for code in Code if ADVICE[code][0] is FailureClass.PERMANENT])
def test_a_permanent_failure_is_never_tried_again(code: Code) -> None:
    assert not _decide(code).retry


def test_a_transient_failure_is_tried_again_as_often_as_allowed() -> None:
    assert _decide(Code.STALLED, failures=3, max_retries=3).retry
    assert not _decide(Code.STALLED, failures=4, max_retries=3).retry
    assert not _decide(Code.STALLED, failures=1, max_retries=0).retry


def test_the_reporter_may_know_better_than_the_class() -> None:
    assert _decide(Code.ENGINE_FAILED, retriable=True).retry
    assert not _decide(Code.STALLED, retriable=False).retry


def test_the_third_crash_is_poison_whatever_is_left_of_the_retries() -> None:
    decision = _decide(Code.LEASE_EXPIRED, failures=0, crashes=3, max_retries=100)
    assert decision.poison
    assert not decision.retry


@given(tries=st.integers(1, 60), seed=st.integers())
def test_the_back_off_is_jittered_between_zero_and_a_growing_bound(tries: int, seed: int) -> None:
    failure = Failure(code=Code.STALLED, message="")
    decision = retry.decide(failure, failures=tries, crashes=0, max_retries=100, rng=random.Random(seed))
    assert 0 <= decision.delay_us <= min(300.0, 2.0 * 2 ** (tries - 1)) * 1_000_000


def test_errors_say_what_to_do_by_default() -> None:
    assert str(errors.NotFound()) == "There is no such thing here."
    fault = errors.Fault("a.b", "is wrong", "some_code")
    error = errors.InvalidInput(faults=[fault])
    assert (str(error), error.code) == ("a.b: is wrong", "some_code")
