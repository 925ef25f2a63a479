"""One of the processes of `ffrtmp master --workers N`: `workers` starts it, and hands it all that it needs on its standard input.

`python -m ffrtmp.cli.worker`, for nobody to type: keys and passwords must show neither in an argument nor in the environment.
"""

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ffrtmp.cli import main, serving

if TYPE_CHECKING:
    from ffrtmp.master.app import Ready


def encode(value: Any) -> bytes:
    """Settings and the like for a worker, or its answer."""
    return msgspec.json.encode(value, enc_hook=str)


def _path(kind: type, value: Any) -> Any:
    return kind(value)


@click.command()
def command() -> int:
    """Serve until the parent says so, or is gone."""
    serving.end_with_parent()
    import uvloop

    from ffrtmp.master import app
    from ffrtmp.telemetry import logs

    given = msgspec.json.decode(sys.stdin.buffer.read(), type=app.Given, dec_hook=_path)
    logs.configure(given.settings.log_level, given.settings.log_format)

    def ready(found: "Ready") -> None:
        sys.stdout.buffer.write(encode(found) + b"\n")
        sys.stdout.buffer.flush()

    return serving.run(app.run(given.settings, given=given, on_ready=ready), loop=uvloop.new_event_loop)


if __name__ == "__main__":
    sys.exit(main.run(command, [], "ffrtmp master"))
