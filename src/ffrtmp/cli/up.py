"""`ffrtmp up`: a master and an agent on this machine, as two programs that this one starts, watches and stops."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import click

from ffrtmp.cli import base, exits, layered, parameters, serving, supervise
from ffrtmp.cli.serving import PORT
from ffrtmp.domain import errors

_DEFAULT_PORT = 8080
_MASTER_METRICS, _AGENT_METRICS = 9090, 9091
#: whoever stops it waits for this: what runs goes back to the queue
_AGENT_GRACE = "2s"
#: where the address stands while it runs, for whoever starts a second one
_URL_FILE = "url"


@click.command(
    "up",
    cls=base.Command,
    params=[
        serving.setting("up", "--port", "Port of the master; 0 picks a free one.", type=PORT, default=_DEFAULT_PORT),
        serving.setting(
            "up",
            "--media-root",
            "Directory that jobs may read and write in place (may be repeated). Default: the current one.",
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            multiple=True,
        ),
        serving.setting(
            "up", "--max-concurrent-jobs", "Jobs at the same time; auto picks by cores.",
            type=parameters.SLOTS, default="auto",
        ),
        serving.setting(
            "up", "--presets", "Directory with presets of your own, NAME.toml (may be repeated).",
            type=click.Path(path_type=Path, exists=True, file_okay=False), multiple=True,
        ),
        serving.setting("up", "--temporary", "Keep nothing: everything is gone when it stops.", is_flag=True),
        layered.config_option("up"),
    ],
    examples=["ffrtmp up", "ffrtmp up --media-root ~/Videos", "ffrtmp up --temporary --port 0"],
    notes="It listens on 127.0.0.1 only. The queue and uploads are kept in the user's state folder ($FFRTMP_STATE_DIR). "
    "Ctrl-C stops both programs; running jobs go on from the queue at the next start.",
)  # fmt: skip
def command(
    port: int,
    media_root: tuple[Path, ...],
    max_concurrent_jobs: int | str,
    presets: tuple[Path, ...],
    temporary: bool,
) -> int:
    """Start a master and an agent on this machine."""
    with contextlib.ExitStack() as stack:
        folder = _kept() if not temporary else stack.enter_context(supervise.temporary_folder("ffrtmp-up-"))
        return asyncio.run(_up(folder, port, media_root or (Path.cwd(),), max_concurrent_jobs, presets))


def _kept() -> supervise.Folder:
    """Where this farm keeps its things."""
    from ffrtmp.client import state
    from ffrtmp.store import sqlite_guard

    folder = state.folder() / "up"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise click.UsageError(f"{folder} cannot be made ({error.strerror}); set FFRTMP_STATE_DIR.") from None
    try:
        os.close(sqlite_guard.lock(folder / "master.db"))
    except sqlite_guard.StoreLocked as locked:
        if locked.leaving:
            raise errors.Conflict(f"An earlier `ffrtmp up` with {folder} is still ending; try again soon.") from None
        at = f" at {url}" if (url := _read(folder / _URL_FILE)) else ""
        raise errors.Conflict(
            f"Another `ffrtmp up` runs{at}, with {folder}. Use that one, or give this one its own place: --temporary, or"
            " another FFRTMP_STATE_DIR."
        ) from None
    return supervise.Folder(folder)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def free(port: int) -> bool:
    """Whether this machine would let us listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def _up(
    place: supervise.Folder, port: int, roots: tuple[Path, ...], slots: int | str, presets: tuple[Path, ...]
) -> int:
    if port and not free(port):
        raise errors.Conflict(f"Port {port} is in use: another master? Choose another with --port, or --port 0.")
    folder, temporary = place.path, place.held is not None
    environment = serving.child_environment()
    if temporary:
        environment["FFRTMP_STATE_DIR"] = str(folder)
    # who lets any port do has several of these at once: between looking and listening another could take the usual one
    scraped = {usual: usual if port and free(usual) else 0 for usual in (_MASTER_METRICS, _AGENT_METRICS)}
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    (folder / _URL_FILE).unlink(missing_ok=True)  # of one that was killed
    async with supervise.Programs(environment, place, stop) as programs:
        master = await programs.start(
            "master",
            ["--host", "127.0.0.1", "--port", str(port), "--no-tls", "--db", str(folder / "master.db"),
             "--metrics-port", str(scraped[_MASTER_METRICS]),
             *(f"--presets={one.resolve()}" for one in presets)],
        )  # fmt: skip
        url = str(master["url"])
        (folder / _URL_FILE).write_text(f"{url}\n")
        agent = await programs.start(
            "agent",
            ["--register", "--master", url, "--max-concurrent-jobs", str(slots), "--work-dir", str(folder / "work"),
             "--stop-grace", _AGENT_GRACE, "--private-targets",
             "--metrics-host", "127.0.0.1", "--metrics-port", str(scraped[_AGENT_METRICS]),
             *(f"--media-root={root.resolve()}" for root in roots)],
        )  # fmt: skip
        _tell(master, agent, url, roots, folder if temporary else None)
        ended = await programs.until_one_ends()
        (folder / _URL_FILE).unlink(missing_ok=True)
        if ended is None:
            click.echo("\nStopping...", err=True)
        else:
            click.echo(f"error: the {ended} has ended by itself. {programs.said(ended)}", err=True)
            return exits.Exit.FAILED
    click.echo("Stopped." + ("" if temporary else f" The queue is kept in {folder}."), err=True)
    return exits.Exit.OK


def _tell(
    master: dict[str, object], agent: dict[str, object], url: str, roots: tuple[Path, ...], temporary: Path | None
) -> None:
    address = url.partition("//")[2]
    there = "" if address.endswith(f":{_DEFAULT_PORT}") else f" --master {url}"
    click.echo(f"Master   {url}")
    click.echo(f"Metrics  {master.get('metrics_url')}  {agent.get('metrics_url')}")
    click.echo(f"Agent    reads and writes under {', '.join(str(root.resolve()) for root in roots)}")
    click.echo("\nTry it in another terminal:")
    if temporary:
        click.echo(f"  export FFRTMP_STATE_DIR={temporary}")
    click.echo(f"  ffrtmp jobs submit --scenario 720p30-h264 --duration 10 --follow{there}")
    click.echo(f"  ffrtmp transcode IN.mov OUT.mp4{there}")
    click.echo("\nCtrl-C stops it.")
    sys.stdout.flush()
