"""Put thousands of simulated agents on one real master, and look whether all work is done and heartbeats are answered in time.

The master and its database are real processes; the agents speak the real protocol over real sockets, and only pretend to encode.
Ctrl-C ends everything; nothing is checked then.

examples:
  python -m ffrtmp.testing.fleet --agents 500 --minutes 1
  python -m ffrtmp.testing.fleet --agents 5000 --minutes 10 --report
  python -m ffrtmp.testing.fleet --agents 5000 --minutes 10 --db postgres --report
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from ffrtmp.telemetry import logs
from ffrtmp.testing import programs, report
from ffrtmp.testing.deployment import DATABASES
from ffrtmp.testing.fleet import plan as plans
from ffrtmp.testing.fleet import run
from ffrtmp.testing.fleet.report import checks, section


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ffrtmp.testing.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = plans.Plan()
    parser.add_argument("--agents", type=_positive, default=usual.agents, help=f"(default: {usual.agents})")
    parser.add_argument("--minutes", type=_minutes, default=10.0, help="of steady load (default: 10)")
    parser.add_argument("--db", choices=DATABASES, default="sqlite", help="(default: sqlite)")
    parser.add_argument(
        "--jobs-per-second", type=_minutes, help="that are submitted (default: one for each hundred agents)"
    )
    parser.add_argument(
        "--agents-per-second",
        type=_minutes,
        default=usual.agents_per_second,
        help=f"that start and register, at first (default: {usual.agents_per_second:g})",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the agents' jitter (default: 1)")
    parser.add_argument("--report", action="store_true", help=f"write the section of {report.REPORT}")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of 1 or more")
    return int(text)


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0")
    return value


def plan(arguments: Sequence[str] | None = None) -> tuple[plans.Plan, argparse.Namespace]:
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        plans.raise_file_limit(asked.agents)
    except ValueError as error:
        parser.error(str(error))
    chosen = plans.Plan(
        agents=asked.agents,
        seconds=asked.minutes * 60,
        database=asked.db,
        jobs_per_second=asked.jobs_per_second or max(1.0, asked.agents / 100),
        agents_per_second=asked.agents_per_second,
        seed=asked.seed,
    )
    return chosen, asked


def main() -> int:
    chosen, asked = plan()
    logs.configure("error", "text")  # of five thousand agents: what they warn of is counted
    root = Path(tempfile.mkdtemp(prefix="ffrtmp-fleet-"))
    begun_at = report.commit()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcome = runner.run(programs.until_sigterm(run.run(chosen, root, _progress)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted: all processes have ended, nothing was checked", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(root, ignore_errors=True)
    text = section(outcome, " ".join(["python -m ffrtmp.testing.fleet", *sys.argv[1:]]), begun_at)
    print(text)
    if asked.report:
        report.put(report.REPORT, f"fleet {chosen.database}", text)
    broken = [one for one in checks(outcome) if not one.holds]
    for one in broken:
        print(f"does not hold: {one.says}; found {one.found}")
    return 1 if broken else 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
