"""python -m tests.corpus: every source into every output, and docs/media-support.md of what came of it.

python -m tests.corpus --only 'hdr|vfr' --into 'h265': some of them, which writes nothing.
"""

import argparse
import asyncio
import re
import sys
import tempfile
from pathlib import Path

from tests.corpus import page
from tests.corpus.outputs import OUTPUTS
from tests.corpus.run import Came, Corpus, run
from tests.corpus.sources import SOURCES


async def _main(arguments: argparse.Namespace) -> int:
    pairs = [
        (source, output)
        for source in SOURCES.values()
        for output in OUTPUTS
        if output.asks(source) and re.search(arguments.only, source.name) and re.search(arguments.into, output.name)
    ]
    failed = 0

    def told(came: Came) -> None:
        nonlocal failed
        failed += bool(came.problems)
        if came.problems:
            print(f"{came.name}: {'; '.join(came.problems)}\n{came.log}", flush=True)
        elif arguments.verbose:
            print(f"{came.name}: {came.cell} {came.message}", flush=True)

    with tempfile.TemporaryDirectory(prefix="ffrtmp-corpus-") as folder:
        corpus = Corpus(Path(folder))
        try:
            kit = await corpus.open()
            came = await run(corpus, pairs, at_once=arguments.at_once, on_end=told)
        finally:
            await corpus.close()
    print(f"{len(came)} pairs, {failed} not as they must be")
    if failed:
        return 1
    if (arguments.only, arguments.into) == (".", "."):
        page.write(came, kit.tools)
        print(f"{page.PAGE} is written")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("--only", default=".", metavar="PATTERN", help="sources whose names it finds")
    parser.add_argument("--into", default=".", metavar="PATTERN", help="outputs whose names it finds")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="sources at the same time (default 2)")
    parser.add_argument("--verbose", action="store_true", help="tell each pair")
    return asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
