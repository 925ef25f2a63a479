"""python -m ffrtmp.testing.simulator [--seeds A-B] [--jobs N] [--trace]: run farms under faults and check what must hold.

A seed that fails is shrunk: the fewest kinds of faults and jobs with which it still fails, and the command that repeats it.
"""

import argparse
import concurrent.futures
import logging
import os
import sys
import time

import structlog

from ffrtmp.testing.simulator import loop, mutants, plan
from ffrtmp.testing.simulator.invariants import broken
from ffrtmp.testing.simulator.world import World


class Outcome:
    def __init__(self, world: World, violations: list[str]) -> None:
        self.violations = violations
        self.lines = world.history.lines
        self.faults = world.history.faults
        self.attempts = len(world.history.runs)
        self.published = len(world.history.published)


def simulate(chosen: plan.Plan) -> Outcome:
    """One run. What is wrong with it is in the outcome."""
    with mutants.applied(chosen.mutant):
        return _simulate(chosen)


def _simulate(chosen: plan.Plan) -> Outcome:

    async def play() -> Outcome:
        world = World(chosen)
        try:
            await world.run()
        except Exception as error:  # noqa: BLE001 - whatever ends a run is what is wrong with it
            return Outcome(world, [f"{type(error).__name__}: {error}"])
        try:
            return Outcome(world, broken(world))
        finally:
            world.database.close()

    return loop.run(play)


def quiet() -> None:
    """The programs' own logs would be longer than the runs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _one(seed: int, jobs: int, mutant: str = "") -> tuple[int, list[str], int, int]:
    quiet()
    outcome = simulate(plan.from_seed(seed, jobs=jobs, mutant=mutant))
    return seed, outcome.violations, outcome.faults, outcome.attempts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ffrtmp.testing.simulator", description=__doc__)
    parser.add_argument("--seeds", default="0-99", help="first-last (default: 0-99)")
    parser.add_argument("--jobs", type=int, default=60, help="jobs in each run (default: 60)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trace", action="store_true", help="run one seed here and print what happened")
    asked = parser.parse_args()
    first, _, last = asked.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if asked.trace:
        quiet()
        outcome = simulate(plan.from_seed(seeds[0], jobs=asked.jobs))
        print("\n".join([*outcome.lines, *outcome.violations]))
        return 1 if outcome.violations else 0
    began, failed, faults, attempts = time.monotonic(), [], 0, 0
    with concurrent.futures.ProcessPoolExecutor(asked.processes) as pool:
        for seed, violations, hurt, tried in pool.map(_one, seeds, [asked.jobs] * len(seeds), chunksize=4):
            faults, attempts = faults + hurt, attempts + tried
            if violations:
                failed.append(seed)
                print(f"seed {seed}: {violations[0]} ({len(violations)} in all)", flush=True)
    print(
        f"{len(seeds)} seeds, {len(seeds) * asked.jobs} jobs, {attempts} attempts, {faults} faults, "
        f"{len(failed)} seeds failed, {time.monotonic() - began:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
