"""Crash databases under load, and check after each crash that all that was acknowledged is there and the tables agree.

  python -m ffrtmp.testing.crash --sqlite 1000             kill -9 of the processes that have a SQLite database open
  python -m ffrtmp.testing.crash --power 300               cuts of the power under the process that writes SQLite (needs strace)
  python -m ffrtmp.testing.crash --postgres 100            immediate stops of a PostgreSQL, and kill -9 of its processes
  python -m ffrtmp.testing.crash --sqlite 1 --seed 7 --keep /tmp/crash

Prints a Markdown section at the end, and with --report writes it to docs/reliability-report.md. The exit status is 1 when anything
was lost, doubled or inconsistent.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from ffrtmp.testing import programs, report
from ffrtmp.testing.crash import postgres, power, sqlite
from ffrtmp.testing.crash.outcome import Outcome, markdown
from ffrtmp.testing.simulator.run import quiet

_SAID_EVERY_SECONDS = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ffrtmp.testing.crash",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sqlite", type=int, default=0, metavar="N", help="kills of SQLite's processes (default: 0)")
    parser.add_argument("--power", type=int, default=0, metavar="N", help="cuts of the power under SQLite (default: 0)")
    parser.add_argument("--postgres", type=int, default=0, metavar="N", help="stops of PostgreSQL (default: 0)")
    parser.add_argument("--seed", type=int, default=0, help="of what is random (default: 0); the moments vary anyway")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="SQLite databases at a time")
    parser.add_argument("--keep", type=Path, help="a directory for the SQLite databases, which stay there")
    parser.add_argument("--report", action="store_true", help=f"write the section of {report.REPORT}")
    asked = parser.parse_args()
    if not (asked.sqlite or asked.power or asked.postgres):
        parser.error("say what is to be crashed: --sqlite N, --power N, --postgres N")
    quiet()
    commit = report.commit()
    try:
        outcomes = _outcomes(asked)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted: all processes have ended, nothing was checked", file=sys.stderr)
        return 130
    wrong = [one for outcome in outcomes.values() for one in outcome.violations]
    text = markdown(outcomes, " ".join(["python -m ffrtmp.testing.crash", *sys.argv[1:]]), commit)
    print("\n".join([text, *wrong]))
    if asked.report:
        report.put(report.REPORT, "crashes", text)
    return 1 if wrong else 0


def _outcomes(asked: argparse.Namespace) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    with _folder(asked.keep) as folder:
        if asked.sqlite:
            outcomes["SQLite, kill -9"] = _timed(
                sqlite.kills(folder, asked.sqlite, asked.seed, asked.workers, _progress())
            )
        if asked.power:
            outcomes["SQLite, power cut (recorded writes, unsynced ones lost or torn)"] = _timed(
                power.cuts(folder, asked.power, asked.seed, _progress())
            )
        if asked.postgres:
            outcomes["PostgreSQL, two stores"] = _timed(postgres.stops(asked.postgres, asked.seed, _progress()))
    return outcomes


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="ffrtmp-crash-") as folder:
        yield Path(folder)


def _timed(run: Coroutine[Any, Any, Outcome]) -> Outcome:
    began = time.monotonic()
    outcome = asyncio.run(programs.until_sigterm(run))
    outcome.seconds = time.monotonic() - began
    return outcome


def _progress() -> Callable[[str], None]:
    last = time.monotonic()

    def said(what: str) -> None:
        nonlocal last
        if time.monotonic() - last > _SAID_EVERY_SECONDS:
            last = time.monotonic()
            print(what, file=sys.stderr, flush=True)

    return said


if __name__ == "__main__":
    sys.exit(main())
