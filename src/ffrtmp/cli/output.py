"""Printing. Results go to stdout, as a table or as JSON and nothing else; every message goes to stderr.

Colours only where there is a terminal, and never with NO_COLOR (rich obeys it).
"""

import functools
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDE = 200
#: state → colour
STATE_STYLE = {
    "completed": "green",
    "done": "green",
    "available": "green",
    "running": "cyan",
    "publishing": "cyan",
    "assigned": "cyan",
    "busy": "cyan",
    "retrying": "yellow",
    "paused": "yellow",
    "draining": "yellow",
    "lost": "yellow",
    "returned": "yellow",
    "failed": "red",
    "timed_out": "red",
    "rejected": "red",
    "offline": "red",
    "canceled": "magenta",
}


class Output:
    """Where one command prints. `json`: stdout is for a program. `options`: what must stand in a command that is shown, so that
    it reaches the same master."""

    def __init__(self, *, json: bool, options: str = "") -> None:
        self.json = json
        self.options = options

    @functools.cached_property
    def screen(self) -> "Console":
        from rich.console import Console

        # a pipe has no width: nothing is folded for its reader (COLUMNS says otherwise)
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDE
        return Console(highlight=False, emoji=False, width=width)

    @functools.cached_property
    def messages(self) -> "Console":
        """stderr: progress, notes, questions."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, emoji=False)

    def document(self, value: Any) -> None:
        """The one JSON document of a command, indented."""
        import msgspec

        print_bytes(msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2))

    def line(self, value: Any) -> None:
        """One line of JSON Lines."""
        import msgspec

        print_bytes(msgspec.json.encode(value, order="deterministic"))

    def show(self, item: "RenderableType") -> None:
        """Print it, without the spaces that fill a table's last column."""
        with self.screen.capture() as capture:
            self.screen.print(item)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))
        sys.stdout.flush()

    def text(self, line: str) -> None:
        """A line of the result as it stands: no markup, no wrapping."""
        self.screen.print(line, markup=False, soft_wrap=True)

    def say(self, message: str) -> None:
        """A message for the person, on stderr."""
        self.messages.print(message, markup=False, soft_wrap=True)

    def table(
        self,
        headings: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        right: Sequence[str] = (),
        wrapped: Sequence[str] = (),
    ) -> None:
        """A table that fits: the last column, and those `wrapped`, wrap where the terminal is narrow."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for index, heading in enumerate(headings):
            wraps = index == len(headings) - 1 or heading in wrapped
            table.add_column(
                heading,
                justify="right" if heading in right else "left",
                no_wrap=not wraps,
                overflow="fold" if wraps else "ellipsis",
            )
        for row in rows:
            table.add_row(*(cell(value) for value in row))
        self.show(table)


def cell(value: Any) -> "RenderableType":
    """Text of a stranger is text: markup in a file name stays what it is."""
    from rich.text import Text

    if isinstance(value, Text):
        return value
    return Text("" if value is None else str(value), overflow="fold")


def state(name: str) -> "RenderableType":
    from rich.text import Text

    return Text(name, style=STATE_STYLE.get(name, ""))


def print_bytes(line: bytes) -> None:
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()


def error_lines(error: Exception) -> list[str]:
    """What a person should read when `error` ends a command: what is wrong, each fault with its path, what to do."""
    from ffrtmp.domain import errors

    lines = [f"error: {error}"]
    if isinstance(error, errors.InvalidInput):
        shown = str(error)
        lines += [
            f"  {fault.path or 'body'}: {fault.message}"
            for fault in error.faults
            if f"{fault.path}: {fault.message}" != shown
        ]
    if isinstance(error, errors.Conflict) and error.state and error.state not in str(error):
        lines.append(f"  its state is {error.state}")
    if hint := _hint(error):
        lines.append(f"  {hint}")
    return lines


def _hint(error: Exception) -> str:
    from ffrtmp.domain import errors

    if isinstance(error, errors.Unauthenticated) and "--api-key" not in str(error):
        return "Give the master's key with --api-key or FFMPEG_RTMP_API_KEY; the master printed it at its first start."
    return ""
