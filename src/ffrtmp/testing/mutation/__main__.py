"""Try whether each deliberate fault in the protocol (a mutant) is found by the invariant or the test that is there for it.

An invariant of the simulator is tried with one seed after another, from 0. A test runs in a process of its own, with the mutant and
without. The exit status is 1 when a mutant survives.

examples:
  python -m ffrtmp.testing.mutation
  python -m ffrtmp.testing.mutation --list
  python -m ffrtmp.testing.mutation --only no-fence --only publish-unasked
  python -m ffrtmp.testing.mutation --report
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from ffrtmp.testing import report, workers
from ffrtmp.testing.mutants.catalog import MUTANTS
from ffrtmp.testing.mutants.patches import Simulated
from ffrtmp.testing.mutation import hunt
from ffrtmp.testing.simulator import options, run

#: of what is told of a mutant
_WIDTH = 150


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ffrtmp.testing.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", choices=sorted(MUTANTS), help="this one; may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="say what there is, and try nothing")
    parser.add_argument(
        "--most-seeds", type=options.count, default=400, help="give an invariant up after so many (default: 400)"
    )
    parser.add_argument(
        "--processes", type=options.count, default=os.cpu_count() or 1, help="(default: one for each core)"
    )
    parser.add_argument("--report", action="store_true", help=f"write the section of {report.REPORT}")
    return parser


def main() -> int:
    asked = _parser().parse_args()
    names = asked.only or list(MUTANTS)
    if asked.list:
        for name in names:
            found_by = MUTANTS[name].found_by
            print(
                f"{name}: {MUTANTS[name].breaks}; {getattr(found_by, 'invariant', '') or getattr(found_by, 'test', '')}"
            )
        return 0
    commit, began = report.commit(), time.monotonic()
    verdicts: list[hunt.Verdict] = []
    try:
        with workers.pool(asked.processes, run.quiet) as pool:
            for verdict in pool.map(hunt.hunt, names, [range(asked.most_seeds)] * len(names)):
                verdicts.append(verdict)
                print(
                    f"{verdict.name}: {'found' if verdict.found else 'SURVIVED'}: {verdict.said[:_WIDTH]}", flush=True
                )
                if verdict.where:
                    print(f"    see it: {verdict.where}", flush=True)
    except KeyboardInterrupt:
        print("interrupted: all processes have ended; what was under way was not judged", file=sys.stderr)
        return 130
    except hunt.CannotRun as error:
        print(error, file=sys.stderr)
        return 2
    command = " ".join(["python -m ffrtmp.testing.mutation", *sys.argv[1:]])
    text = section(verdicts, command, commit, time.monotonic() - began)
    print(f"\n{text}")
    if asked.report:
        report.put(report.REPORT, "mutants", text)
    return 0 if all(verdict.found for verdict in verdicts) else 1


def section(verdicts: Sequence[hunt.Verdict], command: str, commit: str, seconds: float) -> str:
    """Markdown."""
    survived = [verdict.name for verdict in verdicts if not verdict.found]
    lines = [
        "## Mutants",
        "",
        *report.where(command, commit),
        "",
        f"{len(verdicts)} deliberate faults in {seconds:.0f} s, {len(verdicts) - len(survived)} found"
        f"{', survived: ' + ', '.join(survived) if survived else ''}. An invariant of the simulator is tried with one seed after"
        " another until it finds the fault; a test fails with the fault and passes without it.",
        "",
        "| mutant | what it breaks | found by | after | seconds |",
        "|---|---|---|---:|---:|",
        *(_row(verdict) for verdict in verdicts),
    ]
    return "\n".join(lines) + "\n"


def _row(verdict: hunt.Verdict) -> str:
    mutant = MUTANTS[verdict.name]
    simulated = isinstance(mutant.found_by, Simulated)
    unit = ("seed" if verdict.runs == 1 else "seeds") if simulated else "test"
    by = f"`{verdict.by}`" if verdict.found else f"nothing (`{verdict.by}` was to)"
    return f"| {verdict.name} | {mutant.breaks} | {by} | {verdict.runs} {unit} | {verdict.seconds:.1f} |"


if __name__ == "__main__":
    sys.exit(main())
