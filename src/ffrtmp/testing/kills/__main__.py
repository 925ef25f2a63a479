"""Kill agents, the master and the database at a named point of each transition, and look whether the farm recovers.

examples:
  python -m ffrtmp.testing.kills --db sqlite
  python -m ffrtmp.testing.kills --db postgres --report
  python -m ffrtmp.testing.kills --db postgres --only "complete / after commit"
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from ffrtmp.testing import programs, report
from ffrtmp.testing.deployment import DATABASES
from ffrtmp.testing.kills import matrix


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ffrtmp.testing.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--db", choices=DATABASES, default="sqlite", help="(default: sqlite)")
    parser.add_argument(
        "--only", default="", help="only cells whose name (transition / moment / victim) has this in it"
    )
    parser.add_argument("--report", action="store_true", help=f"write the section of {report.REPORT}")
    asked = parser.parse_args()
    chosen = [cell for cell in matrix.cells() if asked.only in cell.name and not cell.senseless]
    if not chosen:
        parser.error(f"--only {asked.only!r} is in no cell's name; names are like {matrix.cells()[0].name!r}")
    root = Path(tempfile.mkdtemp(prefix="ffrtmp-kills-"))
    root.chmod(0o755)
    commit = report.commit()
    try:
        outcome = asyncio.run(programs.until_sigterm(matrix.run(asked.db, chosen, root, _progress)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(root, ignore_errors=True)
        print("interrupted: all processes have ended, nothing was checked", file=sys.stderr)
        return 130
    text = matrix.section(outcome, " ".join(["python -m ffrtmp.testing.kills", *sys.argv[1:]]), commit)
    print(text)
    if asked.report:
        report.put(report.REPORT, f"kill matrix {asked.db}", text)
    if outcome.broken:
        print(*outcome.broken, f"the history and files of the run: {root}", sep="\n")
    else:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if outcome.broken else 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
