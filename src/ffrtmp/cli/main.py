"""The programs: `ffrtmp`, `ffrtmp-master`, `ffrtmp-agent`. Commands are imported when they are used, so that help is instant."""

import contextlib
import os
import sys

import click

from ffrtmp.cli import connection, exits, output

_HERE = "ffrtmp.cli"
_COMMANDS = {
    "up": (f"{_HERE}.up", "Start a master and an agent on this machine."),
    "transcode": (f"{_HERE}.transcode", "Transcode files and watch: IN [IN...] OUT."),
    "measure": (f"{_HERE}.measure", "Measure how near a video is to another: REFERENCE VIDEO."),
    "doctor": (f"{_HERE}.doctor", "Check what works here, and say how to mend what does not."),
    "jobs": (f"{_HERE}.jobs", "Submit jobs, see and steer them, fetch what they made."),
    "nodes": (f"{_HERE}.nodes", "See the machines, drain and remove them."),
    "presets": (f"{_HERE}.presets", "See the presets that jobs may name."),
    "queue": (f"{_HERE}.queue", "Show what waits, by queue and requirements, and why."),
    "master": (f"{_HERE}.master", "Run the master: the queue and its HTTP API."),
    "agent": (f"{_HERE}.agent", "Run an agent: the program that encodes on this machine."),
    "config": (f"{_HERE}.config", "Recommend settings for this hardware."),
    "certs": (f"{_HERE}.certs", "Make TLS certificates."),
    "completion": (f"{_HERE}.completion", "Print or install shell completion."),
    "version": (f"{_HERE}.version", "Print the version."),
}
_SECTIONS = {
    "Begin here": ("up", "transcode", "measure", "doctor"),
    "Work with a farm": ("jobs", "presets", "nodes", "queue"),
    "Run a farm": ("master", "agent", "config", "certs"),
    "More": ("completion", "version"),
}
_NOTES = "Exit codes:\n" + "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in exits.MEANING.items())


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        import ffrtmp

        click.echo(f"ffrtmp {ffrtmp.__version__}")
        ctx.exit()


def tree() -> connection.Group:
    """The whole command tree."""
    group = connection.Group(
        "ffrtmp",
        lazy=_COMMANDS,
        sections=_SECTIONS,
        notes=_NOTES,
        help="Turn your machines into one transcoding farm.\n\n`ffrtmp COMMAND --help` explains each command, with examples.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        no_args_is_help=True,
    )
    group.params = connection.options(before=True)
    group.params.append(
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Print the version and exit.",
        )
    )
    return group


def run(command: click.Command, arguments: list[str], name: str) -> int:
    """Run one command line to its exit code. Nothing ends in a traceback, unless FFRTMP_DEBUG asks for it."""
    try:
        result = command.main(args=arguments, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return exits.Exit.INTERRUPTED
    except BrokenPipeError:
        # the reader (`head`, `less`) has gone: what it wanted it has
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.Exit.OK
    except Exception as error:  # the last line of defence between a user and a traceback
        if os.environ.get("FFRTMP_DEBUG"):
            raise
        return _report(error)
    return result if isinstance(result, int) else exits.Exit.OK


def _report(error: Exception) -> int:
    code = exits.of(error)
    lines = output.error_lines(error)
    if code is exits.Exit.INTERNAL:
        lines = [
            f"error: a fault in ffrtmp: {type(error).__name__}: {error}",
            "  Run it again with FFRTMP_DEBUG=1 to see where, and please report it.",
        ]
    click.echo("\n".join(lines), err=True)
    return code


def main() -> int:
    return run(tree(), sys.argv[1:], "ffrtmp")


def master() -> int:
    return _alias("master")


def agent() -> int:
    return _alias("agent")


def _alias(name: str) -> int:
    """`ffrtmp-master` is `ffrtmp master`."""
    group = tree()
    command = group.get_command(click.Context(group), name)
    assert command is not None
    return run(command, sys.argv[1:], f"ffrtmp-{name}")


if __name__ == "__main__":
    sys.exit(main())
