"""Settings in layers: a flag beats its environment variable, which beats the TOML file of `--config`, which beats the default.

click does the layering: the file becomes the context's `default_map`. The file has one table per program:

    [master]
    port = 8080

    [agent]
    label = { rack = "b2" }
"""

import difflib
import tomllib
from pathlib import Path
from typing import Any

import click

from ffrtmp.cli import base

#: the tables that a file may have
SECTIONS = ("master", "agent", "up", "client")


def config_option(section: str) -> base.Option:
    """`--config FILE`, which fills what the command line and the environment leave open from table `section`."""
    return base.Option(
        ["--config"],
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="FFRTMP_CONFIG",
        is_eager=True,
        expose_value=False,
        callback=lambda ctx, _parameter, path: _load(ctx, path, section),
        help=f"TOML file; its table [{section}] gives what neither flag nor environment gives.",
    )


def _load(ctx: click.Context, path: Path | None, section: str) -> None:
    if path is None:
        return
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} is not a TOML file: {error}", ctx) from None
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}", ctx) from None
    if unknown := set(document) - set(SECTIONS):
        raise click.UsageError(
            f"{path}: {sorted(unknown)[0]!r} is not a table of this file; it may have "
            f"{', '.join(f'[{name}]' for name in SECTIONS)}, and each setting stands in one of them.",
            ctx,
        )
    found = document.get(section, {})
    if not isinstance(found, dict):
        raise click.UsageError(f"{path}: {section!r} must be a table: write [{section}].", ctx)
    ctx.default_map = {**(ctx.default_map or {}), **_by_parameter(ctx, path, section, found)}


def _by_parameter(ctx: click.Context, path: Path, section: str, found: dict[str, Any]) -> dict[str, Any]:
    known = {
        parameter.key: parameter
        for parameter in ctx.command.params
        if isinstance(parameter, base.Option) and parameter.key
    }
    values: dict[str, Any] = {}
    for key, value in found.items():
        spelt = key.replace("-", "_")
        if spelt not in known:
            near = difflib.get_close_matches(spelt, known, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it may have {', '.join(sorted(known))}."
            raise click.UsageError(f"{path}: [{section}] has no setting {key!r}; {hint}", ctx)
        parameter = known[spelt]
        if isinstance(value, dict) and parameter.multiple:
            value = [f"{name}={item}" for name, item in value.items()]
        elif isinstance(value, str) and parameter.multiple:
            value = [value]  # click would take its characters for the values
        if isinstance(value, dict) or (isinstance(value, list) and not parameter.multiple):
            raise click.UsageError(f"{path}: [{section}] {key} must be one value.", ctx)
        values[parameter.name or ""] = value
    return values
