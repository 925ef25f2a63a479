"""`ffrtmp completion`"""

import os
from pathlib import Path

import click

from ffrtmp.cli import base

_SHELLS = ("bash", "zsh", "fish")
#: where each shell looks for completions of a user
_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/ffrtmp",
    "zsh": "~/.local/share/zsh/site-functions/_ffrtmp",
    "fish": "~/.config/fish/completions/ffrtmp.fish",
}


@click.command(
    "completion",
    cls=base.Command,
    examples=['eval "$(ffrtmp completion bash)"', "ffrtmp completion --install"],
    notes="--install writes ~/.local/share/bash-completion/completions/ffrtmp for bash (bash-completion reads it), "
    "~/.local/share/zsh/site-functions/_ffrtmp for zsh (put that directory in fpath), and "
    "~/.config/fish/completions/ffrtmp.fish for fish.",
)
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
@click.option("--install", is_flag=True, help="Write it where the shell looks for it.")
def command(shell: str | None, install: bool) -> None:
    """Print or install shell completion.

    SHELL is bash, zsh or fish; without it the one of $SHELL.
    """
    chosen = shell or Path(os.environ.get("SHELL", "")).name
    if chosen not in _SHELLS:
        raise click.UsageError(f"Name the shell: {', '.join(_SHELLS)}.")
    source = script(chosen)
    if not install:
        click.echo(source)
        return
    place = Path(_PLACES[chosen]).expanduser()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(source)
    click.echo(f"{place} is written; new shells complete ffrtmp.")


def script(shell: str) -> str:
    """What the shell runs to complete `ffrtmp`."""
    from click.shell_completion import get_completion_class

    from ffrtmp.cli import main

    kind = get_completion_class(shell)
    assert kind is not None
    return kind(main.tree(), {}, "ffrtmp", "_FFRTMP_COMPLETE").source()
