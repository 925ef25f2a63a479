"""One model, both databases: whatever is done in whatever order, the store answers and looks as the documents say.

`make model EXAMPLES=1000` runs more of it, with seeds of its own; what fails is printed as the steps that repeat it.
"""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from ffrtmp.testing.model.benches import Bench, Postgres, Sqlite
from ffrtmp.testing.model.machine import Machine
from ffrtmp.testing.mutants import catalog

STEPS = 50
ASKED = int(os.environ.get("MODEL_EXAMPLES", "0"))
#: The same runs each time, or as many new ones as were asked for. (Hypothesis also draws from the constants of the modules that are
#: loaded, so that other tests in the process change the runs: what fails is printed with what repeats it.)
_SETTINGS = settings(
    deadline=None,
    stateful_step_count=STEPS,
    suppress_health_check=list(HealthCheck),
    derandomize=not ASKED,
    database=None,
    print_blob=True,
)


@contextlib.contextmanager
def _open(bench: Bench) -> Iterator[Bench]:
    try:
        yield bench
    finally:
        bench.close()


def _play(bench: Bench, examples: int, **more: Any) -> None:
    run_state_machine_as_test(
        functools.partial(Machine, bench), settings=settings(_SETTINGS, max_examples=examples, **more)
    )


@pytest.mark.timeout(7200 if ASKED else 180)
def test_sqlite_is_as_the_model_says() -> None:
    with _open(Sqlite()) as bench:
        _play(bench, ASKED or 200)


@pytest.mark.postgres
@pytest.mark.timeout(7200 if ASKED else 180)
def test_postgresql_is_as_the_model_says(database: str) -> None:
    with _open(Postgres(database)) as bench:
        _play(bench, ASKED or 12)


def _finds_nothing() -> None:
    with _open(Sqlite()) as bench:
        _play(bench, 300, phases=[Phase.generate])


@pytest.mark.parametrize(
    "name",
    [
        *("no-renewal", "retries-for-ever", "lease-leaves-ready", "keys-forgotten", "counters-half", "no-place"),
        *("place-lost", "paused-in-line", "ready-untold", "cancel-publishing"),
    ],
)
def test_a_fault_is_found(name: str) -> None:
    with catalog.applied(name), pytest.raises((AssertionError, ExceptionGroup)):
        _finds_nothing()
