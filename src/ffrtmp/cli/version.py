"""`ffrtmp version`"""

import click

from ffrtmp.cli import base, output


@click.command("version", cls=base.Command, params=[base.output_option()], examples=["ffrtmp version"])
def command(output_format: str) -> None:
    """Print the version."""
    import ffrtmp

    if output_format == "json":
        output.Output(json=True).document({"version": ffrtmp.__version__})
        return
    click.echo(f"ffrtmp {ffrtmp.__version__}")
