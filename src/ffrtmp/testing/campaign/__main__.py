"""Run real masters, agents and users under faults, and check from outside what must hold.

Ctrl-C ends all processes; nothing is checked then.

examples:
  python -m ffrtmp.testing.campaign --db sqlite --jobs 500 --faults 20
  python -m ffrtmp.testing.campaign --db postgres --jobs 10000 --faults 200 --seed 7 --report
  python -m ffrtmp.testing.campaign --db postgres --jobs 200 --faults 10 --only postgres_stop,agent_kill
  python -m ffrtmp.testing.campaign --jobs 150 --faults 6 --only agent_kill,master_kill --mutant keys-forgotten
"""

import argparse
import asyncio
import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ffrtmp.testing import programs, report
from ffrtmp.testing.campaign import invariants, world
from ffrtmp.testing.campaign.faults import Faults
from ffrtmp.testing.campaign.plan import Plan
from ffrtmp.testing.campaign.report import section
from ffrtmp.testing.deployment import DATABASES, LAUNCHER, Layout
from ffrtmp.testing.mutants import VARIABLE
from ffrtmp.testing.mutants.catalog import MUTANTS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ffrtmp.testing.campaign",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--db", choices=DATABASES, default="sqlite", help="(default: sqlite)")
    parser.add_argument("--jobs", type=_positive, default=500, help="(default: 500)")
    parser.add_argument("--faults", type=_positive, default=20, help="(default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="what people do and what is hurt (default: 1)")
    parser.add_argument("--masters", type=_positive, help="(default: 3 on postgres, 1 on sqlite)")
    parser.add_argument("--agents", type=_positive, help="(default: 20 on postgres, 6 on sqlite)")
    parser.add_argument("--slots", type=_positive, default=1, help="of each agent (default: 1)")
    parser.add_argument("--lease", type=float, default=5.0, help="lease time in seconds, at least 3 (default: 5)")
    parser.add_argument("--only", default="", help="only these kinds of faults, with commas between them")
    parser.add_argument(
        "--mutant", choices=sorted(MUTANTS), help="with a deliberate fault, which the invariants are to find"
    )
    parser.add_argument("--report", action="store_true", help=f"write the section of {report.REPORT}")
    parser.add_argument("--keep", action="store_true", help="keep the files of a run in which nothing was wrong too")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of 1 or more")
    return int(text)


def plan(arguments: Sequence[str] | None = None) -> tuple[Plan, argparse.Namespace]:
    parser = _parser()
    asked = parser.parse_args(arguments)
    postgres = asked.db == "postgres"
    layout = Layout(
        database=asked.db,
        masters=asked.masters or (3 if postgres else 1),
        agents=asked.agents or (20 if postgres else 6),
        slots=asked.slots,
        lease_seconds=asked.lease,
        stop_grace_seconds=3.0,
        launcher=LAUNCHER if asked.mutant else (),
        env={VARIABLE: asked.mutant} if asked.mutant else {},
    )
    kinds = tuple(filter(None, asked.only.split(",")))
    known = {name[1:] for name, value in vars(Faults).items() if inspect.iscoroutinefunction(value)}
    try:
        layout.check()
        for name in kinds:
            if name not in known:
                raise ValueError(f"--only {name} is not a kind of fault; choose from {', '.join(sorted(known))}")
    except ValueError as error:
        parser.error(str(error))
    return Plan(seed=asked.seed, jobs=asked.jobs, faults=asked.faults, layout=layout, kinds=kinds), asked


def main() -> int:
    chosen, asked = plan()
    root = Path(tempfile.mkdtemp(prefix="ffrtmp-campaign-"))
    root.chmod(0o755)
    commit = report.commit()
    try:
        outcome = asyncio.run(programs.until_sigterm(world.run(chosen, root, _progress)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(root, ignore_errors=True)
        print("\ninterrupted: all processes have ended, nothing was checked", file=sys.stderr)
        return 130
    _progress("")
    outcome.verdicts.append(invariants.recovers_in_time(outcome.history, chosen.layout.lease_seconds))
    command = " ".join(["python -m ffrtmp.testing.campaign", *sys.argv[1:]])
    text = section(outcome, command, commit)
    print(text)
    if asked.report:
        report.put(report.REPORT, f"campaign {chosen.layout.database}", text)
    for what in outcome.broken[:50]:
        print(what)
    if outcome.broken or asked.keep:
        print(f"the history, logs and files of the run: {root}")
    else:
        shutil.rmtree(root, ignore_errors=True)
    print(f"{len(outcome.broken)} violations")
    return 1 if outcome.broken else 0


def _progress(line: str) -> None:
    if os.isatty(2):
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    elif line:
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
