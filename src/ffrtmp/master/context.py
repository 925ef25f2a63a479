"""What the routes and sweeps share: one object per master, made by `app`."""

import asyncio
import random
import time
from collections.abc import Callable

import uuid_utils

from ffrtmp.master import artifacts, auth, dispatch
from ffrtmp.master.settings import MasterSettings
from ffrtmp.planning import library
from ffrtmp.store import interface
from ffrtmp.telemetry import logs, metrics


def new_id() -> str:
    """A time-ordered UUID (version 7, RFC 9562): fresh ids land at the end of the index."""
    return str(uuid_utils.uuid7())


class Master:
    def __init__(
        self,
        settings: MasterSettings,
        store: interface.Store,
        *,
        api_key: str,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.store = store
        self.auth = auth.Auth(api_key, store)
        self.classes = dispatch.ClassBook(store)
        self.presets = library.load(settings.presets)
        self.artifacts = artifacts.Artifacts(settings.artifacts_dir)
        self.metrics = metrics.Registry(metrics.MASTER)
        self.traffic = Traffic(self.metrics)
        self.events = EventHub()
        self.clock = clock
        self.rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self.dispatcher = dispatch.Dispatcher(
            self.classes, backstop=lambda: dispatch.backstop_seconds(store.hints, self.rng), clock=clock
        )
        self.log = logs.get("master")
        self.started = clock()
        self.stopping = asyncio.Event()
        self.hopeless: dict[int, float] = {}  #: class that no node satisfies → since when
        self.sweep_soon = asyncio.Event()  #: a retry was scheduled: the promote sweep looks when it is due


class Traffic:
    """Requests and bytes of the API. This is counted at every request: each counter is looked up once."""

    def __init__(self, registry: metrics.Registry) -> None:
        self._registry = registry
        self._requests: dict[tuple[str, int], Callable[[], None]] = {}
        self.bytes_in = registry.counter("scheduler_http_bandwidth_bytes_total", "in").inc
        self.bytes_out = registry.counter("scheduler_http_bandwidth_bytes_total", "out").inc

    def answered(self, key: tuple[str, int]) -> None:
        """`key`: route, and class of the status (2 for 2xx)."""
        count = self._requests.get(key)
        if count is None:
            route, kind = key
            count = self._requests[key] = self._registry.counter("ffrtmp_http_requests_total", route, f"{kind}xx").inc
        count()


class EventHub:
    """Wakes event streams when something was committed. They read from the store; this only says when."""

    def __init__(self) -> None:
        self._waiting: asyncio.Event | None = None

    def notify(self) -> None:
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None

    async def changed(self, timeout: float) -> None:
        """Return at the next change, or after `timeout` seconds."""
        waiting = self._waiting = self._waiting or asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                await waiting.wait()
        except TimeoutError:
            return
