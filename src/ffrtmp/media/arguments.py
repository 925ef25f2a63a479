"""Small helpers that make argv lists. Every value is typed: nobody's text is put into a filter or a flag."""

from collections.abc import Iterable

#: how every FFmpeg is run: no stdin, nothing but warnings on stderr, progress on stdout twice a second
GLOBALS = (
    *("-nostdin", "-hide_banner", "-nostats", "-v", "warning"),
    *("-y", "-progress", "pipe:1", "-stats_period", "0.5"),
)


def opt(flag: str, value: object | None) -> list[str]:
    """`["-b:v", "2000000"]`; nothing when the value is None."""
    return [] if value is None else [flag, number(value)]


def number(value: object) -> str:
    """Numbers without exponent and without a tail of zeros; anything else as text."""
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return str(value)


def pairs(values: Iterable[tuple[str, object]]) -> str:
    """`name=value:name=value`, the form of `-x265-params` and `-svtav1-params`."""
    return ":".join(f"{name}={number(value)}" for name, value in values)
