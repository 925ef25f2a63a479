"""Wires a master together and runs it until it is told to stop."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from ffrtmp.client import state
from ffrtmp.domain import errors
from ffrtmp.master import auth, certs, server
from ffrtmp.master.api import routes
from ffrtmp.master.context import Master
from ffrtmp.master.http import router
from ffrtmp.master.loops import sweeps
from ffrtmp.master.settings import MasterSettings
from ffrtmp.planning import library
from ffrtmp.runtime import collector
from ffrtmp.store import interface
from ffrtmp.telemetry import logs


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What is made once for a master, however many processes serve it. A worker gets it from its parent."""

    settings: MasterSettings
    api_key: str
    certificate: Path | None


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Where a started master listens. `api_key` "" with --no-auth."""

    url: str
    metrics_url: str | None
    api_key: str
    certificate: Path | None


async def run(
    settings: MasterSettings,
    *,
    given: Given | None = None,
    on_ready: Callable[[Ready], None] | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or `stop`; with `given`, as one of several processes on the same ports. Raises InvalidInput for
    settings that cannot work; returns the exit code."""
    shared = given is not None
    given = given or prepare(settings)
    log = logs.get("master")
    store = open_store(settings)
    listener = server.listen(settings.host, settings.port, "--port", shared=shared)
    scraped = (
        server.listen(settings.host, settings.metrics_port, "--metrics-port", shared=shared)
        if settings.metrics
        else None
    )
    master: Master | None = None
    try:
        await store.open()
        master = Master(settings, store, api_key=given.api_key)
        master.artifacts.open()
        await master.classes.reload()
        api = server.make(
            router.application(master, routes.ROUTES, schema=True), grace_seconds=settings.stop_grace_seconds
        )
        if settings.tls:
            server.use_tls(api, settings)
        serving = [asyncio.create_task(api.serve(sockets=[listener]))]
        servers = [api]
        if scraped is not None:
            metrics = server.make(router.application(master, routes.METRICS_ROUTES, schema=False), grace_seconds=1)
            serving.append(asyncio.create_task(metrics.serve(sockets=[scraped])))
            servers.append(metrics)
        sweeping = asyncio.create_task(sweeps.run(master))
        stop = stop or asyncio.Event()
        _handle_signals(stop)
        ready = where(given, listener, scraped)
        collector.calm()
        if shared:
            log.info("a worker is ready", pid=os.getpid())
        else:
            log.info("the master is ready", url=ready.url, metrics=ready.metrics_url, database=store.describe())
        if on_ready is not None:
            on_ready(ready)
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait({asked, sweeping, *serving}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        log.info("a worker is stopping" if shared else "the master is stopping")
        master.stopping.set()
        master.sweep_soon.set()
        # long-polls and event streams are released before uvicorn waits for requests to end
        master.dispatcher.stop()
        master.events.notify()
        for one in servers:
            one.should_exit = True
        await server.stopped(serving, settings.stop_grace_seconds)
        ended = await asyncio.gather(sweeping, *serving, return_exceptions=True)
        failures = [error for error in ended if isinstance(error, Exception)]
        for error in failures:
            log.error("a part of the master failed", exc_info=error)
        return 1 if failures else 0
    finally:
        for bound in (listener, scraped):
            if bound is not None:
                bound.close()
        if master is not None:
            master.artifacts.close()
        await store.close()


def prepare(settings: MasterSettings) -> Given:
    """Key and certificate, made where they are missing. Raises InvalidInput for settings that cannot work."""
    settings.check()
    library.load(settings.presets)  # a fault of theirs shows before anything is opened
    return Given(
        settings=settings,
        api_key="" if settings.no_auth else _api_key(settings),
        certificate=_certificate(settings),
    )


def where(given: Given, listener: socket.socket, scraped: socket.socket | None) -> Ready:
    """The addresses for those on this machine."""
    settings = given.settings
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    return Ready(
        url=f"{'https' if settings.tls else 'http'}://{host}:{listener.getsockname()[1]}",
        metrics_url=f"http://{host}:{scraped.getsockname()[1]}/metrics" if scraped else None,
        api_key=given.api_key,
        certificate=given.certificate,
    )


def open_store(settings: MasterSettings) -> interface.Store:
    """The store that the settings name, not opened yet."""
    if settings.postgres:
        from ffrtmp.store.postgres import PostgresStore

        return PostgresStore(settings.db_dsn)
    from ffrtmp.store.sqlite import SqliteStore

    return SqliteStore(settings.db)


def _api_key(settings: MasterSettings) -> str:
    """The given key, or the one made at the first start: printed once, then kept where this user's programs find it."""
    if settings.api_key:
        return settings.api_key
    if kept := state.read_api_key():
        logs.get("master").info("the API key of an earlier start holds", file=str(state.folder() / state.API_KEY_FILE))
        return kept
    key = auth.new_key()
    try:
        path = state.write_api_key(key)
    except OSError as error:
        raise errors.InvalidInput(
            f"The API key cannot be kept in {state.folder()} ({error.strerror}); set FFRTMP_STATE_DIR, or give --api-key."
        ) from error
    print(  # noqa: T201 - shown once, on the terminal that started the master, and never logged
        f"API key, shown once and kept in {path}:\n  {key}", file=sys.stderr, flush=True
    )
    return key


def _certificate(settings: MasterSettings) -> Path | None:
    """With TLS: the certificate, made when it is missing, and left where this user's programs trust it."""
    if not settings.tls:
        return None
    made = certs.ensure(settings.cert, settings.key, hosts=settings.cert_hosts, ips=settings.cert_ips)
    if made:
        logs.get("master").warning(
            "a self-signed certificate was made; use one from a CA where others connect",
            cert=str(settings.cert),
            key=str(settings.key),
        )
    try:
        state.write_certificate(settings.cert.read_text())
    except (OSError, UnicodeDecodeError) as error:
        logs.get("master").warning("local programs will need --ca", cert=str(settings.cert), reason=str(error))
    return settings.cert


def _handle_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
