"""The protocol between master and agent. Durations only, never timestamps: two machines' clocks are never compared.

The rules (docs/guarantees.md): a node registers with a fresh random incarnation, under a name that no other live agent has; a
lease call is a long-poll that answers with grants or commands; repeating a `request_id` repeats the answer; the agent's fence
is the *send* time of its renewing request + `held_seconds` + `ttl_seconds` − a margin, on its monotonic clock; a report for an
attempt that is not (any more) that node's gets 409 with the true state.
"""

import enum
from typing import Annotated, Any

import msgspec

from ffrtmp.domain.errors import Failure
from ffrtmp.domain.job import Grant, OutputFile, Progress, Result
from ffrtmp.domain.node import Capabilities, NodeType

MOST_SLOTS = 1024
#: of ids that the other side makes up
LONGEST_ID = 255
LARGEST_UPLOAD_BYTES = 1 << 44  # 16 TiB
LONGEST_LOG = 256 * 1024


def _shown(**schema: Any) -> msgspec.Meta:
    """What the OpenAPI document says of a field. The master checks it itself, so that it can name all faults of a body at once."""
    return msgspec.Meta(extra_json_schema=schema)


Name = Annotated[str, _shown(maxLength=255, pattern="^[^\\u0000-\\u0020]*$")]
Threads = Annotated[int, _shown(minimum=1, maximum=65536)]
Slots = Annotated[int, _shown(minimum=0, maximum=MOST_SLOTS)]
Sha256 = Annotated[str, _shown(pattern="^[0-9a-f]{64}$")]


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True): ...


class Register(_Message, frozen=True):
    """`POST /nodes/register`. A reference agent sends no name, no incarnation, no origin, and an address.

    `origin`: a random id that is the same at each start of one agent and no other's. 409 `name_taken` while another origin has
    the name. `began_us`: when the incarnation began, in microseconds of a clock that only goes forward while the origin stays. 409
    `superseded`, with when the later one began as the problem's `state`, when a later incarnation has registered: this came late.
    """

    name: Name = ""
    address: str = ""
    type: NodeType = NodeType.SERVER
    cpu_threads: Threads = 1
    cpu_model: str = ""
    has_gpu: bool = False
    gpu_type: str = ""
    gpu_capabilities: list[str] = []
    ram_total_bytes: Annotated[int, _shown(minimum=0, maximum=2**53 - 1)] = 0
    labels: dict[str, str] = {}
    capabilities: Capabilities | None = None
    incarnation: str = ""
    origin: Name = ""
    began_us: Annotated[int, _shown(minimum=0, maximum=2**53 - 1)] = 0
    slots: Annotated[int, _shown(minimum=1, maximum=MOST_SLOTS)] = 1
    heartbeat_interval_seconds: Annotated[float, _shown(minimum=1, maximum=3600)] = 30.0
    version: str = ""


class Registered(_Message, frozen=True, forbid_unknown_fields=False):
    """The part of the register answer that an ffrtmp agent reads (the answer also has the node's fields)."""

    id: str
    name: str
    heartbeat_interval_seconds: float
    ttl_seconds: float  #: lease time
    credential: str = ""  #: the node's own key from here on; empty with --no-auth


class CommandKind(enum.StrEnum):
    """What the master wants of an attempt."""

    OK = "ok"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    GONE = "gone"  # not yours (any more): kill now, publish nothing


class Directive(_Message, frozen=True):
    """For one attempt. `follow_seconds` > 0: someone is watching, report progress every second for that long."""

    attempt_id: str
    command: CommandKind
    follow_seconds: float = 0.0


class LeaseRequest(_Message, frozen=True):
    """`POST /nodes/{id}/lease`: long-poll for work and for commands."""

    incarnation: str
    request_id: Annotated[str, _shown(minLength=1, maxLength=LONGEST_ID)]
    free_slots: Slots
    wait_seconds: float = 25.0
    attempts: list[str] = []  #: what the agent is running, so that commands for it come through here
    #: sent before under this id, perhaps to another master. The answer to this ends the request: what comes under its id later,
    #: such as a copy that another master still holds for an agent that has gone, gets nothing.
    again: bool = False


class LeaseReply(_Message, frozen=True):
    ttl_seconds: float
    held_seconds: float  #: between the request's arrival and this answer
    grants: list[Grant] = []
    directives: list[Directive] = []  #: only attempts that must do something (never OK)
    drain: bool = False


class AttemptBeat(_Message, frozen=True):
    attempt_id: str
    started: bool = False  #: its command has started
    paused: bool = False
    progress: Progress | None = None


class Beat(_Message, frozen=True):
    """`POST /nodes/{id}/heartbeat`: renews the leases of all attempts named. A reference agent sends an empty body."""

    incarnation: str = ""
    attempts: list[AttemptBeat] = []
    drain: bool | None = None  #: the agent asks to be drained (it is stopping)


class BeatReply(_Message, frozen=True):
    ttl_seconds: float
    directives: list[Directive] = []
    drain: bool = False


class Publish(_Message, frozen=True):
    """`POST /attempts/{id}/publish`: the output is verified; may it be renamed into place? From a yes on, a cancel is too late."""

    node_id: str
    incarnation: str
    outputs: list[OutputFile]


class Complete(_Message, frozen=True):
    """`POST /attempts/{id}/complete`."""

    node_id: str
    incarnation: str
    result: Result


class Fail(_Message, frozen=True):
    """`POST /attempts/{id}/fail`. A canceled attempt reports with the code `canceled` once its processes are dead."""

    node_id: str
    incarnation: str
    failure: Failure
    result: Result | None = None


class GiveBack(_Message, frozen=True):
    """`POST /attempts/{id}/give-back`: without penalty, the task is queued again at once. No process of the attempt is left.

    `fenced`: the agent could not renew its lease in time and ended it. An attempt that was publishing may be given back so. Of one
    that the master has rescued meanwhile it tells that no agent died of it.
    """

    node_id: str
    incarnation: str
    reason: str = ""
    fenced: bool = False


class Logs(_Message, frozen=True):
    """`POST /attempts/{id}/logs`: the bounded log of the attempt, replacing what was sent before."""

    node_id: str
    incarnation: str
    text: Annotated[str, _shown(maxLength=LONGEST_LOG)]


class LogsTaken(_Message, frozen=True):
    attempt_id: str


class AttemptReply(_Message, frozen=True):
    """The answer to publish, complete, fail and give-back."""

    attempt_id: str
    state: str  #: of the attempt
    job_state: str
    retry: int = 0
    max_retries: int = 0


class UploadCreate(_Message, frozen=True):
    """`POST /uploads`: announces bytes that will follow."""

    name: Annotated[str, _shown(minLength=1, maxLength=255, pattern="^[^/\\u0000-\\u001f]*$")]
    size_bytes: Annotated[int, _shown(minimum=1, maximum=LARGEST_UPLOAD_BYTES)]
    sha256: Sha256


class UploadStatus(_Message, frozen=True):
    """The answer to `POST /uploads`, `GET /uploads/{id}` and `PUT /uploads/{id}` (`Upload-Offset: n` header, bytes as body)."""

    id: str
    name: str
    size_bytes: int
    sha256: str
    offset: int
    complete: bool
