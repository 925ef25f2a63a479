"""python -m bench [--quick] [SECTION…]: run the sections (all when none is named) and write docs/benchmarks.md.

--quick runs everything small and prints it without writing: a check that the measurements work, not a measurement.
"""

import asyncio
import sys

from bench import (
    api,
    dispatch,
    hints,
    ladder,
    masters,
    overhead,
    recovery,
    report,
    scale,
    snapshot,
    store,
    vmaf,
    waiting,
)

SECTIONS = {
    "store": store.run,
    "api": api.run,
    "dispatch": dispatch.run,
    "overhead": overhead.run,
    "scale": scale.run,
    "recovery": recovery.run,
    "snapshot": snapshot.run,
    "masters": masters.run,
    "hints": hints.run,
    "waiting": waiting.run,
    "ladder": ladder.run,
    "vmaf": vmaf.run,
}


def main() -> int:
    arguments = sys.argv[1:]
    quick = "--quick" in arguments
    chosen = [argument for argument in arguments if argument != "--quick"] or list(SECTIONS)
    unknown = [name for name in chosen if name not in SECTIONS]
    if unknown:
        print(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    for name in chosen:
        print(f"== {name}", file=sys.stderr)
        text = asyncio.run(SECTIONS[name](quick=quick))
        print(text)
        if not quick:
            report.write(name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
