"""`ffrtmp certs generate`"""

from collections.abc import Sequence
from pathlib import Path

import click

from ffrtmp.cli import base, output, parameters
from ffrtmp.domain import errors

command = base.Group("certs", help="Make TLS certificates.", no_args_is_help=True)


def write(
    cert: Path, key: Path, hosts: Sequence[str], ips: Sequence[str], *, overwrite: bool, json: bool = False
) -> None:
    """Make both files and say so. Raises Conflict when one exists: clients trust what was there."""
    from ffrtmp.master import certs

    for path in (cert, key):
        if path.exists() and not overwrite:
            raise errors.Conflict(
                f"{path} exists, and programs may trust it. Name others with --cert and --key, or replace it on purpose "
                "with `ffrtmp certs generate --overwrite`."
            )
    hosts, ips = certs.with_this_machine(hosts, ips)
    certs.generate(cert, key, hosts=hosts, ips=ips)
    names = list(dict.fromkeys(("localhost", "127.0.0.1", "::1", *hosts, *ips)))
    if json:
        output.Output(json=True).document({"cert": str(cert), "key": str(key), "names": names})
        return
    click.echo(f"{cert}  certificate for {', '.join(names)}")
    click.echo(f"{key}  its key; keep it secret")
    click.echo(f"Clients and agents on other machines trust it with: --ca {cert}", err=True)


@command.command(
    "generate",
    params=[base.output_option()],
    examples=[
        "ffrtmp certs generate --cert-hosts master.local --cert-ips 192.168.1.100",
        "ffrtmp certs generate --cert certs/a.crt --key certs/a.key --overwrite",
    ],
)
@click.option(
    "--cert",
    type=click.Path(path_type=Path),
    default=Path("certs/master.crt"),
    show_default=True,
    help="Where the certificate goes.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    default=Path("certs/master.key"),
    show_default=True,
    help="Where its key goes.",
)
@click.option(
    "--cert-hosts",
    type=parameters.COMMA_LIST,
    default="",
    help="Host names, besides localhost and this machine's: a,b.",
)
@click.option("--cert-ips", type=parameters.COMMA_LIST, default="", help="Addresses, besides this machine's: a,b.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def generate(
    cert: Path, key: Path, cert_hosts: tuple[str, ...], cert_ips: tuple[str, ...], overwrite: bool, output_format: str
) -> None:
    """Make a self-signed certificate for a master."""
    write(cert, key, cert_hosts, cert_ips, overwrite=overwrite, json=output_format == "json")
