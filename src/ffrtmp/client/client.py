"""The master's API as methods. Answers are `protocol.views`; faults are `domain.errors`."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec

from ffrtmp.client import bulk, http, masters, stream, worker
from ffrtmp.domain import errors
from ffrtmp.protocol import agent, views
from ffrtmp.transfer import local

if TYPE_CHECKING:
    import httpx

DEFAULT_MASTER = f"localhost:{masters.DEFAULT_PORT}"
#: calls that may be repeated are, this many times in all
_TRIES = 4
#: a follower lives through a restart of the master
_STREAM_TRIES = 10


class Client(worker.WorkerCalls):
    """An async context manager. Safe for many tasks at once. `master`: its base URL, or those of several (see `connect`).

    `api_key`: sent as a bearer token. `ca`: certificates to trust; without it the system's roots and the local master's own
    certificate. `insecure`: trust anyone (warns). `timeout`: seconds for one answer. `key_from`: where the key came from, to be
    named when it is refused. Every method raises a `domain.errors`
    error; `Unavailable` when the master cannot be reached.
    """

    def __init__(
        self,
        master: str | Iterable[str],
        *,
        api_key: str = "",
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        insecure: bool = False,
        timeout: float = 30.0,
        key_from: str = "",
        transport: "httpx.AsyncBaseTransport | None" = None,
        find: bool = False,
        on_change: masters.OnChange | None = None,
    ) -> None:
        for url in () if find else (master,) if isinstance(master, str) else master:
            if urlsplit(url).scheme not in ("http", "https"):
                raise errors.InvalidInput(
                    f"The master's address {url!r} must begin with http:// or https://; a bare host:port goes through"
                    " Client.connect."
                )
        if insecure:
            from ffrtmp.telemetry import logs

            logs.get("client").warning(
                "the master's certificate is not checked (--insecure-skip-verify): anyone can pose as it"
            )
        self._wire = http.Http(
            master,
            api_key=api_key,
            trust=http.Trust(ca=ca, cert=cert, key=key, insecure=insecure),
            timeout=timeout,
            rng=random.Random(),  # noqa: S311 - spreads clients and retries, guards nothing
            transport=transport,
            key_from=key_from,
            find=find,
            on_change=on_change,
        )

    @classmethod
    async def connect(
        cls,
        master: str | Iterable[str] = DEFAULT_MASTER,
        *,
        api_key: str = "",
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        insecure: bool = False,
        timeout: float = 30.0,
        key_from: str = "",
        on_change: masters.OnChange | None = None,
    ) -> "Client":
        """Find out how the master speaks: a bare `host:port` is tried with TLS, then without; `http://` also with TLS where a
        plain answer does not come; `https://` only so. Without `api_key`, a master on this machine gets the key of the
        user's state folder.

        Several masters of one farm (`a:8080,b:8080`, or a list): one is chosen at random and kept while it answers; a call that
        it does not answer goes to the next at once, and `on_change` is told (from, to, why). Raises InvalidInput for what is no
        address, Unavailable naming each that was tried."""
        client = cls(
            master,
            api_key=api_key,
            ca=ca,
            cert=cert,
            key=key,
            insecure=insecure,
            timeout=timeout,
            key_from=key_from,
            find=True,
            on_change=on_change,
        )
        try:
            await client._wire.find()
        except BaseException:
            await client.aclose()
            raise
        return client

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._wire.aclose()

    @property
    def base_url(self) -> str:
        """Of the master that is asked at present."""
        return self._wire.base_url

    # jobs

    async def submit(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> views.JobView:
        """Safe to repeat after any failure with the same key; a random one is used when none is given."""
        headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(18)}
        return await self._wire.call("POST", "/jobs", views.JobView, body=body, headers=headers, tries=_TRIES)

    async def submit_batch(
        self, bodies: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> views.BatchView:
        headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(18)}
        return await self._wire.call(
            "POST", "/jobs/batch", views.BatchView, body={"jobs": list(bodies)}, headers=headers, tries=_TRIES
        )

    async def job(self, ref: str | int, *, follow: bool = False) -> views.JobView:
        """`ref`: id or sequence number. `follow` asks its agent for progress every second for a while."""
        return await self._get(_job(ref), views.JobView, {"follow": "true"} if follow else None)

    async def jobs(
        self,
        *,
        state: Sequence[str] = (),
        queue: str | None = None,
        priority: str | None = None,
        engine: str | None = None,
        scenario: str | None = None,
        node: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> views.JobPage:
        """Newest first. `cursor`: the `next_cursor` of the page before."""
        named = {
            "queue": queue,
            "priority": priority,
            "engine": engine,
            "scenario": scenario,
            "node": node,
            "limit": None if limit is None else str(limit),
            "cursor": cursor,
        }
        params = [(name, value) for name, value in named.items() if value is not None]
        params += [("state", each) for each in state]
        params += [("tag", f"{name}:{value}") for name, value in (tags or {}).items()]
        return await self._get("/jobs", views.JobPage, params)

    async def cancel(self, ref: str | int) -> views.ChangeView:
        return await self._change(ref, "cancel")

    async def pause(self, ref: str | int) -> views.ChangeView:
        return await self._change(ref, "pause")

    async def resume(self, ref: str | int) -> views.ChangeView:
        return await self._change(ref, "resume")

    async def retry(self, ref: str | int, *, idempotency_key: str | None = None) -> views.ChangeView:
        """Makes a new job that names the old one; safe to repeat with the same key, as `submit` is."""
        return await self._change(ref, "retry", {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(18)})

    async def logs(self, ref: str | int) -> views.LogsView:
        return await self._get(f"{_job(ref)}/logs", views.LogsView)

    async def tasks(self, ref: str | int) -> views.TasksView:
        return await self._get(f"{_job(ref)}/tasks", views.TasksView)

    async def explain(self, ref: str | int) -> views.ExplainView:
        return await self._get(f"{_job(ref)}/explain", views.ExplainView)

    async def outputs(self, ref: str | int) -> views.OutputsView:
        return await self._get(f"{_job(ref)}/outputs", views.OutputsView)

    async def history(self, ref: str | int) -> views.EventsView:
        """The events of a job so far, however many."""
        page = await self._get(f"{_job(ref)}/events", views.EventsView)
        found = list(page.events)
        while page.next_cursor is not None:
            page = await self._get(f"{_job(ref)}/events", views.EventsView, {"cursor": page.next_cursor})
            found += page.events
        return views.EventsView(events=found, count=len(found))

    async def events(self, *, job: str | None = None, after: int | None = None) -> AsyncIterator[views.EventView]:
        """Job, task and node changes as they happen, for ever; goes on where it was after a broken connection. `after`: the
        `seq` of the last event seen; None: from now on. A refusal (401, 404, …) is raised."""
        import httpx

        params = {"job": job} if job else None
        last = None if after is None else str(after)
        failures = 0
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last is not None else {})}
            pause: float | None = None
            try:
                async with self._wire.stream(
                    "GET", "/events", params=params, headers=headers, timeout=httpx.Timeout(10.0, read=60.0)
                ) as reply:
                    failures = 0
                    async for message in stream.messages(reply.aiter_lines()):
                        last, pause = message.id or last, message.retry_seconds or pause
                        yield msgspec.json.decode(message.data, type=views.EventView)
            except errors.Unavailable as error:
                failures += 1
                if failures == _STREAM_TRIES:
                    raise
                pause = error.retry_after_seconds
            await asyncio.sleep(http.backoff(max(failures, 1), pause, self._wire.rng))

    # nodes, queue, health

    async def nodes(self) -> views.NodePage:
        return await self._get("/nodes", views.NodePage)

    async def node(self, ref: str) -> views.NodeView:
        """By id or name."""
        return await self._get(_node(ref), views.NodeView)

    async def drain(self, ref: str, *, on: bool = True) -> views.NodeView:
        return await self._wire.call(
            "POST", f"{_node(ref)}/drain", views.NodeView, params=None if on else {"on": "false"}, tries=_TRIES
        )

    async def remove_node(self, ref: str) -> None:
        await self._wire.call("DELETE", _node(ref), type(None), tries=_TRIES)

    async def presets(self) -> views.PresetsView:
        return await self._get("/presets", views.PresetsView)

    async def preset(self, name: str) -> views.PresetView:
        return await self._get(f"/presets/{quote(name, safe='')}", views.PresetView)

    async def queue(self) -> views.QueueView:
        return await self._get("/queue", views.QueueView)

    async def health(self) -> views.HealthView:
        return await self._get("/health", views.HealthView)

    # files

    async def upload(
        self,
        path: Path,
        *,
        name: str | None = None,
        sha256: str | None = None,
        on_progress: bulk.OnProgress | None = None,
    ) -> agent.UploadStatus:
        """Send a file to the artifact store; goes on where it was after a broken connection."""
        return await bulk.upload(self._wire, path, name=name, sha256=sha256, on_progress=on_progress)

    async def download(
        self,
        ref: str | int,
        name: str | None,
        dest: Path,
        *,
        on_progress: bulk.OnProgress | None = None,
        overwrite: bool = False,
    ) -> views.OutputView:
        """Fetch an output of a job (None: its only one) into the file `dest`."""
        found = (await self.outputs(ref)).outputs
        chosen = [output for output in found if name is None or output.name == name]
        if len(chosen) != 1:
            names = ", ".join(output.name for output in found) or "none yet"
            asked = f"no output {name!r}" if name else "not exactly one output"
            raise errors.NotFound(f"Job {ref} has {asked}; it has: {names}.")
        await self._download(chosen[0], dest, on_progress=on_progress, overwrite=overwrite)
        return chosen[0]

    async def download_all(
        self,
        ref: str | int,
        folder: Path,
        *,
        on_progress: bulk.OnProgress | None = None,
        overwrite: bool = False,
    ) -> list[views.OutputView]:
        """Fetch all outputs of a job into the directory `folder`, which appears when all of them are there. What a broken fetch
        left beside it is gone on with."""
        found = (await self.outputs(ref)).outputs
        if not found:
            raise errors.NotFound(f"Job {ref} has no output yet.")
        part = folder.with_name(f".{folder.name}.part")
        await asyncio.to_thread(part.mkdir, exist_ok=True)
        total, before = sum(output.size_bytes for output in found), 0
        for output in found:
            dest = part / Path(output.name).name
            if not await asyncio.to_thread(local.holds, dest, output.size_bytes, output.sha256):
                told = None if on_progress is None else _shifted(on_progress, before, total)
                await self._download(output, dest, on_progress=told, overwrite=True)
            before += output.size_bytes
        wanted = {Path(output.name).name for output in found}
        await asyncio.to_thread(_only, part, wanted)
        try:
            await asyncio.to_thread(local.make_durable, part, folder)
            await asyncio.to_thread(local.publish, part, folder, overwrite=overwrite)
        except errors.TaskError as error:
            raise errors.Conflict(error.failure.message, code=error.failure.code.value) from error
        return found

    async def _download(
        self, output: views.OutputView, dest: Path, *, on_progress: bulk.OnProgress | None, overwrite: bool
    ) -> None:
        if output.url is None:
            raise errors.NotFound(
                f"{output.name} was written to {output.path} on node {output.node_name}, not to the artifact store."
                " Submit without `output` to make it downloadable.",
                code="output_on_node",
            )
        await bulk.download(
            self._wire,
            urlsplit(output.url)._replace(scheme="", netloc="").geturl(),
            dest,
            size_bytes=output.size_bytes,
            sha256=output.sha256,
            on_progress=on_progress,
            overwrite=overwrite,
        )

    async def download_upload(
        self, upload_id: str, dest: Path, *, on_progress: bulk.OnProgress | None = None
    ) -> agent.UploadStatus:
        """Fetch what was uploaded (agents)."""
        path = f"/uploads/{quote(upload_id, safe='')}"
        status = await self._wire.call("GET", path, agent.UploadStatus, tries=_TRIES)
        await bulk.download(
            self._wire,
            f"{path}/content",
            dest,
            size_bytes=status.size_bytes,
            sha256=status.sha256,
            on_progress=on_progress,
            overwrite=True,
        )
        return status

    async def _get(self, path: str, answer: type[http.T], params: Any = None) -> http.T:
        return await self._wire.call("GET", path, answer, params=params, tries=_TRIES)

    async def _change(self, ref: str | int, verb: str, headers: Mapping[str, str] | None = None) -> views.ChangeView:
        # a repeated cancel, pause or resume finds the state that the first one made; a repeated retry is held to one job by its key
        return await self._wire.call("POST", f"{_job(ref)}/{verb}", views.ChangeView, headers=headers, tries=_TRIES)


def _shifted(on_progress: bulk.OnProgress, before: int, total: int) -> bulk.OnProgress:
    return lambda done, _: on_progress(before + done, total)


def _only(folder: Path, wanted: set[str]) -> None:
    """Remove what an earlier fetch, of another job, left."""
    for entry in folder.iterdir():
        if entry.name not in wanted:
            entry.unlink()


def _job(ref: str | int) -> str:
    return f"/jobs/{quote(str(ref), safe='')}"


def _node(ref: str) -> str:
    return f"/nodes/{quote(ref, safe='')}"
