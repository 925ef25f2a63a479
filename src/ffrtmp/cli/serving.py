"""What `master`, `agent` and `up` share: their options with flag, environment variable and file key from one line, and how
a program that was started says that it is ready and ends with the one that started it."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from ffrtmp.cli import base, exits, output, parameters
from ffrtmp.domain import errors

PATH = click.Path(path_type=Path)
NETWORK, DATABASE, SECURITY, WATCHING, WORK = "Network", "Database", "Security", "Logs and metrics", "Work"
_PARENT = "FFRTMP_PARENT_PID"
_PR_SET_PDEATHSIG = 1  # prctl(2)


def setting(program: str, flag: str, help: str, *, env: tuple[str, ...] = (), **settings: Any) -> base.Option:
    """An option with its environment variable (`FFRTMP_MASTER_PORT`) and file key (`port`). `flag` may be `--tls/--no-tls`."""
    name = flag.partition("/")[0].removeprefix("--").replace("-", "_")
    settings.setdefault("show_default", settings.get("default") not in (None, False, ()))
    return base.Option(
        [flag, name],
        help=help,
        envvar=[f"FFRTMP_{program.upper()}_{name.upper()}", *env],
        key=name,
        **settings,
    )


def logging_options(program: str) -> list[click.Parameter]:
    return [
        setting(
            program,
            "--log-level",
            "How much is logged.",
            type=click.Choice(["debug", "info", "warning", "error"]),
            default="info",
            section=WATCHING,
        ),
        setting(
            program,
            "--log-format",
            "Default: text on a terminal, else JSON.",
            type=click.Choice(["text", "json"]),
            section=WATCHING,
        ),
        base.Option(
            ["--ready-file"],
            type=PATH,
            section=WATCHING,
            help="Write the bound addresses there as JSON once it answers; for scripts and supervisors.",
        ),
    ]


def write_ready(path: Path | None, addresses: dict[str, Any]) -> None:
    """Whole or not at all: who waits for the file never reads half of it."""
    if path is None:
        return
    import msgspec

    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # a master's holds its key
    with open(descriptor, "wb") as sink:
        sink.write(msgspec.json.encode(addresses))
    part.rename(path)


def end_with_parent() -> None:
    """Where `up` or a test started this program, it stops when that one dies, however it dies."""
    parent = os.environ.pop(_PARENT, "")
    if not parent or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before we asked
        sys.exit(0)


def child_environment() -> dict[str, str]:
    """The environment for a program that must not outlive this one."""
    return {**os.environ, _PARENT: str(os.getpid())}


PORT = parameters.PORT


def run(program: Coroutine[Any, Any, int], *, loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> int:
    """Run a master or an agent to its exit code. What it cannot start with is the command line's fault."""
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(program)
    except errors.InvalidInput as error:
        click.echo("\n".join(output.error_lines(error)), err=True)
        return exits.Exit.USAGE


def plain(ready: Any) -> dict[str, Any]:
    """A Ready of master or agent, as JSON has it."""
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(ready, enc_hook=str)  # paths
    return {**found, "pid": os.getpid()}
