"""Errors cross process boundaries whole."""

import pickle

import pytest

from ffrtmp.domain import errors

SAMPLES = [
    errors.FfrtmpError("m", code="c"),
    errors.InvalidInput(faults=[errors.Fault("a.b", "is wrong", "bad"), errors.Fault("c", "is missing")]),
    errors.InvalidInput("said", code="empty_body"),
    errors.NotFound(),
    errors.Conflict("m", state="running"),
    errors.IdempotencyMismatch(),
    errors.Unavailable("m", retry_after_seconds=3.0),
    errors.TaskError(errors.Code.STALLED, "m", retriable=False),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error: errors.FfrtmpError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (again.message, again.code, again.__dict__) == (error.message, error.code, error.__dict__)
