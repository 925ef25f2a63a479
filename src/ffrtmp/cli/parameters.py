"""Types of option values, read by the domain's own parsers so that a command line and a JSON body understand the same spellings."""

from typing import Any

import click


class Duration(click.ParamType[float]):
    """`5s`, `1h30m`, `7d`, `90` → seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from ffrtmp.domain import units

        try:
            return units.seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Label(click.ParamType[tuple[str, str]]):
    """`key=value` → a pair."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not equals or not key.strip():
            self.fail(f"{value!r} is not a label; write it like rack=b2", param, ctx)
        return key.strip(), text.strip()


class CommaList(click.ParamType[tuple[str, ...]]):
    """`a,b` → ("a", "b")."""

    name = "list"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - click's signature
        ctx: click.Context | None,  # noqa: ARG002
    ) -> tuple[str, ...]:
        parts = value if isinstance(value, list | tuple) else str(value).split(",")
        return tuple(part.strip() for part in parts if part.strip())


class Slots(click.ParamType[int | str]):
    """A number of slots, or `auto`."""

    name = "number|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if str(value).strip().lower() == "auto":
            return "auto"
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor auto", param, ctx)
        if not 1 <= number <= 1024:
            self.fail(f"{value!r} is out of range: it must be 1 to 1024, or auto", param, ctx)
        return number


DURATION = Duration()
LABEL = Label()
COMMA_LIST = CommaList()
SLOTS = Slots()
PORT = click.IntRange(0, 65535)
