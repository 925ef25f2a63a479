"""docs/media-support.md: a row for each source, a column for each output, and why what was refused was."""

import datetime
import re
from collections.abc import Sequence
from pathlib import Path

from ffrtmp.media.tools import Tools
from tests.corpus.outputs import OUTPUTS
from tests.corpus.run import Came
from tests.corpus.sources import FAMILIES, SOURCES

#: of what a program said: another one each time
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+|/\S*/(?=[^/\s]+ is empty)")
PAGE = Path("docs/media-support.md")
_HEAD = """# What comes of which source

<!-- written by `make corpus` -->

Each source of the corpus (`tests/corpus/`) was run through ffrtmp itself into each output: the submission, the inspection, the
engine, the verification. What came out passed the product's own verdict, and then a look by PyAV that shares nothing with it:
codec, size, rotation, the shape of pixels, bits, HDR with its metadata, number and times of the frames, the pictures one by one
beside the source's, tracks, languages, channels, subtitles, chapters, covers. Sources are made by FFmpeg but for three real clips;
most last a second.

{when}: {count} pairs, {done} done, {refused} refused. FFmpeg {ffmpeg}, GStreamer {gstreamer}.

✓ is followed by what came out beside the usual (8 bits, SDR). `part` takes 0.6 s from 0.2 s on. `measure` compares the output in
the first column with its source, or a source that was refused there with itself; a picture that was tone-mapped, deinterlaced or
converted from RGB is far from what it was.
"""


def write(came: Sequence[Came], tools: Tools) -> None:
    PAGE.write_text(text(came, tools))


def text(came: Sequence[Came], tools: Tools) -> str:
    refused = [one for one in came if one.code]
    parts = [
        _HEAD.format(
            when=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
            count=len(came),
            done=len(came) - len(refused),
            refused=len(refused),
            ffmpeg=tools.version,
            gstreamer=tools.gst_version or "none",
        )
    ]
    cells = {(one.source.name, one.output.name): one.cell for one in came}
    for family, sources in FAMILIES.items():
        parts += [f"\n## {family}\n", _row("source", "what is special", *(output.name for output in OUTPUTS))]
        parts.append("|" + "---|" * (2 + len(OUTPUTS)))
        for source in sources:
            made = (cells.get((source.name, output.name), "–") for output in OUTPUTS)
            parts.append(_row(f"`{source.name}`", source.special, *made))
    parts += ["\n## Why it was refused\n", _row("source", "output", "message"), "|---|---|---|"]
    parts += [_row(*row) for row in _reasons(refused)]
    return "\n".join(parts) + "\n"


def _reasons(refused: Sequence[Came]) -> list[tuple[str, str, str]]:
    """One for each source and message, with the outputs that it is of."""
    outputs: dict[tuple[str, str], list[str]] = {}
    for one in refused:
        first = _ADDRESS.sub("", one.message.partition(" / ")[0])
        outputs.setdefault((one.source.name, first), []).append(one.output.name)
    asked = {name: sum(output.asks(source) for output in OUTPUTS) for name, source in SOURCES.items()}
    return [
        (f"`{name}`", "all" if len(of) == asked[name] else ", ".join(of), message)
        for (name, message), of in outputs.items()
    ]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def listed(page: str) -> tuple[set[str], list[list[str]]]:
    """The sources of a page, and the outputs at the head of each table."""
    tables = page.partition("## Why it was refused")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables if line.startswith("| ")]
    heads = [row[2:] for row in rows if row[0] == "source"]
    return {row[0].strip("`") for row in rows if row[0] != "source"}, heads
