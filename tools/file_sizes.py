"""Hold the sizes of our files: none over 500 lines, the median under 150."""

import statistics
import sys
from pathlib import Path

FOLDERS = ("src", "tests", "tools", "bench")
LONGEST = 500
MEDIAN = 150


def main() -> int:
    sizes = {path: len(path.read_text().splitlines()) for folder in FOLDERS for path in Path(folder).rglob("*.py")}
    too_long = {path: size for path, size in sizes.items() if size > LONGEST}
    for path, size in sorted(too_long.items()):
        print(f"{path} has {size} lines, more than {LONGEST}: split it by what it is about")
    median = statistics.median(size for path, size in sizes.items() if path.parts[0] == "src")
    if median >= MEDIAN:
        print(f"the median file has {median:g} lines; keep it under {MEDIAN}")
    return 1 if too_long or median >= MEDIAN else 0


if __name__ == "__main__":
    sys.exit(main())
