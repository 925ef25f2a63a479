"""Run farms under faults in simulated time, each from a seed, and check what must hold.

Of the first seed that fails the smallest run is looked for that fails in the same way: the fewest kinds of faults, jobs and
machines, then the fewest faults; the command that repeats it is printed. The exit status is 1 when a seed failed.

examples:
  python -m ffrtmp.testing.simulator --seeds 0-2999
  python -m ffrtmp.testing.simulator --seeds 17 --trace
  python -m ffrtmp.testing.simulator --seeds 0-19 --jobs 200 --faults kill_agent,drop
  python -m ffrtmp.testing.simulator --seeds 0-19 --mutant no-fence
"""

import argparse
import itertools
import os
import sys
import time
from collections.abc import Sequence

from ffrtmp.testing import report, workers
from ffrtmp.testing.simulator import options, run, shrink
from ffrtmp.testing.simulator.plan import Plan
from ffrtmp.testing.simulator.section import section


def _one(plan: Plan) -> tuple[list[str], int, int]:
    outcome = run.simulate(plan)
    return outcome.violations, outcome.faults, outcome.attempts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ffrtmp.testing.simulator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=options.seeds, default=range(100), help="FIRST-LAST, or one (default: 0-99)")
    parser.add_argument(
        "--processes", type=options.count, default=os.cpu_count() or 1, help="(default: one for each core)"
    )
    parser.add_argument("--trace", action="store_true", help="run the first seed here and print all that happened")
    parser.add_argument(
        "--shrink", type=int, default=300, metavar="RUNS", help="at most so many; 0: not (default: 300)"
    )
    parser.add_argument("--report", action="store_true", help=f"write a line of {report.REPORT}")
    options.add(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    run.quiet()
    try:
        return _run(asked)
    except KeyboardInterrupt:
        print("interrupted: all processes have ended; what was under way was not judged", file=sys.stderr)
        return 130


def _run(asked: argparse.Namespace) -> int:
    if asked.trace:
        outcome = run.simulate(options.chosen(asked, asked.seeds[0]), tell=True)
        print("\n".join(outcome.told))
        return 1 if outcome.violations else 0
    commit, began, faults, attempts = report.commit(), time.monotonic(), 0, 0
    failed: list[tuple[Plan, str]] = []
    plans = [options.chosen(asked, seed) for seed in asked.seeds]
    with workers.pool(asked.processes, run.quiet) as pool:
        for plan, (violations, hurt, tried) in zip(plans, pool.map(_one, plans, chunksize=4), strict=True):
            faults, attempts = faults + hurt, attempts + tried
            if violations:
                failed.append((plan, violations[0]))
                print(f"seed {plan.seed}: {violations[0]} ({len(violations)} in all)", flush=True)
    print(
        f"{len(plans)} seeds, {len(plans) * asked.jobs} jobs, {attempts} attempts, {faults} faults, "
        f"{len(failed)} seeds failed, {time.monotonic() - began:.0f} s"
    )
    if asked.report:
        told = [f"{len(plans) * asked.jobs:,}", f"{attempts:,}", f"{faults:,}", f"{len(failed):,}", commit]
        report.put(report.REPORT, "simulator", section(asked.seeds, told))
    for plan, violation in itertools.islice(failed, 1 if asked.shrink else 0):
        print(_smallest(plan, violation, asked.shrink))
    return 1 if failed else 0


def _smallest(plan: Plan, violation: str, most_runs: int) -> str:
    """What is left of it, and how to see it."""
    small = shrink.shrink(plan, violation, most_runs=most_runs)
    of = small.plan
    return "\n".join(
        [
            f"seed {plan.seed} made smaller in {small.runs} runs: jobs {of.jobs}, masters {of.masters}, agents {of.agents},"
            f" slots {of.slots}, kinds of faults: {', '.join(sorted(of.faults)) or 'none'}, faults that strike: {small.strikes}",
            small.violation,
            f"repeat it: {' '.join(['python -m ffrtmp.testing.simulator', *options.arguments(of)])} --trace",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
