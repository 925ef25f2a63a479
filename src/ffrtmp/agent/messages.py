"""What goes into the session core and what comes out of it. Times are seconds on the agent's monotonic clock."""

import enum

import msgspec

from ffrtmp.domain.errors import Failure
from ffrtmp.domain.job import Grant, OutputFile, Progress, Result
from ffrtmp.protocol import agent


class _Message(msgspec.Struct, frozen=True): ...


class Trouble(enum.StrEnum):
    """Why a call was not answered as hoped."""

    AWAY = "away"  # no answer, or "not now": try again
    STALE = "stale"  # the master knows this node no more, or under another incarnation
    UNAUTHENTICATED = "unauthenticated"
    TAKEN = "taken"  # another agent that lives has our name: it may become free
    CONFLICT = "conflict"  # a report for what is not (any more) ours
    REFUSED = "refused"  # the request itself is wrong: trying again will not help


# Events


class Tick(_Message, frozen=True):
    """Time has passed."""


class Registered(_Message, frozen=True):
    reply: agent.Registered


class Leased(_Message, frozen=True):
    request_id: str
    reply: agent.LeaseReply


class BeatAcked(_Message, frozen=True):
    number: int
    reply: agent.BeatReply


class ReportTaken(_Message, frozen=True):
    number: int
    attempt_id: str


class CallFailed(_Message, frozen=True):
    """`call`: register, lease (with its request), beat (with its number) or report (with its attempt and number)."""

    call: str
    trouble: Trouble
    detail: str = ""
    retry_after: float | None = None
    attempt_id: str = ""
    request_id: str = ""
    number: int = 0


class TaskStarted(_Message, frozen=True):
    """Its first command runs."""

    attempt_id: str


class TaskProgress(_Message, frozen=True):
    attempt_id: str
    progress: Progress


class PublishAsked(_Message, frozen=True):
    """The output is verified and on disk under its stage name."""

    attempt_id: str
    outputs: list[OutputFile]


class TaskEnded(_Message, frozen=True):
    """No process of it is left. A failure may come with what there is of a result (its verdict, its command). Neither: it was
    stopped because we wanted it."""

    attempt_id: str
    result: Result | None = None
    failure: Failure | None = None


class StopRequested(_Message, frozen=True):
    """Finish within `grace_seconds`, then give back what is not done."""

    grace_seconds: float


Event = (
    Tick
    | Registered
    | Leased
    | BeatAcked
    | ReportTaken
    | CallFailed
    | TaskStarted
    | TaskProgress
    | PublishAsked
    | TaskEnded
    | StopRequested
)

# Effects


class SendRegister(_Message, frozen=True):
    incarnation: str


class SendLease(_Message, frozen=True):
    node_id: str
    request: agent.LeaseRequest


class AbortLease(_Message, frozen=True):
    """Stop waiting for the answer of this long-poll."""

    request_id: str


class SendBeat(_Message, frozen=True):
    """`number` comes back with the answer, so that a late answer is not taken for a newer one's."""

    number: int
    node_id: str
    beat: agent.Beat
    timeout_seconds: float


Report = agent.Publish | agent.Complete | agent.Fail | agent.GiveBack


class SendReport(_Message, frozen=True):
    """Sent again where no answer comes in `timeout_seconds`: a connection may be half open."""

    number: int
    attempt_id: str
    report: Report
    timeout_seconds: float


class StartTask(_Message, frozen=True):
    grant: Grant


class KillTask(_Message, frozen=True):
    """End its processes; `TaskEnded` follows. `now`: SIGKILL at once, its lease is over."""

    attempt_id: str
    now: bool


class PauseTask(_Message, frozen=True):
    attempt_id: str


class ResumeTask(_Message, frozen=True):
    attempt_id: str


class AllowPublish(_Message, frozen=True):
    attempt_id: str


class Note(_Message, frozen=True):
    """For the log."""

    level: str
    event: str
    detail: dict[str, str] = {}


class Exit(_Message, frozen=True):
    code: int
    message: str = ""


Effect = (
    SendRegister
    | SendLease
    | AbortLease
    | SendBeat
    | SendReport
    | StartTask
    | KillTask
    | PauseTask
    | ResumeTask
    | AllowPublish
    | Note
    | Exit
)
