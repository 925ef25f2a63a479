"""The building blocks of the command tree: options that know their section and file key, and groups that load lazily.

Nothing here imports more than click: `ffrtmp --help` and shell completion run this code and no other.
"""

import difflib
import importlib
import os
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

OPTIONS = "Options"
CONNECTION = "Connection and output"


class Option(click.Option):
    """`section` is the heading of the help page; `key` the name in the TOML file, where the option can stand in one."""

    def __init__(self, *args: Any, section: str = OPTIONS, key: str | None = None, **settings: Any) -> None:
        settings.setdefault("show_envvar", settings.get("envvar") is not None)
        super().__init__(*args, **settings)
        self.section = section
        self.key = key

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """The variable is named where the value came from it, and only there."""
        source = ctx.get_parameter_source(self.name or "") if ctx else None
        if source is click.core.ParameterSource.COMMANDLINE:
            return click.Parameter.get_error_hint(self, ctx)
        return super().get_error_hint(ctx)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None or self.key is None:
            return record
        names, text = record
        return names, f"{text[:-1]}; file: {self.key}]" if text.endswith("]") else f"{text}  [file: {self.key}]"


class Command(click.Command):
    """A command with sections in its help and examples below it."""

    #: whether it talks to a master, with the options that stand before the command too
    connects = False

    def __init__(self, *args: Any, examples: Sequence[str] = (), notes: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = tuple(examples)
        self.notes = notes

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spelt, off = _spell_switches(self, ctx, args)
        try:
            rest = super().parse_args(ctx, spelt)
        except click.NoSuchOption as error:
            raise _with_file_hint(error, args, ctx) from None
        for name in off:
            ctx.params[name] = False
            ctx.set_parameter_source(name, click.core.ParameterSource.COMMANDLINE)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        if not self.connects:
            refuse_options_before(ctx)
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and record[1]:
                sections.setdefault(getattr(parameter, "section", OPTIONS), []).append(record)
        last = sections.pop(CONNECTION, [])
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
        if examples := getattr(self, "examples", ()):
            with formatter.section("Examples"):
                for example in examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        if last:
            with formatter.section(CONNECTION):
                formatter.write_dl(last)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        if self.notes:
            formatter.write_paragraph()
            formatter.write_text(self.notes)


def _with_file_hint(error: click.NoSuchOption, args: list[str], ctx: click.Context) -> click.UsageError:
    """A file whose name begins with `-` was taken for options: say how to write it."""
    near = (arg for arg in args if arg.startswith("-") and not arg.startswith("--"))
    name = next((arg for arg in near if os.path.lexists(arg) or "." in arg), None)
    if name is None:
        return error
    return click.UsageError(f"{name} begins with `-` like an option; if it is a file, write ./{name}", ctx)


def output_option() -> click.Option:
    """`--output` of commands that talk to no master."""
    return click.Option(
        ["--output", "output_format"],
        type=click.Choice(["table", "json"]),
        default="table",
        envvar="FFRTMP_OUTPUT",
        help="How to print it.",
    )


def refuse_options_before(ctx: click.Context) -> None:
    """Options of the client that stand before a command which has no use for them must not be lost in silence."""
    above = ctx.parent
    while above is not None:
        for parameter in above.command.params:
            given = above.get_parameter_source(parameter.name or "")
            if given is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError(f"{parameter.opts[0]} must come after `{ctx.info_name}`, if it has it.", ctx)
        above = above.parent


def _spell_switches(command: click.Command, ctx: click.Context, args: list[str]) -> tuple[list[str], set[str]]:
    """`--tls=false` → `--no-tls`: the reference's programs take switches this way. Also returns the parameters that are off
    and have no flag that says so: a file or the environment must not turn them on again."""
    switches = {
        name: parameter
        for parameter in command.get_params(ctx)
        if isinstance(parameter, click.Option) and parameter.is_flag and parameter.is_bool_flag
        for name in parameter.opts
    }
    spelt: list[str] = []
    off: set[str] = set()
    for index, arg in enumerate(args):
        if arg == "--":
            return spelt + args[index:], off
        name, equals, value = arg.partition("=")
        switch = switches.get(name)
        if switch is None:
            spelt.append(arg)
        elif not equals or value.lower() in ("true", "1", "yes", "on", "t"):
            spelt.append(name)
            off.discard(switch.name or "")
        elif value.lower() in ("false", "0", "no", "off", "f"):
            spelt += switch.secondary_opts[:1]
            if not switch.secondary_opts:
                off.add(switch.name or "")
        else:
            raise click.UsageError(f"{name} takes true or false, not {value!r}.", ctx)
    return spelt, off


class Group(click.Group):
    """A group whose commands are imported when they are used.

    `lazy`: command → (`module` or `module:attribute`, first line of its help); `sections`: heading → commands.
    """

    command_class = Command

    def __init__(
        self,
        *args: Any,
        lazy: dict[str, tuple[str, str]] | None = None,
        sections: dict[str, tuple[str, ...]] | None = None,
        notes: str = "",
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.lazy = lazy or {}
        self.sections = sections or {}
        self.notes = notes

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.lazy) or list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.lazy:
            module, _, attribute = self.lazy[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute or "command")
            return command
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        known = self.list_commands(ctx)
        if name and name not in known and not name.startswith("-"):
            near = difflib.get_close_matches(name, known, n=2)
            hint = f" Did you mean {' or '.join(near)}?" if near else f" The commands are: {', '.join(known)}."
            ctx.fail(f"There is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def _first_line(self, ctx: click.Context, name: str) -> str:
        if name in self.lazy:
            return self.lazy[name][1]
        command = self.get_command(ctx, name)
        return command.get_short_help_str(limit=70) if command else ""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(ctx)
        width = max(map(len, names))
        for heading, members in (self.sections or {"Commands": tuple(names)}).items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:{width}}", self._first_line(ctx, name)) for name in members])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        Command.format_options(self, ctx, formatter)  # type: ignore[arg-type]  # it reads what every command has

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        if self.notes:
            formatter.write_paragraph()
            for line in self.notes.splitlines():
                formatter.write(f"{line}\n")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=self._first_line(ctx, name))
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)
