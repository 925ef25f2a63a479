"""The interface's functions over two ways to the database: `_write` queues a call for the group commit, `_read` runs a function of
`ops` on a reading connection. Both stores are this; they differ in those two."""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from ffrtmp.domain import errors, job, node
from ffrtmp.protocol.agent import CommandKind
from ffrtmp.store import calls, interface
from ffrtmp.store.ops import lease, nodes, read
from ffrtmp.store.tx import Tx

P = ParamSpec("P")
T = TypeVar("T")


class NoHints:
    """Of a database that has one master."""

    up: bool | None = None

    def tell(self, hint: interface.Hint) -> None:  # noqa: ARG002 - there is nobody
        return

    async def next(self) -> interface.Hint:
        nothing: asyncio.Future[interface.Hint] = asyncio.get_running_loop().create_future()
        return await nothing


_NO_HINTS = NoHints()


class BaseStore:
    @property
    def hints(self) -> interface.Hints:
        return _NO_HINTS

    @abstractmethod
    async def _write(self, call: Any) -> Any:
        """The call's answer once it is durable; raises the error it was answered with."""

    @abstractmethod
    async def _read(self, function: Callable[Concatenate[Tx, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function over a view of the database that does not change under it."""

    async def check(self) -> None:
        await self.now_us()

    async def check_writing(self) -> None:
        await self.check()

    async def now_us(self) -> int:
        return await self._read(_now)

    # jobs

    async def submit(self, new: job.NewJob) -> interface.Submitted:
        submitted: interface.Submitted = await self._write(calls.Submit(new))
        return submitted

    async def submit_many(self, new: Sequence[job.NewJob]) -> list[interface.Submitted]:
        submitted: list[interface.Submitted] = await self._write(calls.SubmitMany(tuple(new)))
        return submitted

    async def get_job(self, ref: str) -> job.Job:
        return await self._read(read.get_job, ref)

    async def list_jobs(self, which: interface.JobFilter, *, before: int | None, limit: int) -> interface.Page:
        return await self._read(read.list_jobs, which, before, limit)

    async def tasks(self, job_id: str) -> list[job.Task]:
        return await self._read(read.tasks, job_id)

    async def attempts(self, job_id: str) -> list[job.Attempt]:
        return await self._read(read.attempts, job_id)

    async def logs(self, job_id: str) -> list[tuple[job.Attempt, str]]:
        return await self._read(read.logs, job_id)

    async def cancel(self, ref: str, *, by: str = "") -> interface.JobChange:
        change: interface.JobChange = await self._write(calls.Cancel(ref, by))
        return change

    async def pause(self, ref: str, *, by: str = "") -> interface.JobChange:
        change: interface.JobChange = await self._write(calls.Pause(ref, by))
        return change

    async def resume(self, ref: str, *, by: str = "") -> interface.JobChange:
        change: interface.JobChange = await self._write(calls.Resume(ref, by))
        return change

    async def reject(self, job_ids: Sequence[str], message: str) -> list[str]:
        rejected: list[str] = await self._write(calls.Reject(tuple(job_ids), message))
        return rejected

    # events

    async def events(
        self, *, after: int, limit: int, job_id: str | None = None, node_id: str | None = None
    ) -> list[job.Event]:
        return await self._read(read.events, after, limit, job_id, node_id)

    async def last_events(self, job_id: str, *, limit: int) -> list[job.Event]:
        return await self._read(read.last_events, job_id, limit)

    async def last_event(self) -> int:
        return await self._read(read.last_event)

    # nodes

    async def register(self, new: interface.NewNode) -> interface.RegisteredNode:
        registered: interface.RegisteredNode = await self._write(calls.Register(new))
        return registered

    async def nodes(self) -> list[node.Node]:
        return await self._read(_nodes)

    async def get_node(self, ref: str) -> node.Node:
        return await self._read(_node, ref)

    async def node_credential(self, node_id: str) -> str:
        return await self._read(nodes.credential, node_id)

    async def set_credential(self, node_id: str, sha256: str) -> None:
        await self._write(calls.SetCredential(node_id, sha256))

    async def drain(self, ref: str, *, on: bool, by: str = "") -> node.Node:
        drained: node.Node = await self._write(calls.Drain(ref, on, by))
        return drained

    async def remove_node(self, ref: str, *, by: str = "") -> None:
        await self._write(calls.RemoveNode(ref, by))

    # the protocol

    async def classes(self) -> list[interface.Class]:
        return await self._read(read.classes)

    async def lease(self, call: interface.LeaseCall, choose: interface.Choose) -> list[job.Grant]:
        grants: list[job.Grant] = await self._write(calls.Lease(call, choose))
        return grants

    async def beat(self, call: interface.BeatCall) -> interface.BeatResult:
        result: interface.BeatResult = await self._write(calls.Beat(call))
        return result

    async def asked_about(self, job_id: str) -> None:
        await self._write(calls.AskedAbout(job_id))

    async def directives(self, node_id: str) -> dict[str, CommandKind]:
        return await self._read(lease.directives, node_id)

    async def publish(
        self, attempt_id: str, node_id: str, incarnation: str, outputs: Sequence[job.OutputFile]
    ) -> interface.AttemptResult:
        return await self._report(calls.Publish(attempt_id, node_id, incarnation, outputs))

    async def complete(
        self, attempt_id: str, node_id: str, incarnation: str, result: job.Result
    ) -> interface.AttemptResult:
        return await self._report(calls.Complete(attempt_id, node_id, incarnation, result))

    async def fail(
        self, attempt_id: str, node_id: str, incarnation: str, failure: errors.Failure, result: job.Result | None
    ) -> interface.AttemptResult:
        return await self._report(calls.Fail(attempt_id, node_id, incarnation, failure, result))

    async def give_back(
        self, attempt_id: str, node_id: str, incarnation: str, reason: str, *, fenced: bool = False
    ) -> interface.AttemptResult:
        return await self._report(calls.GiveBack(attempt_id, node_id, incarnation, reason, fenced))

    async def _report(self, call: calls.Report) -> interface.AttemptResult:
        result: interface.AttemptResult = await self._write(call)
        return result

    async def put_log(self, attempt_id: str, node_id: str, text: str) -> None:
        await self._write(calls.PutLog(attempt_id, node_id, text))

    async def attempt_of(self, job_id: str, node_id: str) -> str:
        return await self._read(read.attempt_of, job_id, node_id)

    # sweeps

    async def rescue(self, limit: int) -> interface.Rescued:
        rescued: interface.Rescued = await self._write(calls.Rescue(limit))
        return rescued

    async def promote(self, limit: int) -> interface.Promoted:
        promoted: interface.Promoted = await self._write(calls.Promote(limit))
        return promoted

    async def waiting(self, class_ids: Sequence[int], *, older_than_us: int, limit: int) -> list[str]:
        return await self._read(_waiting, class_ids, older_than_us, limit)

    async def ahead(self, job_id: str, class_ids: Collection[int], *, limit: int) -> int:
        return await self._read(read.ahead, job_id, class_ids, limit)

    async def expire(self, *, finished_before: int, limit: int) -> interface.Expired:
        expired: interface.Expired = await self._write(calls.Expire(finished_before, limit))
        return expired

    # uploads

    async def create_upload(self, new: interface.Upload) -> interface.Upload:
        upload: interface.Upload = await self._write(calls.CreateUpload(new))
        return upload

    async def get_upload(self, upload_id: str) -> interface.Upload:
        return await self._read(read.get_upload, upload_id)

    async def upload_of_node(self, upload_id: str, node_id: str) -> bool:
        return await self._read(read.upload_of_node, upload_id, node_id)

    async def finish_upload(self, upload_id: str) -> interface.Upload:
        upload: interface.Upload = await self._write(calls.FinishUpload(upload_id))
        return upload

    async def orphans(self, *, created_before: int, limit: int) -> list[str]:
        return await self._read(read.orphans, created_before, limit)

    async def remove_uploads(self, upload_ids: Sequence[str]) -> list[str]:
        removed: list[str] = await self._write(calls.RemoveUploads(tuple(upload_ids)))
        return removed

    async def removed_uploads(self, *, limit: int) -> list[str]:
        return await self._read(read.removed_uploads, limit)

    async def forget_uploads(self, upload_ids: Sequence[str]) -> None:
        await self._write(calls.ForgetUploads(tuple(upload_ids)))

    # numbers

    async def counts(self) -> interface.Counts:
        return await self._read(read.counts)

    async def depths(self) -> list[interface.QueueDepth]:
        return await self._read(read.depths)


async def _now(tx: Tx) -> int:
    return await tx.now()


async def _nodes(tx: Tx) -> list[node.Node]:
    return await nodes.everything(tx, await tx.now())


async def _node(tx: Tx, ref: str) -> node.Node:
    return await nodes.get(tx, ref, await tx.now())


async def _waiting(tx: Tx, class_ids: Sequence[int], older_than_us: int, limit: int) -> list[str]:
    return await read.waiting(tx, class_ids, await tx.now() - older_than_us, limit)
