"""Writes the reference part of docs/cli.md from the command tree: `python tools/cli_reference.py` (`--check` only compares)."""

import sys
from pathlib import Path

import click

from ffrtmp.cli import base, exits, main

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
BEGIN, END = "<!-- begin reference: written by tools/cli_reference.py -->", "<!-- end reference -->"


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, in the order of the help pages."""
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = click.Context(command)
    found = []
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        found += leaves(child, (*path, name))
    return found


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def option_row(option: click.Option, context: click.Context) -> str:
    record = click.Option.get_help_record(option, context)
    names, _ = record or ("", "")
    help_text = option.help or ""
    extra = option.get_help_extra(context)
    default = extra.get("default", "")
    row = [f"`{names}`", str(default), help_text]
    key = option.key if isinstance(option, base.Option) else None
    row += [", ".join(f"`{name}`" for name in extra.get("envvars", ())), f"`{key}`" if key else ""]
    return "| " + " | ".join(cell(part) for part in row) + " |"


def section(path: tuple[str, ...], command: click.Command) -> list[str]:
    context = click.Context(command, info_name="ffrtmp " + " ".join(path))
    own = [
        parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and not parameter.hidden
        and getattr(parameter, "section", "") != base.CONNECTION
    ]
    usage = " ".join(["ffrtmp", *path, *command.collect_usage_pieces(context)])
    lines = [f"### `ffrtmp {' '.join(path)}`", "", (command.help or "").strip(), "", f"    {usage}", ""]
    if own:
        lines += ["| option | default | | environment | file |", "|---|---|---|---|---|"]
        lines += [option_row(option, context) for option in own] + [""]
    if examples := getattr(command, "examples", ()):
        lines += [f"    {example}" for example in examples] + [""]
    if notes := getattr(command, "notes", ""):
        lines += [notes, ""]
    return lines


def reference() -> str:
    tree = main.tree()
    context = click.Context(tree)
    lines = ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code.value} | {meaning} |" for code, meaning in exits.MEANING.items()]
    lines += ["", "## Options of every client command", ""]
    lines += ["They may stand before the command, too: `ffrtmp --output json jobs list`.", ""]
    lines += ["| option | default | | environment | file |", "|---|---|---|---|---|"]
    listing = next(command for path, command in leaves(tree) if path == ("jobs", "list"))
    lines += [
        option_row(parameter, context)
        for parameter in listing.params
        if isinstance(parameter, click.Option) and getattr(parameter, "section", "") == base.CONNECTION
    ]
    lines += ["", "## Commands", ""]
    for path, command in leaves(tree):
        lines += section(path, command)
    return "\n".join(lines).rstrip() + "\n"


def written(page: str) -> str:
    """The page with the reference as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        sys.exit(0 if page == written(page) else "docs/cli.md is not current: run python tools/cli_reference.py")
    PAGE.write_text(written(page), encoding="utf-8")
