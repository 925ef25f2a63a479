"""Structured logs: readable lines on a terminal, one JSON object a line in services. Always to stderr."""

import contextlib
import logging
import sys
from typing import Any, TextIO, cast

# structlog takes rich for tracebacks that are not shown here: 0.1 s and 5 MB in every program
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

del sys.modules["rich"]
if _rich is not None:
    sys.modules["rich"] = _rich

LEVELS = ("debug", "info", "warning", "error")


class _Stderr:
    """Wherever `sys.stderr` leads at the moment: who captures it, or puts it back, is followed."""

    def write(self, text: str) -> int:
        with contextlib.suppress(
            OSError
        ):  # nobody reads it any more: a program must not stop working for want of a log
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def configure(level: str = "info", log_format: str | None = None) -> None:
    """`log_format`: `text` or `json`; None: text on a terminal, else JSON."""
    as_json = log_format == "json" or (log_format is None and not sys.stderr.isatty())
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=32,
            exception_formatter=structlog.dev.plain_traceback,  # the other ones show local variables: keys, passwords
        )
    )
    exceptions: list[Any] = [structlog.processors.format_exc_info] if as_json else []
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
            *exceptions,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )


def get(name: str) -> Any:
    """A logger whose lines carry `component=name`. Typed Any: structlog builds its methods when it is configured."""
    return structlog.get_logger(component=name)
