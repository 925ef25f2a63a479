"""How the verified output becomes the job's result: into the artifact store, or by a rename that the master has allowed."""

import asyncio
import threading
from pathlib import Path

import msgspec

from ffrtmp.agent import messages as m
from ffrtmp.agent.attempt import Attempt
from ffrtmp.domain.errors import Code, TaskError
from ffrtmp.domain.job import OutputFile, Result
from ffrtmp.media import contents
from ffrtmp.runtime.threads import ended, in_thread
from ffrtmp.transfer import local


class Dropped(Exception):
    """Its lease ended before it could be published."""


class Adoptable(msgspec.Struct, frozen=True):
    """What an earlier attempt of the task published; `copy` of it where it is another user's."""

    files: list[OutputFile]
    copy: Path | None


class Publication:
    """`output`: where it goes on this node; None: into the artifact store."""

    def __init__(self, attempt: Attempt, output: Path | None) -> None:
        self._attempt = attempt
        self.output = output
        self._instead_of: local.Identity | None = None  # what the output replaces, if it is to replace only that

    @classmethod
    async def resolve(cls, attempt: Attempt) -> "Publication":
        """Raises TaskError: output_forbidden, output_exists, …"""
        return cls(attempt, await in_thread(_output_path, attempt))

    async def made_before(self) -> Adoptable | None:
        """What an earlier attempt renamed into place before it could say so, if that is still there, byte for byte.
        Raises TaskError(output_exists) for anything else that may not be replaced."""
        if self.output is None:
            return None
        look = self._folder_before if self._attempt.work.many else self._file_before
        found = await in_thread(look, self.output, self._attempt.stopped)
        if found is None and not self._attempt.work.overwrite and await in_thread(self.output.exists):
            raise TaskError(Code.OUTPUT_EXISTS, f"The output {self.output} exists already.")
        return found

    def _file_before(self, output: Path, stop: threading.Event) -> Adoptable | None:
        attempt = self._attempt
        found: Adoptable | None = None
        for prior in attempt.grant.prior_publications:
            try:
                if prior.path == str(output) and local.adopt(output, prior.size_bytes, prior.sha256, stop):
                    found = Adoptable([prior], None)
            except PermissionError:
                copy = attempt.kit.work.stage(output, attempt.id)
                copy.unlink(missing_ok=True)
                self._instead_of = local.copy_of(output, copy, prior.sha256, stop)
                found = Adoptable([prior], copy) if self._instead_of is not None else found
        return found

    def _folder_before(self, output: Path, stop: threading.Event) -> Adoptable | None:
        prior = [one for one in self._attempt.grant.prior_publications if one.path == str(output / one.name)]
        known: dict[str, list[tuple[int, str]]] = {}
        for one in prior:
            known.setdefault(one.name, []).append((one.size_bytes, one.sha256))
        if local.adopt_folder(output, known, stop):
            return Adoptable([one for one in prior if local.holds(output / one.name, one.size_bytes, one.sha256)], None)
        if self._attempt.work.overwrite and output.exists() and (other := contents.foreign(output)):
            raise TaskError(
                Code.OUTPUT_EXISTS,
                f"The output {output} holds {other}, which no ladder or package is made of: it is not replaced. "
                "Name another directory.",
            )
        return None

    async def adopt(self, found: Adoptable) -> Result:
        """It has been looked at once more: report it."""
        attempt = self._attempt
        if found.copy is not None:
            return await self.publish(found.copy, found.files[0].sha256)
        attempt.tell(m.PublishAsked(attempt.id, found.files))
        await attempt.allowed.wait()
        await attempt.send_log()
        return attempt.result(*found.files)

    async def publish(self, made: Path, sha256: str) -> Result:
        """A file."""
        size = (await asyncio.to_thread(made.stat)).st_size
        name = self._attempt.work.output_name if self.output is None else self.output.name
        return await self._publish(made, {made: OutputFile(name=name, size_bytes=size, sha256=sha256)})

    async def publish_all(self, folder: Path) -> Result:
        """A directory, with all that is in it."""
        attempt = self._attempt
        files: dict[Path, OutputFile] = {}
        for path in await in_thread(lambda: sorted(folder.iterdir(), key=contents.order)):
            sha256 = await in_thread(local.sha256_file, path, attempt.stopped)
            size = (await asyncio.to_thread(path.stat)).st_size
            files[path] = OutputFile(name=path.name, size_bytes=size, sha256=sha256)
        return await self._publish(folder, files)

    async def _publish(self, made: Path, files: dict[Path, OutputFile]) -> Result:
        attempt, output = self._attempt, self.output
        await attempt.running.wait()
        attempt.phase("publish")
        logging = asyncio.create_task(attempt.send_log())
        try:
            attempt.metrics["bytes_written"] = sum(file.size_bytes for file in files.values())
            if output is None:
                told = []
                for path, file in files.items():
                    upload_id = await attempt.kit.master.store(path, file.name, file.sha256, attempt.moved("publish"))
                    told.append(msgspec.structs.replace(file, upload_id=upload_id))
            else:
                many = attempt.work.many
                told = [
                    msgspec.structs.replace(file, path=str(output / file.name if many else output))
                    for file in files.values()
                ]
                await self._rename(made, output, told)
        finally:
            await ended(logging)
        return attempt.result(*told)

    async def _rename(self, made: Path, output: Path, files: list[OutputFile]) -> None:
        attempt = self._attempt
        # before the question: what takes long must not lie between a yes and the rename, which looks at nothing but its own clock
        await in_thread(local.make_durable, made, output)
        attempt.tell(m.PublishAsked(attempt.id, files))
        await attempt.allowed.wait()
        may, overwrite, instead_of = attempt.may_publish, attempt.work.overwrite, self._instead_of
        published = await in_thread(
            lambda: local.publish(made, output, overwrite=overwrite, may=lambda: may(attempt.id), instead_of=instead_of)
        )
        if not published:
            raise Dropped


def _output_path(attempt: Attempt) -> Path | None:
    work = attempt.work
    if work.output is None:
        return None
    # what an earlier attempt of this task put there is ours; `made_before` makes sure that it is that
    ours = any(prior.path is not None for prior in attempt.grant.prior_publications)
    return local.resolve_output(work.output, attempt.kit.roots, overwrite=work.overwrite or ours, folder=work.many)
