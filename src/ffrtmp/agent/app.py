"""Wires an agent together and runs it until it is told to stop."""

import asyncio
import random
import signal
import sys
from collections.abc import Callable

import msgspec

from ffrtmp.agent import capabilities, shell
from ffrtmp.agent.backoff import worth_a_line
from ffrtmp.agent.gpus import Gpus
from ffrtmp.agent.inspector import Inspector
from ffrtmp.agent.kit import Kit
from ffrtmp.agent.monitor import Monitor
from ffrtmp.agent.moves import Config
from ffrtmp.agent.settings import AgentSettings, cores
from ffrtmp.agent.workdir import WorkDir
from ffrtmp.client import http
from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.process import energy
from ffrtmp.process.confine import Limiter
from ffrtmp.protocol import agent
from ffrtmp.telemetry import logs, metrics

_log = logs.get("agent")

#: decoding costs a twentieth of an encode: with these it is never what is waited for, and memory stays bounded
_INSPECT_THREADS = 4
#: exit code of an agent whose key is not accepted (docs/cli.md)
_DENIED = 7


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that joined its master."""

    name: str
    node_id: str
    master: str
    metrics_url: str | None
    slots: int


async def run(
    settings: AgentSettings,
    *,
    on_ready: Callable[[Ready], None] | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or `stop` (the first drains, a second gives everything back at once). Without `register`:
    print what was detected. Raises InvalidInput for settings that cannot work, Unavailable for a master that it
    cannot trust; returns the exit code."""
    settings.check()
    work = WorkDir(settings.work)
    swept = await asyncio.to_thread(work.open)
    if swept:
        _log.info("removed what an earlier run left", paths=swept)
    try:
        try:
            found = await capabilities.detect(settings, work.path)
        except errors.TaskError as error:
            raise errors.InvalidInput(error.message) from error
        if not settings.register:
            _show(settings, capabilities.registration(settings, found, work.origin))
            return 0
        limiter = await asyncio.to_thread(Limiter.open, work.path / "cgroups", work.origin)
        found = msgspec.structs.replace(found, limits=limiter.means)
        return await _serve(settings, work, found, limiter, on_ready, stop or asyncio.Event())
    finally:
        work.close()


def _show(settings: AgentSettings, register: agent.Register) -> None:
    as_json = settings.log_format == "json" or (settings.log_format is None and not sys.stdout.isatty())
    if as_json:
        shown = msgspec.structs.asdict(
            register
        )  # with the values that the wire leaves out because they are the defaults
        for of_a_run in ("incarnation", "origin"):
            shown.pop(of_a_run)
        text = msgspec.json.format(msgspec.json.encode(shown)).decode()
    else:
        text = capabilities.describe(register)
    sys.stdout.write(text + "\n")


async def _serve(
    settings: AgentSettings,
    work: WorkDir,
    found: capabilities.Found,
    limiter: Limiter,
    on_ready: Callable[[Ready], None] | None,
    stop: asyncio.Event,
) -> int:
    register = capabilities.registration(settings, found, work.origin)
    presses = _handle_signals(stop)
    rng = random.SystemRandom()
    registry = metrics.Registry(metrics.AGENT)
    running: list[shell.Shell] = []
    monitor = Monitor(registry, lambda: bool(running) and running[0].registered)
    metrics_url = None
    if settings.metrics:
        port = await monitor.start(settings.metrics_host, settings.metrics_port)
        host = "127.0.0.1" if settings.metrics_host in ("0.0.0.0", "::") else settings.metrics_host  # noqa: S104
        metrics_url = f"http://{host}:{port}/metrics"
    inspector = Inspector()
    warming = asyncio.create_task(inspector.warm_up())
    client: Client | None = None
    try:
        client = await _connect(settings, stop, rng)
        if client is None:
            return 0

        def registered(reply: agent.Registered) -> None:
            nonlocal on_ready
            if on_ready is not None:
                told, on_ready = on_ready, None
                told(
                    Ready(
                        name=reply.name,
                        node_id=reply.id,
                        master=client.base_url,
                        metrics_url=metrics_url,
                        slots=settings.slots,
                    )
                )

        one = shell.Shell(
            Config(settings.slots, settings.poll_interval_seconds, settings.heartbeat_interval_seconds),
            client,
            register,
            registry,
            rng,
            on_registered=registered,
        )
        one.kit = Kit(
            tools=found.tools,
            encoders=found.tried.encoders,
            decoders=found.tried.decoders,
            muxers=found.tried.muxers,
            gpus=Gpus(settings.gpu_sessions),
            roots=settings.roots,
            work=work,
            inspector=inspector,
            master=one,
            threads=settings.threads,
            private_targets=settings.private_targets,
            inspect_threads=min(max(1, cores() // settings.slots), _INSPECT_THREADS),
            limiter=limiter,
            meters=energy.Meters(await asyncio.to_thread(energy.sources)),
        )
        running.append(one)
        await warming
        stopping = asyncio.create_task(_stop_when_told(one, stop, presses, settings.stop_grace_seconds))
        ended = await one.run()
        stopping.cancel()
        if ended.code:
            hint = (
                {"hint": "give the master's key with --api-key or FFMPEG_RTMP_API_KEY"} if ended.code == _DENIED else {}
            )
            _log.error("the master refuses this node", why=ended.message, **hint)
        return ended.code
    finally:
        if client is not None:
            await client.aclose()
        warming.cancel()
        await inspector.close()
        await monitor.close()


async def _connect(settings: AgentSettings, stop: asyncio.Event, rng: random.Random) -> Client | None:
    """Wait for the master, however long; None when told to stop meanwhile. Raises Unavailable for what waiting does not mend."""
    failures = 0
    while not stop.is_set():
        try:
            return await Client.connect(
                settings.masters,
                api_key=settings.api_key,
                ca=settings.ca,
                cert=settings.cert,
                key=settings.key,
                insecure=settings.insecure_skip_verify,
                on_change=_changed,
            )
        except errors.Unavailable as error:
            if error.code in http.UNTRUSTED:
                raise
            failures += 1
            if worth_a_line(failures):
                _log.warning("waiting for the master", why=error.message)
            try:
                async with asyncio.timeout(http.backoff(failures, error.retry_after_seconds, rng)):
                    await stop.wait()
            except TimeoutError:
                continue
    return None


def _changed(before: str, to: str, why: str) -> None:
    _log.warning("master changed", **{"from": before, "to": to, "why": why})


def _handle_signals(stop: asyncio.Event) -> asyncio.Event:
    """The second signal sets what is returned."""
    again = asyncio.Event()

    def told() -> None:
        (again if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, told)
    return again


async def _stop_when_told(one: shell.Shell, stop: asyncio.Event, again: asyncio.Event, grace_seconds: float) -> None:
    await stop.wait()
    _log.info("stopping; what runs may finish", grace_seconds=grace_seconds)
    one.stop(grace_seconds)
    await again.wait()
    _log.info("stopping now; what runs is given back")
    one.stop(0.0)
