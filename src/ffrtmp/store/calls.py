"""The calls that change something, as data: what the group commit queues and the functions in `ops` take in batches."""

from collections.abc import Sequence

import msgspec

from ffrtmp.domain import errors, job
from ffrtmp.store import interface


class _Call(msgspec.Struct, frozen=True): ...


class Submit(_Call, frozen=True):
    new: job.NewJob


class SubmitMany(_Call, frozen=True):
    new: tuple[job.NewJob, ...]


class Cancel(_Call, frozen=True):
    ref: str
    by: str = ""


class Pause(_Call, frozen=True):
    ref: str
    by: str = ""


class Resume(_Call, frozen=True):
    ref: str
    by: str = ""


class Reject(_Call, frozen=True):
    job_ids: tuple[str, ...]
    message: str


class Register(_Call, frozen=True):
    new: interface.NewNode


class SetCredential(_Call, frozen=True):
    node_id: str
    sha256: str


class Drain(_Call, frozen=True):
    ref: str
    on: bool
    by: str = ""


class RemoveNode(_Call, frozen=True):
    ref: str
    by: str = ""


class Lease(_Call, frozen=True):
    call: interface.LeaseCall
    choose: interface.Choose


class Beat(_Call, frozen=True):
    call: interface.BeatCall


class AskedAbout(_Call, frozen=True):
    job_id: str


class Report(_Call, frozen=True):
    """What all reports of an attempt have."""

    attempt_id: str
    node_id: str
    incarnation: str


class Publish(Report, frozen=True):
    outputs: Sequence[job.OutputFile]


class Complete(Report, frozen=True):
    result: job.Result


class Fail(Report, frozen=True):
    failure: errors.Failure
    result: job.Result | None


class GiveBack(Report, frozen=True):
    reason: str
    fenced: bool


class PutLog(_Call, frozen=True):
    attempt_id: str
    node_id: str
    text: str


class Rescue(_Call, frozen=True):
    limit: int


class Promote(_Call, frozen=True):
    limit: int


class Expire(_Call, frozen=True):
    finished_before: int
    limit: int


class CreateUpload(_Call, frozen=True):
    new: interface.Upload


class FinishUpload(_Call, frozen=True):
    upload_id: str


class RemoveUploads(_Call, frozen=True):
    upload_ids: tuple[str, ...]


class ForgetUploads(_Call, frozen=True):
    upload_ids: tuple[str, ...]
