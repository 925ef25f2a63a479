"""The options of a job that streams, and where its stream key comes from."""

import sys
from pathlib import Path
from typing import Any

import click

from ffrtmp.cli import base

SECTION = "Streaming over RTMP"
_KEY_VARIABLE = "FFRTMP_STREAM_KEY"
#: JSON path → the option that a person typed
PATHS = {
    "parameters.rtmp_url": "--rtmp-url",
    "parameters.stream_key": "--stream-key",
    "parameters.reconnect_seconds": "--reconnect",
}


def target() -> list[click.Parameter]:
    """Where the stream goes, for a command that has no argument for it."""
    return [
        base.Option(
            ["--rtmp-url"],
            metavar="URL",
            section=SECTION,
            help="rtmp://host/application, or with the key behind it; rtmps:// is TLS.",
        ),
    ]


def common() -> list[click.Parameter]:
    return [
        base.Option(
            ["--stream-key"],
            metavar="KEY",
            envvar=_KEY_VARIABLE,
            section=SECTION,
            help="The stream key, a secret: the variable or the file keep it out of the shell's history.",
        ),
        base.Option(
            ["--stream-key-file"],
            type=click.Path(dir_okay=False, allow_dash=True),
            section=SECTION,
            help="Read the key from the first line of a file; - asks for it, or reads stdin.",
        ),
        base.Option(
            ["--reconnect"],
            metavar="SECONDS",
            section=SECTION,
            help="Try a server that went away again for so long, then fail: 90, 5:00. Default: 60.",
        ),
    ]


def take(values: dict[str, Any], url: str | None = None) -> dict[str, Any]:
    """What of `parameters` the options say; takes them out of `values`. `url`: where the command has an argument for it."""
    key_file = values.pop("stream_key_file")
    given = {
        "rtmp_url": url or values.pop("rtmp_url", None),
        "stream_key": values.pop("stream_key"),
        "reconnect_seconds": values.pop("reconnect"),
    }
    by_variable = (
        click.get_current_context().get_parameter_source("stream_key") is click.core.ParameterSource.ENVIRONMENT
    )
    if key_file is not None:
        if given["stream_key"] is not None and not by_variable:
            raise click.UsageError("--stream-key and --stream-key-file both say the key; give one of them.")
        given["stream_key"] = _read(key_file)
    elif by_variable and not given["rtmp_url"]:
        given["stream_key"] = None  # it lies about in the environment, and this job does not stream
    return {name: value for name, value in given.items() if value is not None}


def _read(path: str) -> str:
    if path == "-" and sys.stdin.isatty():
        key = str(click.prompt("Stream key", hide_input=True, err=True))
    else:
        try:
            text = sys.stdin.read() if path == "-" else Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"--stream-key-file {path} cannot be read: {error}") from None
        key = (text.splitlines() or [""])[0]
    if not key.strip():
        raise click.UsageError(f"--stream-key-file {path} has no key in its first line.")
    return key.strip()
