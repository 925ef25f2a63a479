"""The SQL of the store: named statements in .sql files, one text for both databases wherever their dialects agree.

`sql/*.sql` is shared, `sql/sqlite` and `sql/postgres` hold what differs. A statement starts at `-- name: …`. Parameters are
written `:name`; `{{…}}` is filled in when the files are read:

    {{in NAME TYPE}}        `IN` over a list parameter
    {{lock}}                the rows stay locked until the transaction ends (SQLite: its one writer needs none)
    {{lock_free}}           the same, leaving out rows that another transaction has locked: never waits
    {{share}}               the rows may not change until the transaction ends
    {{now}}                 µs since 1970
    {{more_…}}              what `variant` fills in
"""

import enum
import functools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

import msgspec

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z][a-z_0-9]*)")
_MACRO = re.compile(r"\{\{([^{}]+)\}\}")


class Dialect(enum.StrEnum):
    SQLITE = "sqlite"
    POSTGRES = "postgres"


_WORDS: dict[Dialect, dict[str, str]] = {
    Dialect.SQLITE: {"lock": "", "lock_free": "", "share": "", "now": ":now"},
    Dialect.POSTGRES: {
        "lock": "FOR UPDATE",
        "lock_free": "FOR UPDATE SKIP LOCKED",
        "share": "FOR SHARE",
        "now": "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
        "event_xid": "coalesce((SELECT xid FROM events WHERE seq <= :after ORDER BY seq DESC LIMIT 1), '0'::xid8)",
    },
}


class Statement(msgspec.Struct, frozen=True):
    """`params` in the order of the placeholders; `lists` are those that take a list."""

    name: str
    text: str
    params: tuple[str, ...]
    lists: frozenset[str]
    answers: bool  #: gives rows
    values: Callable[[Mapping[str, Any]], tuple[Any, ...]]  #: named values → values in order
    fields: Callable[[Any], tuple[Any, ...]]  #: an object's attributes → values in order


def _tuple_of(getter: Callable[..., Callable[[Any], Any]], names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    if not names:
        return lambda _: ()
    if len(names) == 1:
        one = getter(names[0])
        return lambda row: (one(row),)
    return getter(*names)


def _expand(text: str, dialect: Dialect, lists: set[str]) -> str:
    def replace(match: re.Match[str]) -> str:
        word, *rest = match[1].split()
        if word == "in":
            name, kind = rest
            lists.add(name)
            if dialect is Dialect.SQLITE:
                return f"IN (SELECT value FROM json_each(:{name}))"  # noqa: S608 - names come from our own files
            return f"= ANY(:{name}::{kind}[])"
        return match[0] if word.startswith("more_") else _WORDS[dialect][word]

    return _MACRO.sub(replace, text)


def _statement(name: str, text: str, dialect: Dialect) -> Statement:
    lists: set[str] = set()
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    expanded = _expand(bare, dialect, lists).strip().rstrip(";").rstrip()
    params: list[str] = []

    def place(match: re.Match[str]) -> str:
        if match[1] not in params:
            params.append(match[1])
        return f"{'?' if dialect is Dialect.SQLITE else '$'}{params.index(match[1]) + 1}"

    return Statement(
        name,
        _PARAMETER.sub(place, expanded),
        tuple(params),
        frozenset(lists),
        expanded.startswith("SELECT") or "RETURNING" in expanded,
        _tuple_of(operator.itemgetter, params),
        _tuple_of(operator.attrgetter, params),
    )


def _texts(dialect: Dialect) -> dict[str, str]:
    folder = resources.files("ffrtmp.store").joinpath("sql")
    found: dict[str, str] = {}
    for place in (folder, folder.joinpath(dialect.value)):
        for file in sorted(place.iterdir(), key=lambda entry: entry.name):
            if not file.name.endswith(".sql"):
                continue
            _, *pieces = _NAME.split(file.read_text(encoding="utf-8"))
            for name, text in zip(pieces[::2], pieces[1::2], strict=True):
                if name in found:
                    raise ValueError(f"the statement {name} is defined twice")
                found[name] = text
    return found


_PLACE = re.compile(r"\$(\d+)")
_INSERT = re.compile(r"VALUES \(([^()]*)\)")
_UPDATE = re.compile(r"\bWHERE\b(?!.*\bWHERE\b)", re.DOTALL)
_DELETE = re.compile(r"^DELETE FROM \w+")


def over_arrays(text: str, types: Sequence[str]) -> str | None:
    """A PostgreSQL statement for one row → the same for many rows at once, each parameter an array with a value per row.

    One execution instead of one per row: two to four times the rows per second. None when it is not of a kind that can be so
    written. `types` are those of the parameters.
    """
    columns = ", ".join(f"p{number}" for number in range(1, len(types) + 1))
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 1))
    source = f"unnest({arrays}) AS r({columns})"
    by_row = _PLACE.sub(r"r.p\1", text)
    if text.startswith("INSERT"):
        return _INSERT.sub(lambda match: f"SELECT {match[1]} FROM {source}", by_row)  # noqa: S608 - our own files
    if text.startswith("UPDATE"):
        return _UPDATE.sub(f"FROM {source} WHERE", by_row)
    if text.startswith("DELETE"):
        return _DELETE.sub(lambda match: f"{match[0]} USING {source}", by_row)
    return None


_SQLITE_PLACE = re.compile(r"\?(\d+)")


@functools.cache
def for_rows(text: str, params: int, count: int) -> str | None:
    """A SQLite INSERT of one row → the same for `count` rows, whose values follow one another. None: it is no INSERT of values.

    One step instead of one per row. Each step gives the interpreter's lock away and has to win it back from a busy event loop,
    which costs more than the insert.
    """
    found = _INSERT.search(text)
    if found is None or not text.startswith("INSERT"):
        return None
    groups = (
        "(" + _SQLITE_PLACE.sub(lambda match, at=row * params: f"?{int(match[1]) + at}", found[1]) + ")"
        for row in range(count)
    )
    return text[: found.start()] + "VALUES " + ", ".join(groups) + text[found.end() :]


@functools.cache
def load(dialect: Dialect) -> Mapping[str, Statement]:
    """All statements of a database, by name."""
    return {name: _statement(name, text, dialect) for name, text in _texts(dialect).items()}


@functools.lru_cache(maxsize=512)
def variant(dialect: Dialect, name: str, more: tuple[tuple[str, str], ...]) -> Statement:
    """The statement `name` with each `{{more_…}}` filled in (SQL of the store's own, with `:parameters`)."""
    text = _texts(dialect)[name]
    for word, filling in more:
        text = text.replace("{{" + word + "}}", filling)
    return _statement(name, text, dialect)


def migrations(dialect: Dialect) -> list[tuple[int, str, str]]:
    """(number, name, script) in order; the numbers are 1, 2, 3 …"""
    folder = resources.files("ffrtmp.store").joinpath("sql", dialect.value, "migrations")
    found = sorted((file.name, file.read_text(encoding="utf-8")) for file in folder.iterdir())
    numbered = [(int(name[:4]), name.removesuffix(".sql"), text) for name, text in found]
    if [number for number, _, _ in numbered] != list(range(1, len(numbered) + 1)):
        raise ValueError(f"the migrations of {dialect} are not numbered 1 to {len(numbered)}")
    return numbered
