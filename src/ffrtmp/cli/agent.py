"""`ffrtmp agent`"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffrtmp.cli import base, layered, parameters, serving
from ffrtmp.cli.serving import NETWORK, PATH, PORT, SECURITY, WATCHING, WORK

if TYPE_CHECKING:
    from ffrtmp.agent.settings import AgentSettings


def _option(flag: str, help: str, **settings: Any) -> base.Option:
    return serving.setting("agent", flag, help, **settings)


_OPTIONS: list[click.Parameter] = [
    _option(
        "--master",
        "The master; or several of one farm: a,b (may be repeated).",
        multiple=True,
        default=("http://localhost:8080",),
        section=NETWORK,
    ),
    _option(
        "--register", "Join the master. Without it: print what was found here, and exit.", is_flag=True, section=NETWORK
    ),
    _option("--name", "Name of this node; no two live agents share one. Default: the host name.", section=NETWORK),
    _option(
        "--poll-interval",
        "Longest wait of one long-poll; work comes at once all the same.",
        type=parameters.DURATION,
        default="10s",
        section=NETWORK,
    ),
    _option(
        "--heartbeat-interval", "Period of the heartbeat.", type=parameters.DURATION, default="30s", section=NETWORK
    ),
    _option(
        "--api-key",
        "The master's key. On the master's own machine it is found without.",
        env=("FFMPEG_RTMP_API_KEY", "MASTER_API_KEY"),
        section=SECURITY,
    ),
    _option("--cert", "Client certificate.", type=PATH, section=SECURITY),
    _option("--key", "Its key.", type=PATH, section=SECURITY),
    _option("--ca", "Certificates to trust for the master.", type=PATH, section=SECURITY),
    _option(
        "--insecure-skip-verify",
        "Do not check the master's certificate (development only).",
        is_flag=True,
        section=SECURITY,
    ),
    _option(
        "--max-concurrent-jobs",
        "Jobs at the same time; auto picks by cores.",
        type=parameters.SLOTS,
        default="1",
        section=WORK,
    ),
    _option(
        "--gpu-sessions",
        "Hardware encodes at the same time, on all GPUs together; what comes beyond is encoded in software, or waits where"
        " hardware was named. Default: as many as the driver lets.",
        type=int,
        section=WORK,
    ),
    _option(
        "--generate-input/--no-generate-input",
        "Make a synthetic clip for a job without input.",
        default=True,
        section=WORK,
    ),
    _option(
        "--private-targets/--no-private-targets",
        "Let jobs stream to this machine and to addresses of private networks too.",
        default=False,
        section=WORK,
    ),
    _option("--work-dir", "Scratch space, swept at start. Default: in the user's cache.", type=PATH, section=WORK),
    _option(
        "--media-root",
        "Directory that jobs may read and write (may be repeated). Default: the current one.",
        type=PATH,
        multiple=True,
        section=WORK,
    ),
    _option(
        "--label",
        "key=value that jobs may require (may be repeated).",
        type=parameters.LABEL,
        multiple=True,
        section=WORK,
    ),
    _option("--ffmpeg", "Another ffmpeg than the one that came along.", section=WORK),
    _option("--gst-launch", "Another gst-launch-1.0 than the one in PATH (GStreamer is optional).", section=WORK),
    _option(
        "--stop-grace",
        "What runs may finish in this time when the agent is told to stop; then it goes to another.",
        type=parameters.DURATION,
        default="30s",
        section=WORK,
    ),
    _option("--metrics/--no-metrics", "Serve /metrics, /health and /ready.", default=True, section=WATCHING),
    _option("--metrics-port", "Their port; 0 picks a free one.", type=PORT, default=9091, section=WATCHING),
    _option("--metrics-host", "Address to serve them on.", default="0.0.0.0", section=WATCHING),  # noqa: S104
    *serving.logging_options("agent"),
    layered.config_option("agent"),
]


@click.command(
    "agent",
    cls=base.Command,
    params=_OPTIONS,
    examples=[
        "ffrtmp agent",
        "ffrtmp agent --register --master https://master.local:8080 --ca master.crt",
        "ffrtmp agent --register --master https://m1:8080,https://m2:8080 --ca farm-ca.crt",
        "ffrtmp agent --register --max-concurrent-jobs auto --media-root /srv/video",
        "FFRTMP_AGENT_LABEL='rack=b2' ffrtmp agent --register --config /etc/ffrtmp.toml",
    ],
    notes="Each setting is a flag, an environment variable, or a key in the table [agent] of the TOML file; "
    "a flag beats a variable, which beats the file. Switches take --register=true too. In a variable, labels stand with spaces "
    "between them and media roots with colons; in the file both are lists.",
)
def command(ready_file: Path | None, **values: Any) -> int:
    """Run an agent: the program that encodes on this machine."""
    serving.end_with_parent()
    settings = make_settings(values)
    from ffrtmp.agent import app
    from ffrtmp.telemetry import logs

    logs.configure(settings.log_level, settings.log_format)
    return serving.run(app.run(settings, on_ready=lambda ready: serving.write_ready(ready_file, serving.plain(ready))))


def make_settings(values: dict[str, Any]) -> "AgentSettings":
    from ffrtmp.agent.settings import AgentSettings
    from ffrtmp.client import masters

    for name in ("poll_interval", "heartbeat_interval", "stop_grace"):
        values[f"{name}_seconds"] = values.pop(name)
    values["labels"] = dict(values.pop("label"))
    values["media_roots"] = tuple(values.pop("media_root"))
    values["masters"] = masters.split(values.pop("master"))
    for name in ("name", "api_key"):
        values[name] = values[name] or ""
    return AgentSettings(**values)
