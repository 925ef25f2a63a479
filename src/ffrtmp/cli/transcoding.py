"""What `transcode` does for each file: send, submit, follow, fetch. Several files at once, each on its own."""

import asyncio
import contextlib
import dataclasses
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffrtmp.cli import (
    connection,
    exits,
    interrupt,
    output,
    progress,
    show,
    show_target,
    spec_options,
    stream_options,
    text,
    watch,
)
from ffrtmp.domain import errors, spec

if TYPE_CHECKING:
    from ffrtmp.client.client import Client
    from ffrtmp.protocol.views import JobView

#: JSON path → what a person typed
PATHS = {**stream_options.PATHS, "parameters.output": "OUT", "parameters.input": "IN", "parameters.rtmp_url": "OUT"}
#: files that are sent or fetched at the same time
_TRANSFERS = 3
#: how long the end of canceled jobs is waited for
_CANCEL_SECONDS = 15.0


@dataclasses.dataclass
class Item:
    """One file. `job` and `error` come while it runs. `target` None: nothing of it comes back."""

    source: Path
    target: Path | None
    body: dict[str, Any]
    others: dict[str, Path] = dataclasses.field(default_factory=dict)  #: further inputs, by their path in `parameters`
    job: "JobView | None" = None
    error: Exception | None = None
    fetched: bool = False

    @property
    def many(self) -> bool:
        """Whether `target` is a directory of several files."""
        return spec_options.many(self.body["parameters"])

    @property
    def label(self) -> str:
        return (self.target or self.source).name

    @property
    def goes_to(self) -> str:
        """The file; or the server of a stream, without its key."""
        pushed = self.job.result.pushed if self.job and self.job.result else None
        return pushed.target if pushed else str(self.target)

    @property
    def done(self) -> bool:
        return self.job is not None and self.job.state == "completed" and self.error is None


