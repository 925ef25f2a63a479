"""`ffrtmp master`"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffrtmp.cli import base, certs, layered, parameters, serving
from ffrtmp.cli.serving import DATABASE, NETWORK, PATH, PORT, SECURITY, WATCHING, WORK

if TYPE_CHECKING:
    from ffrtmp.master.settings import MasterSettings


def _option(flag: str, help: str, **settings: Any) -> base.Option:
    return serving.setting("master", flag, help, **settings)


_OPTIONS: list[click.Parameter] = [
    _option("--host", "Address to listen on.", default="0.0.0.0", section=NETWORK),  # noqa: S104 - agents are elsewhere
    _option("--port", "Port of the HTTP API; 0 picks a free one.", type=PORT, default=8080, section=NETWORK),
    _option(
        "--workers",
        "Processes that serve the port, on PostgreSQL; auto: one for each core.",
        type=parameters.SLOTS,
        default="1",
        section=NETWORK,
    ),
    _option("--db", "SQLite file.", type=PATH, default=Path("master.db"), section=DATABASE),
    _option(
        "--db-type", "Kind of database.", type=click.Choice(["sqlite", "postgres"]), default="sqlite", section=DATABASE
    ),
    _option("--db-dsn", "PostgreSQL URL; implies --db-type postgres.", env=("DATABASE_DSN",), section=DATABASE),
    _option(
        "--artifacts",
        "Directory for uploads and outputs. Default: artifacts, beside the database.",
        type=PATH,
        section=DATABASE,
    ),
    _option("--tls/--no-tls", "Serve HTTPS; a missing certificate is made.", default=True, section=SECURITY),
    _option("--cert", "TLS certificate.", type=PATH, default=Path("certs/master.crt"), section=SECURITY),
    _option("--key", "Its key.", type=PATH, default=Path("certs/master.key"), section=SECURITY),
    _option("--ca", "CA bundle that client certificates must chain to.", type=PATH, section=SECURITY),
    _option("--mtls/--no-mtls", "Require a client certificate.", default=False, section=SECURITY),
    _option("--generate-cert", "Write a certificate to --cert and --key, and exit.", is_flag=True, section=SECURITY),
    _option(
        "--cert-hosts", "More host names for a made certificate: a,b.", type=parameters.COMMA_LIST, section=SECURITY
    ),
    _option(
        "--cert-ips",
        "More IP addresses for a made certificate: 1.2.3.4,5.6.7.8.",
        type=parameters.COMMA_LIST,
        section=SECURITY,
    ),
    _option(
        "--api-key",
        "Admin key. Without one a key is made at first start, printed once and kept for this user.",
        env=("MASTER_API_KEY", "FFMPEG_RTMP_API_KEY"),
        section=SECURITY,
    ),
    _option("--no-auth", "No authentication; loopback only, for development.", is_flag=True, section=SECURITY),
    _option(
        "--presets",
        "Directory with presets of your own, NAME.toml (may be repeated); read at start.",
        type=PATH,
        multiple=True,
        section=WORK,
    ),
    _option(
        "--max-retries",
        "Attempts after the first, for failures that a retry can mend.",
        type=click.IntRange(0),
        default=3,
        section=WORK,
    ),
    _option(
        "--scheduler-interval",
        "Period of the background sweeps; a job never waits for it.",
        type=parameters.DURATION,
        default="5s",
        section=WORK,
    ),
    _option(
        "--retention",
        "Finished jobs older than this are removed; those sent with an Idempotency-Key, as the commands do, after 24h at least.",
        type=parameters.DURATION,
        default="7d",
        section=WORK,
    ),
    _option(
        "--lease-time",
        "An agent that is silent for this long loses its work to another; at least 3s.",
        type=parameters.DURATION,
        default="30s",
        section=WORK,
    ),
    _option(
        "--unsatisfiable-grace",
        "A job that no registered node can run is rejected after this time.",
        type=parameters.DURATION,
        default="60s",
        section=WORK,
    ),
    _option(
        "--stop-grace",
        "Requests may end in this time when the master is told to stop.",
        type=parameters.DURATION,
        default="10s",
        section=WORK,
    ),
    _option("--metrics/--no-metrics", "Serve /metrics and /health.", default=True, section=WATCHING),
    _option("--metrics-port", "Their port; 0 picks a free one.", type=PORT, default=9090, section=WATCHING),
    *serving.logging_options("master"),
    layered.config_option("master"),
]


@click.command(
    "master",
    cls=base.Command,
    params=_OPTIONS,
    examples=[
        "ffrtmp master",
        "ffrtmp master --host 127.0.0.1 --no-tls --no-auth",
        "ffrtmp master --db-dsn postgresql://ffrtmp@db.local/ffrtmp",
        "ffrtmp master --db-dsn postgresql://ffrtmp@db.local/ffrtmp --workers auto",
        "ffrtmp master --generate-cert --cert-hosts master.local --cert-ips 192.168.1.100",
        "FFRTMP_MASTER_PORT=9000 ffrtmp master --config /etc/ffrtmp.toml",
    ],
    notes="Each setting is a flag, an environment variable, or a key in the table [master] of the TOML file; "
    "a flag beats a variable, which beats the file. Switches take --tls=false too.",
)
def command(generate_cert: bool, ready_file: Path | None, **values: Any) -> int:
    """Run the master: the queue and its HTTP API."""
    serving.end_with_parent()
    settings = make_settings(values)
    if generate_cert:
        certs.write(settings.cert, settings.key, settings.cert_hosts, settings.cert_ips, overwrite=False)
        return 0
    from ffrtmp.master import app
    from ffrtmp.runtime import files
    from ffrtmp.telemetry import logs

    files.raise_limit()
    logs.configure(settings.log_level, settings.log_format)

    def on_ready(ready: app.Ready) -> None:
        serving.write_ready(ready_file, serving.plain(ready))

    if settings.workers != 1 and settings.postgres:
        from ffrtmp.cli import workers

        return serving.run(workers.run(settings, on_ready=on_ready))
    import uvloop

    return serving.run(app.run(settings, on_ready=on_ready), loop=uvloop.new_event_loop)


def make_settings(values: dict[str, Any]) -> "MasterSettings":
    from ffrtmp.master.settings import MasterSettings

    values["ttl_seconds"] = values.pop("lease_time")
    for name in ("scheduler_interval", "retention", "unsatisfiable_grace", "stop_grace"):
        values[f"{name}_seconds"] = values.pop(name)
    for name in ("cert_hosts", "cert_ips"):
        values[name] = tuple(values[name] or ())
    values["presets"] = tuple(values["presets"])
    values["api_key"] = values["api_key"] or ""
    values["db_dsn"] = values["db_dsn"] or ""
    return MasterSettings(**values)
