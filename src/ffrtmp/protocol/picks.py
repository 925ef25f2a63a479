"""How people name tracks: a word, or a list of numbers and languages. `eng,deu` on a command line is the same as ["eng", "deu"]."""

import re
from collections.abc import Callable
from typing import Any

from ffrtmp.domain.spec import Pick, Tracks

_LANGUAGE = re.compile(r"[a-z]{2,3}")
_LONGEST_TEXT = 256
_MOST = 32


def schema(default: str, *examples: object) -> dict[str, Any]:
    """JSON Schema of what `parser` reads."""
    names = {"type": "array", "minItems": 1, "maxItems": _MOST, "items": {"type": ["integer", "string"]}}
    either = [{"type": "string", "maxLength": _LONGEST_TEXT}, names]
    return {"anyOf": either, "default": default, "examples": [default, *examples]}


def parser(*words: Pick, auto: str = "auto") -> Callable[[object], Tracks]:
    """Reads a value; `words` are taken beside names, and `auto` is what AUTO is called. Raises ValueError."""
    known = {(auto if word is Pick.AUTO else word.value): word for word in words}

    def parse(value: object) -> Tracks:
        if isinstance(value, Tracks):
            return value
        if isinstance(value, str) and len(value) <= _LONGEST_TEXT:
            value = value.strip().lower()
            if value in known:
                return Tracks(pick=known[value])
            value = [part.strip() for part in value.split(",")]
        if not isinstance(value, list) or not 0 < len(value) <= _MOST:
            raise ValueError(f"must be {', '.join(known)}, or up to {_MOST} numbers or languages: [1, 'eng']")
        return Tracks(pick=Pick.NAMED, named=[_name(item) for item in value])

    return parse


def _name(item: object) -> int | str:
    if isinstance(item, str):
        item = item.lower()
        if item.isascii() and item.isdigit():
            item = int(item)
    if isinstance(item, int) and not isinstance(item, bool) and 1 <= item <= 100:
        return item
    if isinstance(item, str) and _LANGUAGE.fullmatch(item):
        return item
    raise ValueError(f"{str(item)[:20]!r} is no track: write its number, from 1, or its language: 'eng', 'de'")
