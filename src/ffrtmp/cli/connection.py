"""The options of every command that talks to a master, and the frame such a command runs in."""

import contextlib
import dataclasses
import os
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffrtmp.cli import base, layered, output

if TYPE_CHECKING:
    from ffrtmp.client.client import Client

DEFAULT_MASTER = "localhost:8080"
_PATH = click.Path(path_type=Path)


#: parameter → its declaration; `env` and `default` count at the command itself, not where it stands before the command
_OPTIONS: tuple[tuple[str, dict[str, Any], tuple[str, ...], Any], ...] = (
    (
        "--master",
        {
            "help": "The master: host:port (TLS is tried first) or a URL; or several of one farm: a,b (may be repeated).",
            "multiple": True,
        },
        ("FFRTMP_MASTER_URL",),
        (DEFAULT_MASTER,),
    ),
    (
        "--api-key",
        {"help": "The master's key. On the master's own machine it is found without."},
        ("FFMPEG_RTMP_API_KEY", "MASTER_API_KEY"),
        None,
    ),
    ("--ca", {"type": _PATH, "help": "Certificates to trust for the master."}, ("FFRTMP_CA",), None),
    ("--cert", {"type": _PATH, "help": "Client certificate, for a master with --mtls."}, ("FFRTMP_CERT",), None),
    ("--key", {"type": _PATH, "help": "Key of the client certificate."}, ("FFRTMP_KEY",), None),
    (
        "--insecure-skip-verify",
        {"is_flag": True, "help": "Do not check the master's certificate (development only)."},
        ("FFRTMP_INSECURE_SKIP_VERIFY",),
        False,
    ),
    (
        "--output",
        {"type": click.Choice(["table", "json"]), "help": "How to print results."},
        ("FFRTMP_OUTPUT",),
        "table",
    ),
)


def _name(flag: str) -> str:
    return {"--output": "output_format"}.get(flag, flag.removeprefix("--").replace("-", "_"))


def options(*, before: bool = False, hidden: bool = False) -> list[click.Parameter]:
    """The connection options; `before`: as they stand before the command, where they have no default of their own."""
    made: list[click.Parameter] = [
        base.Option(
            [flag, _name(flag)],
            section=base.CONNECTION,
            hidden=hidden,
            default=None if before else default,
            envvar=None if before else list(env),
            key=None if before else flag.removeprefix("--").replace("-", "_"),
            show_default=not before and default is not None and not settings.get("is_flag"),
            **settings,
        )
        for flag, settings, env, default in _OPTIONS
    ]
    if not before:
        config = layered.config_option("client")
        config.section = base.CONNECTION
        made.append(config)
    return made


@dataclasses.dataclass(frozen=True)
class Connection:
    """Where the master is (or the masters of one farm are), and who asks."""

    master: tuple[str, ...]
    api_key: str = ""
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    insecure: bool = False
    key_from: str = ""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Client"]:
        """A client of that master. The package is loaded here: no command line is slow before it needs to be."""
        from ffrtmp.client.client import Client
        from ffrtmp.domain import errors

        if self.insecure:  # the only thing that a client logs
            from ffrtmp.telemetry import logs

            logs.configure("warning", "text")  # to stderr: stdout is for results
        try:
            client = await Client.connect(
                self.master,
                api_key=self.api_key,
                ca=self.ca,
                cert=self.cert,
                key=self.key,
                insecure=self.insecure,
                key_from=self.key_from,
            )
        except errors.InvalidInput as error:  # no master was asked yet
            raise click.UsageError(str(error)) from error
        async with client:
            yield client


@dataclasses.dataclass(frozen=True)
class Session:
    """What a command gets: the way to the master, and the way to print."""

    connection: Connection
    out: output.Output

    def open(self) -> contextlib.AbstractAsyncContextManager["Client"]:
        return self.connection.open()


def _value(ctx: click.Context, name: str) -> Any:
    """The value nearest to the end of the command line; what no one wrote comes from environment, file or default."""
    here: click.Context | None = ctx
    while here is not None:
        if here.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            return here.params[name]
        here = here.parent
    return ctx.params[name]


def _typed(ctx: click.Context) -> str:
    """The options on the command line that say which master is meant; the key is not shown again."""
    words: list[str] = []
    for flag in ("--master", "--ca", "--cert", "--key", "--insecure-skip-verify"):
        here: click.Context | None = ctx
        while here is not None:
            if here.get_parameter_source(_name(flag)) is click.core.ParameterSource.COMMANDLINE:
                value = here.params[_name(flag)]
                text = ",".join(value) if isinstance(value, tuple) else str(value)
                words += [flag] if value is True else [flag, shlex.quote(text)]
                break
            here = here.parent
    return "".join(f" {word}" for word in words)


def _key_from(ctx: click.Context) -> str:
    """Where the API key was found, in a person's words; "" when nobody gave one."""
    if not _value(ctx, "api_key"):
        return ""
    source = ctx.get_parameter_source("api_key")
    if source is click.core.ParameterSource.ENVIRONMENT and _value(ctx, "api_key") == ctx.params["api_key"]:
        names = next(env for flag, _, env, _ in _OPTIONS if flag == "--api-key")
        return next(f"the variable {name}" for name in names if os.environ.get(name))
    return "the --config file" if source is click.core.ParameterSource.DEFAULT_MAP else "--api-key"


def session(ctx: click.Context) -> Session:
    return Session(
        Connection(
            master=_value(ctx, "master"),
            api_key=_value(ctx, "api_key") or "",
            ca=_value(ctx, "ca"),
            cert=_value(ctx, "cert"),
            key=_value(ctx, "key"),
            insecure=bool(_value(ctx, "insecure_skip_verify")),
            key_from=_key_from(ctx),
        ),
        output.Output(json=_value(ctx, "output_format") == "json", options=_typed(ctx)),
    )


class Command(base.Command):
    """A command of the client: its callback is `async (session, **own options) -> exit code or None`."""

    connects = True

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += options()

    def invoke(self, ctx: click.Context) -> Any:
        import asyncio

        assert self.callback is not None
        shared = {_name(flag) for flag, *_ in _OPTIONS}
        own = {name: value for name, value in ctx.params.items() if name not in shared}
        return asyncio.run(self.callback(session(ctx), **own))


class Group(base.Group):
    """A noun: takes the connection options before the verb too, without showing them twice."""

    command_class = Command

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += options(before=True, hidden=True)
