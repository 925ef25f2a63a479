"""`ffrtmp version`"""

import click

from ffrtmp.cli import base


@click.command("version", cls=base.Command, examples=["ffrtmp version"])
def command() -> None:
    """Print the version."""
    import ffrtmp

    click.echo(f"ffrtmp {ffrtmp.__version__}")
