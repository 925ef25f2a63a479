"""One run of a plan, from its first job to its verdict."""

import contextlib
import gc
import logging
from collections.abc import Iterator

import structlog

from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.scheduling import order
from ffrtmp.testing.mutants import catalog
from ffrtmp.testing.simulator import loop, trace
from ffrtmp.testing.simulator.invariants import broken
from ffrtmp.testing.simulator.plan import Plan
from ffrtmp.testing.simulator.scene import SECONDS_TO_A_MINUTE
from ffrtmp.testing.simulator.world import World


class Outcome:
    def __init__(self, world: World, violations: list[str], told: list[str]) -> None:
        self.violations = violations  #: "invariant: what broke it"
        self.notes = world.history.notes
        self.told = told  #: the whole story and what is wrong, when it was asked for
        self.faults = world.history.faults
        self.strikes = world.strikes_made
        self.attempts = len(world.history.runs)
        self.published = len(world.history.published)


def simulate(plan: Plan, *, tell: bool = False) -> Outcome:
    """One run. What is wrong with it is in the outcome, and with `tell` all that happened."""

    async def play() -> Outcome:
        world = World(plan)
        # what is left of the run ends first: it may be about to commit
        at_the_end.callback(world.database.close)
        violations = await _verdict(world)
        return Outcome(world, violations, trace.lines(world, violations) if tell else [])

    with (
        contextlib.ExitStack() as at_the_end,
        _shorter_minutes(),
        catalog.applied(plan.mutant),
        _collected_at_the_end(),
    ):
        return loop.run(play)


async def _verdict(world: World) -> list[str]:
    try:
        await world.run()
    except AssertionError as error:
        return [*broken(world, at_rest=False), f"everything_ends: {error}"]
    except Exception as error:  # noqa: BLE001 - whatever ends a run is what is wrong with it
        return [f"nothing_breaks: {type(error).__name__}: {error}"]
    return broken(world)


@contextlib.contextmanager
def _shorter_minutes() -> Iterator[None]:
    """Head starts of minutes would hide in runs of minutes that waiting work overtakes a higher rank."""
    was = order.head_start_us

    def head_start_us(queue: Queue, priority: Priority) -> int:
        return int(was(queue, priority) / 60 * SECONDS_TO_A_MINUTE)

    order.head_start_us = head_start_us
    try:
        yield
    finally:
        order.head_start_us = was


@contextlib.contextmanager
def _collected_at_the_end() -> Iterator[None]:
    """A run makes no more garbage than memory holds: looking for it once, among what the run made, saves a twelfth of its time."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        gc.enable()


def quiet() -> None:
    """The programs' own logs would be longer than the runs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
