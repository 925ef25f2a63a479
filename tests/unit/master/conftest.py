"""A real master in this process, on a free port, with a fresh SQLite file."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from ffrtmp.master import app, context
from ffrtmp.master.settings import MasterSettings
from ffrtmp.testing.world import World

CAPABILITIES: dict[str, Any] = {
    "engines": {"ffmpeg": "9.0"},
    "encoders": [
        {"name": "libx264", "codec": "h264", "engine": "ffmpeg", "works": True},
        {"name": "libvpx-vp9", "codec": "vp9", "engine": "ffmpeg", "works": True},
    ],
    "media_roots": ["/srv/media"],
}


class Running:
    """A started master and a client for it."""

    def __init__(self, ready: app.Ready, client: httpx.AsyncClient, settings: MasterSettings) -> None:
        self.ready = ready
        self.client = client
        self.settings = settings

    async def send(self, method: str, path: str, *, expect: int | None = None, **options: Any) -> Any:
        """The JSON of the answer, whose status must be `expect` (None: any below 400)."""
        answer = await self.client.request(method, path, **options)
        assert answer.status_code == expect if expect else answer.status_code < 400, answer.text
        return answer.json() if answer.content else None

    async def submit(self, expect: int = 201, **body: Any) -> Any:
        return await self.send("POST", "/jobs", expect=expect, json={"scenario": "720p30-h264", **body})

    async def node(self, name: str = "a", **body: Any) -> "NodeClient":
        sent = {
            "name": name,
            "incarnation": f"{name}-1",
            "slots": 2,
            "cpu_threads": 4,
            "capabilities": CAPABILITIES,
            **body,
        }
        return NodeClient(self, await self.send("POST", "/nodes/register", json=sent), sent["incarnation"])


class NodeClient:
    """Speaks the agent's protocol by hand."""

    def __init__(self, master: Running, registered: Any, incarnation: str) -> None:
        self.master = master
        self.id = registered["id"]
        self.credential = registered.get("credential", "")
        self.incarnation = incarnation
        self._requests = 0

    async def lease(self, *, slots: int = 1, wait: float = 0.0, attempts: tuple[str, ...] = (), **options: Any) -> Any:
        self._requests += 1
        body = {
            "incarnation": self.incarnation,
            "request_id": f"{self.incarnation}-{self._requests}",
            "free_slots": slots,
            "wait_seconds": wait,
            "attempts": list(attempts),
        }
        return await self.master.send("POST", f"/nodes/{self.id}/lease", json=body, **options)

    async def beat(self, *attempts: dict[str, Any], **options: Any) -> Any:
        body = {"incarnation": self.incarnation, "attempts": list(attempts)}
        return await self.master.send("POST", f"/nodes/{self.id}/heartbeat", json=body, **options)

    async def stops(self) -> None:
        """Says, as an agent that was told to stop, that it takes no more work."""
        body = {"incarnation": self.incarnation, "attempts": [], "drain": True}
        await self.master.send("POST", f"/nodes/{self.id}/heartbeat", json=body)

    async def report(self, attempt_id: str, verb: str, *, expect: int | None = None, **body: Any) -> Any:
        sent = {"node_id": self.id, "incarnation": self.incarnation, **body}
        return await self.master.send("POST", f"/attempts/{attempt_id}/{verb}", expect=expect, json=sent)


async def run_master(settings: MasterSettings) -> AsyncIterator[Running]:
    ready: asyncio.Future[app.Ready] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    running = asyncio.create_task(app.run(settings, on_ready=ready.set_result, stop=stop))
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    found = ready.result()
    headers = {"Authorization": f"Bearer {found.api_key}"} if found.api_key else {}
    verify = ssl.create_default_context(cafile=found.certificate) if found.certificate else True
    async with httpx.AsyncClient(
        base_url=found.url, headers=headers, verify=verify, timeout=30, trust_env=False
    ) as client:
        yield Running(found, client, settings)
        stop.set()
        assert await running == 0


#: for the modules whose tests reach the store: each of them runs over both databases
both_databases = pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "sqlite")


@pytest.fixture
def settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, request: pytest.FixtureRequest
) -> MasterSettings:
    monkeypatch.setenv("FFRTMP_STATE_DIR", str(tmp_path / "state"))
    return MasterSettings(
        host="127.0.0.1",
        port=0,
        metrics_port=0,
        tls=False,
        no_auth=True,
        db=tmp_path / "master.db",
        db_dsn=request.getfixturevalue("database") if kind == "postgres" else "",
        artifacts=tmp_path / "artifacts",
        stop_grace_seconds=2,
    )


@pytest.fixture
async def master(settings: MasterSettings) -> AsyncIterator[Running]:
    async for running in run_master(settings):
        yield running


@pytest.fixture
async def keyed(settings: MasterSettings) -> AsyncIterator[Running]:
    """With a key."""
    changed = msgspec.structs.replace(settings, no_auth=False, api_key="the-admin-key")
    async for running in run_master(changed):
        yield running


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A master without its HTTP side."""

    def __init__(self, settings: MasterSettings, store: Any) -> None:
        self.clock = _Clock()
        self.store = store
        self.world = World(store)
        self.master = context.Master(settings, store, api_key="", clock=self.clock)
        self.master.artifacts.open()


@pytest.fixture
async def bench(settings: MasterSettings) -> AsyncIterator[Bench]:
    """With a grace of one microsecond: by the database's clock any job has waited longer."""
    changed = msgspec.structs.replace(settings, unsatisfiable_grace_seconds=1e-6)
    store = app.open_store(changed)
    await store.open()
    yield Bench(changed, store)
    await store.close()
