"""The master's API as methods. Answers are `protocol.views`; faults are `domain.errors`."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec

from ffrtmp.client import bulk, http, state, stream, worker
from ffrtmp.domain import errors
from ffrtmp.protocol import agent, views

if TYPE_CHECKING:
    import httpx

DEFAULT_MASTER = "localhost:8080"
_DEFAULT_PORT = 8080
#: calls that may be repeated are, this many times in all
_TRIES = 4
#: a follower lives through a restart of the master
_STREAM_TRIES = 10
_PROBE_SECONDS = 5.0


class Client(worker.WorkerCalls):
    """An async context manager. Safe for many tasks at once.

    `api_key`: sent as a bearer token. `ca`: certificates to trust; without it the system's roots and the local master's own
    certificate. `insecure`: trust anyone (warns). `timeout`: seconds for one answer. `key_from`: where the key came from, to be
    named when it is refused. Every method raises a `domain.errors`
    error; `Unavailable` when the master cannot be reached.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str = "",
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        insecure: bool = False,
        timeout: float = 30.0,
        key_from: str = "",
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        if urlsplit(base_url).scheme not in ("http", "https"):
            raise errors.InvalidInput(
                f"The master's address {base_url!r} must begin with http:// or https://; a bare host:port goes through"
                " Client.connect."
            )
        if insecure:
            from ffrtmp.telemetry import logs

            logs.get("client").warning(
                "the master's certificate is not checked (--insecure-skip-verify): anyone can pose as it"
            )
        self._register_key = api_key
        self._wire = http.Http(
            base_url,
            api_key=api_key,
            trust=http.Trust(ca=ca, cert=cert, key=key, insecure=insecure),
            timeout=timeout,
            rng=random.Random(),  # noqa: S311 - spreads retries, guards nothing
            transport=transport,
            key_from=key_from,
        )

    @classmethod
    async def connect(
        cls,
        master: str = DEFAULT_MASTER,
        *,
        api_key: str = "",
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        insecure: bool = False,
        timeout: float = 30.0,
        key_from: str = "",
    ) -> "Client":
        """Find out how the master speaks: a bare `host:port` is tried with TLS, then without; `http://` also with TLS where a
        plain answer does not come; `https://` only so. Without `api_key`, a master on this machine gets the key of the
        user's state folder. Raises Unavailable naming each address that was tried."""
        tried: list[tuple[str, str]] = []
        for url in candidates(master):
            chosen, origin = api_key, key_from
            if not chosen and state.is_local(urlsplit(url).hostname or ""):
                chosen, origin = state.read_api_key(), f"the file {state.folder() / state.API_KEY_FILE}"
            client = cls(
                url, api_key=chosen, ca=ca, cert=cert, key=key, insecure=insecure, timeout=timeout, key_from=origin
            )
            try:
                await client._wire.call("GET", "/health", views.HealthView, timeout=min(timeout, _PROBE_SECONDS))
            except errors.FfrtmpError as error:
                await client.aclose()
                if error.code in ("certificate_not_trusted", "client_certificate_required"):
                    raise  # it does speak TLS: falling back to plain HTTP would give the key away
                tried.append((url, error.message))
            else:
                return client
        raise errors.Unavailable(_summary(master, tried), code="master_unreachable")

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
        params += [("tag", f"{name}={value}") for name, value in (tags or {}).items()]
        return await self._get("/jobs", views.JobPage, params)

    async def cancel(self, ref: str | int) -> views.ChangeView:
        return await self._change(ref, "cancel")

    async def pause(self, ref: str | int) -> views.ChangeView:
        return await self._change(ref, "pause")

    async def resume(self, ref: str | int) -> views.ChangeView:
        return await self._change(ref, "resume")

    async def retry(self, ref: str | int) -> views.ChangeView:
        """Makes a new job that names the old one."""
        return await self._change(ref, "retry")

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
                async with self._wire.raw.stream(
                    "GET",
                    "/events",
                    params=params,
                    headers=self._wire.headers(headers),
                    timeout=httpx.Timeout(10.0, read=60.0),
                ) as reply:
                    if reply.status_code >= 400:
                        raise self._wire.refusal(reply, await reply.aread())
                    failures = 0
                    async for message in stream.messages(reply.aiter_lines()):
                        last, pause = message.id or last, message.retry_seconds or pause
                        yield msgspec.json.decode(message.data, type=views.EventView)
            except httpx.HTTPError as error:
                failures += 1
                if failures == _STREAM_TRIES:
                    raise http.unreachable(self.base_url, error) from error
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
        output = chosen[0]
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
        return output

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

    async def _change(self, ref: str | int, verb: str) -> views.ChangeView:
        # a repeated cancel, pause or resume finds the state that the first one made; a repeated retry is held to one job by its key
        headers = {"Idempotency-Key": secrets.token_urlsafe(18)} if verb == "retry" else None
        return await self._wire.call("POST", f"{_job(ref)}/{verb}", views.ChangeView, headers=headers, tries=_TRIES)


def candidates(master: str) -> list[str]:
    """The base URLs to try for what a person wrote, in order. Raises InvalidInput."""
    text = master.strip()
    scheme, found, rest = text.partition("://")
    if found and scheme not in ("http", "https"):
        raise errors.InvalidInput(f"The master's address {master!r} must be host:port, http://… or https://….")
    address = (rest if found else text).rstrip("/")
    try:
        parts = urlsplit(f"//{address}")
        port = parts.port
    except ValueError as error:
        raise errors.InvalidInput(f"The master's address {master!r} is not host:port ({error}).") from None
    if not parts.hostname or parts.username is not None or parts.query:
        raise errors.InvalidInput(f"The master's address {master!r} must be host:port, http://… or https://….")
    if not found and port is None:
        address = f"{address}:{_DEFAULT_PORT}"
    order = {"https": ["https"], "http": ["http", "https"]}.get(scheme if found else "", ["https", "http"])
    return [f"{each}://{address}" for each in order]


def _summary(master: str, tried: list[tuple[str, str]]) -> str:
    if all("connection refused" in message for _, message in tried) and len(tried) > 1:
        return (
            f"No master answers at {master} (tried with TLS and without: connection refused). Start one with `ffrtmp up` or"
            " `ffrtmp master`, or name another with --master."
        )
    said = dict.fromkeys(message.replace(url, master) for url, message in tried)
    if len(said) == 1:
        return next(iter(said))
    return f"No master answers at {master}. Tried: " + " ".join(message for _, message in tried)


def _job(ref: str | int) -> str:
    return f"/jobs/{quote(str(ref), safe='')}"


def _node(ref: str) -> str:
    return f"/nodes/{quote(ref, safe='')}"
