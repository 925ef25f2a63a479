"""Running a batch of calls of any kinds in one transaction."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from ffrtmp.store import calls
from ffrtmp.store.ops import lease, nodes, people, reports, submit, sweeps, uploads
from ffrtmp.store.ops.unit import Targets, Unit

Run = Callable[[Unit, Sequence[Any]], Awaitable[Sequence[Any]]]
Find = Callable[[Unit, Sequence[Any], Targets], Awaitable[None]]


class Kind(msgspec.Struct, frozen=True):
    """`targets` names the jobs and nodes that a batch will change. `bulk`: runs in a transaction of its own, behind the others."""

    run: Run
    targets: Find | None = None
    bulk: bool = False


#: in the order in which the kinds of a batch run. Leases come last: they take what the others made ready, and wait for nobody.
KINDS: dict[type, Kind] = {
    calls.AskedAbout: Kind(lease.asked_about, lease.asked_about_targets),
    calls.Beat: Kind(lease.beat, lease.beat_targets),
    calls.Register: Kind(nodes.register, nodes.register_targets),
    calls.SetCredential: Kind(nodes.set_credential, nodes.credential_targets),
    calls.Drain: Kind(nodes.drain, nodes.ref_targets),
    calls.RemoveNode: Kind(nodes.remove, nodes.ref_targets),
    calls.CreateUpload: Kind(uploads.create),
    calls.FinishUpload: Kind(uploads.finish),
    calls.Publish: Kind(reports.publish, reports.targets),
    calls.Complete: Kind(reports.complete, reports.targets),
    calls.Fail: Kind(reports.fail, reports.targets),
    calls.GiveBack: Kind(reports.give_back, reports.give_back_targets),
    calls.PutLog: Kind(reports.put_log, reports.log_targets),
    calls.Cancel: Kind(people.cancel, people.targets),
    calls.Pause: Kind(people.pause, people.targets),
    calls.Resume: Kind(people.resume, people.targets),
    calls.Reject: Kind(people.reject, people.reject_targets),
    calls.Submit: Kind(submit.submit),
    calls.Lease: Kind(lease.lease, lease.targets),
    calls.SubmitMany: Kind(submit.submit_many, bulk=True),
    calls.Rescue: Kind(sweeps.rescue, bulk=True),
    calls.Promote: Kind(sweeps.promote, bulk=True),
    calls.Expire: Kind(sweeps.expire, bulk=True),
    calls.RemoveUploads: Kind(uploads.remove, bulk=True),
    calls.ForgetUploads: Kind(uploads.forget, bulk=True),
}


async def run(unit: Unit, batch: Sequence[Any]) -> list[Any]:
    """The answers of the calls in their order: values, or errors to raise. Raises only when the transaction must be undone."""
    groups: dict[type, list[int]] = {}
    for index, call in enumerate(batch):
        groups.setdefault(type(call), []).append(index)
    targets = Targets()
    order = [(kind, KINDS[kind]) for kind in KINDS if kind in groups]
    for kind, how in order:
        if how.targets is not None:
            await how.targets(unit, [batch[index] for index in groups[kind]], targets)
    await unit.lock(targets)
    answers: list[Any] = [None] * len(batch)
    for kind, how in order:
        indices = groups[kind]
        made = await how.run(unit, [batch[index] for index in indices])
        for index, answer in zip(indices, made, strict=True):
            answers[index] = answer
        await unit.flush()
    await unit.finish()
    return answers