class Run:
    def __init__(
        self, session: connection.Session, client: "Client", items: list[Item], *, upload: bool, detach: bool
    ) -> None:
        self._session = session
        self._client = client
        self._items = items
        self._upload = upload
        self._detach = detach
        self._transfers = asyncio.Semaphore(_TRANSFERS)
        self._watcher = watch.Watcher(client, notice=lambda message: self._display.note(message), growing=True)
        self._ended: dict[str, asyncio.Future[JobView]] = {}
        self._display: progress.Display

    async def go(self) -> exits.Exit:
        """All files, to the end or to Ctrl-C."""
        out = self._session.out
        interrupts = interrupt.Interrupts(out.say, ask=sys.stdin.isatty() and out.messages.is_terminal)
        with interrupts.installed(), progress.display(out) as self._display:
            work = asyncio.create_task(self._all())
            asked = asyncio.create_task(interrupts.decide(self._display))
            try:
                await asyncio.wait([work, asked], return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    return await self._leave(work, asked.result())
            finally:
                asked.cancel()
                await asyncio.wait([asked])  # a question that is still open is withdrawn from the screen first
            self._display.resume()
        await work
        return exits.Exit.OK if self._detach or all(item.done for item in self._items) else self._failure()

    def _failure(self) -> exits.Exit:
        """A file that could not be sent or submitted tells its own reason, where it is the only kind."""
        codes = {exits.of(item.error) if item.error else exits.Exit.FAILED for item in self._items if not item.done}
        return codes.pop() if len(codes) == 1 else exits.Exit.FAILED

    async def _leave(self, work: "asyncio.Task[None]", choice: interrupt.Choice) -> exits.Exit:
        out = self._session.out
        work.cancel()
        await asyncio.wait([work])
        submitted = [item for item in self._items if item.job and item.job.state not in watch.TERMINAL]
        if choice is interrupt.Choice.DETACH:
            return exits.Exit.INTERRUPTED
        self._display.resume()
        for item in submitted:
            assert item.job is not None
            try:
                item.job = (await self._client.cancel(item.job.id)).job
            except errors.FfrtmpError as error:
                out.say(f"{item.label}: {error}")
        await self._see_the_end(submitted)
        return exits.Exit.INTERRUPTED

    async def _see_the_end(self, items: list[Item]) -> None:
        """Canceling takes a moment: the encoder is stopped, and what it had written is removed."""
        by_job = {item.job.id: item for item in items if item.job}

        def see(job: "JobView") -> None:
            by_job[job.id].job = job
            self._display.job(job, by_job[job.id].label)

        watcher = watch.Watcher(self._client, by_job, notice=self._display.note)
        with contextlib.suppress(errors.FfrtmpError):
            await watch.wait(watcher, see, _CANCEL_SECONDS)

    async def _all(self) -> None:
        following = asyncio.create_task(self._follow())
        pipelines = [asyncio.create_task(self._submitted(item)) for item in self._items]
        gathered: asyncio.Future[Any] = asyncio.gather(*pipelines)
        try:
            # the master may go away for good while files wait for it
            waits: list[asyncio.Future[Any]] = [gathered, following]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if following.done() and (error := following.exception()):
                raise error
            await gathered
        finally:
            for task in (*pipelines, following):
                task.cancel()
            await asyncio.gather(gathered, *pipelines, following, return_exceptions=True)

    async def _follow(self) -> None:
        by_job: dict[str, Item] = {}
        async with contextlib.aclosing(self._watcher.changes()) as changes:  # type: ignore[type-var]
            async for job in changes:
                if job.id not in by_job:
                    by_job.update({item.job.id: item for item in self._items if item.job})
                item = by_job[job.id]
                item.job = job
                self._show(item, job)
                if job.state in watch.TERMINAL and not self._ended[job.id].done():
                    self._ended[job.id].set_result(job)

    def _comes_back(self, item: Item) -> bool:
        return self._upload and item.target is not None

    def _show(self, item: Item, job: "JobView") -> None:
        """A file that is still to be fetched is not done: that is said once, when it is here."""
        if self._comes_back(item) and job.state == "completed" and job.result and not item.fetched:
            self._display.transfer(item.label, "fetched", 0, sum(made.size_bytes for made in job.result.outputs))
        else:
            self._display.job(job, item.label)

    async def _submitted(self, item: Item) -> None:
        """The way of one file. What stops it is kept with it and does not stop the others."""
        try:
            await self._send_and_submit(item)
            if self._detach or item.job is None:
                return
            ended = self._ended[item.job.id] = asyncio.get_running_loop().create_future()
            self._watcher.add(item.job)
            self._show(item, item.job)
            if item.job.state not in watch.TERMINAL:
                item.job = await ended
            if self._comes_back(item) and item.job.state == "completed":
                await self._fetch(item)
        except (errors.FfrtmpError, OSError) as error:
            item.error = error

    async def _send_and_submit(self, item: Item) -> None:
        where: dict[str, Any] = {"tags": {"file": item.source.name[:256]}}
        if self._upload:
            where["input"] = await self._send(item.source, item.label)
            for path, other in item.others.items():
                _put(where, path, await self._send(other, other.name))
            suffix = item.target.suffix.lower() if item.target else ""
            if not item.many and suffix in spec.EXTENSIONS:
                where["container"] = item.body["parameters"].get("container") or spec.EXTENSIONS[suffix].value
        else:
            where |= _in_place(item)
        body = spec_options.merge({"parameters": where}, item.body)
        try:
            item.job = await self._client.submit(body, idempotency_key=secrets.token_urlsafe(18))
        except errors.InvalidInput as error:
            raise spec_options.as_options(error, PATHS) from None

    async def _send(self, path: Path, label: str) -> str:
        async with self._transfers:
            sent = await self._client.upload(
                path, on_progress=lambda done, total: self._display.transfer(label, "sent", done, total)
            )
        return f"upload:{sent.id}"

    async def _fetch(self, item: Item) -> None:
        assert item.job is not None
        assert item.target is not None
        async with self._transfers:
            overwrite = bool(item.body["parameters"].get("overwrite"))

            def show(done: int, total: int) -> None:
                self._display.transfer(item.label, "fetched", done, total)

            if item.many:
                await self._client.download_all(item.job.id, item.target, overwrite=overwrite, on_progress=show)
            else:
                await self._client.download(item.job.id, None, item.target, overwrite=overwrite, on_progress=show)
        item.fetched = True
        self._show(item, item.job)

    def report(self) -> None:
        """What became of each file."""
        out = self._session.out
        if out.json:
            out.document({"files": [self._row(item) for item in self._items], "count": len(self._items)})
            return
        self.tell_faults()
        made = [item for item in self._items if item.done]
        if made and not self._detach:
            show.made_table(out, [(item.goes_to, item.job) for item in made if item.job])
            for item in made:
                show_target.found(out, item.job.result if item.job else None)

    def tell_faults(self) -> None:
        """Of each file that is not done: why."""
        out = self._session.out
        for item in self._items:
            if item.error:
                for line in output.error_lines(item.error):
                    out.say(f"{item.label}: {line}")
            elif item.job and item.job.state not in watch.TERMINAL:
                self._still_running(item, item.job)
            elif item.job and item.job.failure:
                self._failed(item, item.job)
            elif item.job and not item.done:
                out.say(f"{item.label}: {item.job.state}")

    def _failed(self, item: Item, job: "JobView") -> None:
        assert job.failure is not None
        if job.state == "canceled":
            self._session.out.say(f"{item.label}: canceled")
            return
        self._session.out.say(f"{item.label}: {job.failure.message}\n  {job.failure.advice}")

    def _still_running(self, item: Item, job: "JobView") -> None:
        out = self._session.out
        if job.cancel_requested:
            out.say(f"{item.label}: {text.name(job)} is being canceled")
            return
        out.text(f"{item.label}: {text.name(job)} is {job.state}  ({job.id})")
        out.say(f"  Watch it: ffrtmp jobs status {job.sequence_number} --follow{out.options}")
        if self._comes_back(item):
            out.say(f"  Fetch it: ffrtmp jobs download {job.sequence_number} --to {item.target}{out.options}")

    def _row(self, item: Item) -> dict[str, Any]:
        row: dict[str, Any] = {"input": str(item.source), "output": item.goes_to if item.target or item.done else None}
        row["state"] = item.job.state if item.job else "not_submitted"
        if item.job:
            row["job"] = item.job
        if item.error:
            row["error"] = str(item.error)
        if item.done and item.target:
            row["size_bytes"] = item.target.stat().st_size if item.target.exists() else None
        return row


def _in_place(item: Item) -> dict[str, Any]:
    """Paths as the agent sees them: whole, with no link left in the directory."""
    where: dict[str, Any] = {"input": os.path.realpath(item.source)}
    if item.target is not None:
        where["output"] = os.path.join(os.path.realpath(item.target.parent), item.target.name)
    for path, other in item.others.items():
        _put(where, path, os.path.realpath(other))
    return where


def _put(parameters: dict[str, Any], path: str, value: str) -> None:
    """At a path like `measure.reference`."""
    *parents, leaf = path.split(".")
    for parent in parents:
        parameters = parameters.setdefault(parent, {})
    parameters[leaf] = value
