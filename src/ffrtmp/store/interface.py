"""The store: the one interface of both databases. `tests/store` is its conformance suite.

Every state change is a named function whose guard stands in the UPDATE's WHERE; zero rows is an answer (`Conflict` with the true
state, or the replay's answer), never a success. Each function is one transaction, commits durably before it returns, and writes
its events in the same transaction. Concurrent calls are committed in groups.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from ffrtmp.domain import errors, job, node, spec
from ffrtmp.domain.states import AttemptState, JobState, TaskState
from ffrtmp.protocol import agent


class Submitted(msgspec.Struct, frozen=True):
    job: job.Job
    created: bool  #: False: the same idempotency key and body had made this job before


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """None: any. `tags` must all be there with these values."""

    states: tuple[JobState, ...] = ()
    queue: spec.Queue | None = None
    priority: spec.Priority | None = None
    engine: spec.Engine | None = None
    scenario: str | None = None
    node: str | None = None  #: id or name
    tags: Mapping[str, str] = {}


class Page(msgspec.Struct, frozen=True):
    jobs: list[job.Job]
    next_cursor: int | None  #: give it as `before` for the next page; None: this was the last


class NewNode(msgspec.Struct, frozen=True, kw_only=True):
    """`address` names a node that has no name of its own choosing; `(name)` is what makes a returning node the same one."""

    id: str  #: used when the name is new
    name: str
    address: str
    type: node.NodeType
    cpu_threads: int
    cpu_model: str
    has_gpu: bool
    gpu_type: str
    ram_total_bytes: int
    labels: Mapping[str, str]
    capabilities: node.Capabilities
    slots: int
    incarnation: str
    origin: str = ""  #: the same at each start of one agent, and no other's; "": it does not say
    began_us: int = 0  #: when the incarnation began, by a clock that is its origin's; 0: it does not say
    heard_from: str = ""  #: the network address that it registers from
    version: str
    ttl_us: int  #: lease time of this node's attempts
    heartbeat_interval_us: int = 30_000_000  #: after three of them in silence the node is offline


class RegisteredNode(msgspec.Struct, frozen=True):
    node: node.Node
    created: bool
    restored: list[str]  #: job ids whose attempts were taken back because the incarnation changed
    ready_class_ids: tuple[int, ...] = ()  #: classes that got a ready task by this


class Ready(msgspec.Struct, frozen=True):
    """A row of the ready queue: what the scheduler chooses from."""

    task_id: str
    class_id: int
    sort_key: int


class LeaseCall(msgspec.Struct, frozen=True, kw_only=True):
    """One agent asking for up to `slots` tasks of the classes its node satisfies."""

    node_id: str
    incarnation: str
    request_id: str
    slots: int
    class_ids: tuple[int, ...]
    attempt_ids: tuple[str, ...]  #: fresh random ids, one per slot, made by the caller
    last: bool = False  #: the request ends with this: if it was given nothing, it never will be


#: the code of the Conflict that a request gets that has ended without a grant
REQUEST_OVER = "request_over"


#: (ready rows in order, calls) → for each call the rows it gets. `scheduling.choose`. A function with a name of its own, without
#: closure: on SQLite another process runs it.
Choose = Callable[[Sequence[Ready], Sequence[LeaseCall]], list[list[Ready]]]


class BeatCall(msgspec.Struct, frozen=True, kw_only=True):
    """Renews the leases of the attempts named; with `all_attempts` (a reference agent) of all that the node has and asks about."""

    node_id: str
    incarnation: str
    attempts: tuple[agent.AttemptBeat, ...]
    all_attempts: bool = False
    drain: bool | None = None


class BeatResult(msgspec.Struct, frozen=True):
    commands: dict[str, agent.CommandKind]  #: per attempt named (OK included)
    drain: bool


class AttemptResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a report."""

    attempt_id: str
    task_id: str
    job_id: str
    attempt_state: AttemptState
    job_state: JobState
    replay: bool = False  #: this report had been taken before
    retry: int = 0
    max_retries: int = 0
    run_at: int | None = None  #: when the task comes back, if it is tried again
    ready_class_ids: tuple[int, ...] = ()  #: classes that got a ready task by this


class JobChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a cancel, pause or resume did, and which running attempts must hear of it at once."""

    job: job.Job
    attempts: tuple[tuple[str, str], ...] = ()  #: (node id, attempt id)
    ready_class_ids: tuple[int, ...] = ()


class Rescued(msgspec.Struct, frozen=True, kw_only=True):
    attempts: list[AttemptResult]
    oldest_expired_us: int = 0  #: how long the oldest had been expired, those included whose jobs somebody held


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """Retrying tasks whose run_at has come are queued again."""

    count: int
    ready_class_ids: tuple[int, ...]
    next_due_us: int | None  #: µs until the next one is due; None: none waits


class Class(msgspec.Struct, frozen=True):
    """A distinct set of requirements."""

    id: int
    requires: spec.Requires


class QueueDepth(msgspec.Struct, frozen=True, kw_only=True):
    class_id: int
    queue: spec.Queue
    state: TaskState  #: queued, retrying or blocked
    count: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Kept as counters, so that reading them costs the same at a thousand jobs and at a million."""

    jobs: dict[tuple[JobState, spec.Queue, spec.Engine], int]
    completed_by_engine: dict[spec.Engine, int]  #: the engine that ran it, never AUTO
    failures: dict[errors.Code, int]  #: attempts that failed, by code
    retries: int
    lease_expiries: int
    nodes: int


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    size_bytes: int
    sha256: str
    complete: bool
    created_at: int


class Expired(msgspec.Struct, frozen=True):
    """What retention removed."""

    jobs: int
    upload_ids: list[str]  #: artifacts that no job names any more: their bytes may go


class Follow(msgspec.Struct, frozen=True):
    """Someone watches a job: these attempts of it (node id, attempt id) report every second for so long."""

    job_id: str
    attempts: tuple[tuple[str, str], ...]
    seconds: float


class Hint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where another master has left something to look at. What it is stands in the database."""

    ready: frozenset[int] = frozenset()  #: classes that got a ready task
    commands: frozenset[str] = frozenset()  #: nodes with an attempt that must do something
    nodes: frozenset[str] = frozenset()  #: nodes that were registered, drained or removed, or got a new credential
    events: bool = False  #: the history has grown
    follows: tuple[Follow, ...] = ()
    everything: bool = False  #: hints may have been missed, or were too many to be named

    def __or__(self, other: "Hint") -> "Hint":
        return Hint(
            ready=self.ready | other.ready,
            commands=self.commands | other.commands,
            nodes=self.nodes | other.nodes,
            events=self.events or other.events,
            follows=self.follows + other.follows,
            everything=self.everything or other.everything,
        )

    def __bool__(self) -> bool:
        return self != _NOTHING


_NOTHING = Hint()


class Hints(Protocol):
    """What the masters on one database tell each other. A hint may be lost: that costs the wait for the poll behind it."""

    @property
    def up(self) -> bool | None:
        """Whether hints arrive. None: no other master can be on this database."""

    def tell(self, hint: Hint) -> None:
        """To the other masters, soon. What the store itself commits needs no telling."""

    async def next(self) -> Hint:
        """What came since the last call; waits until something does."""


class Store(Protocol):
    """Names and ids: `ref` is a job id, or a string of digits that is a sequence number."""

    @property
    def hints(self) -> Hints: ...

    async def open(self) -> None:
        """Connect, migrate (or refuse a newer schema), lock (SQLite: one master per file)."""

    async def close(self) -> None: ...

    def describe(self) -> str:
        """Which database, for logs and health: no password in it."""

    async def check(self) -> None:
        """Raises Unavailable while it does not answer."""

    async def check_writing(self) -> None:
        """Raises Unavailable while it takes no writes, as far as is known without writing."""

    async def now_us(self) -> int:
        """The database's clock, µs since 1970."""

    # jobs
    async def submit(self, new: job.NewJob) -> Submitted: ...
    async def submit_many(self, new: Sequence[job.NewJob]) -> list[Submitted]:
        """All of them or, when one is refused, none. Faults name the job as `jobs.INDEX`."""

    async def get_job(self, ref: str) -> job.Job:
        """Raises NotFound."""

    async def list_jobs(self, which: JobFilter, *, before: int | None, limit: int) -> Page:
        """Newest first. Raises NotFound for a node that is not known; one that was removed is, by its id or where no other has its
        name, as long as it is kept."""

    async def tasks(self, job_id: str) -> list[job.Task]: ...
    async def attempts(self, job_id: str) -> list[job.Attempt]: ...
    async def logs(self, job_id: str) -> list[tuple[job.Attempt, str]]: ...
    async def cancel(self, ref: str, *, by: str = "") -> JobChange:
        """`by`, here and below: who asked, for the history.

        Queued: canceled at once. With a node: cancel requested; canceled when the attempt reports or its lease ends.

        Conflict when terminal (but a canceled job answers again the same) or publishing."""

    async def pause(self, ref: str, *, by: str = "") -> JobChange: ...
    async def resume(self, ref: str, *, by: str = "") -> JobChange: ...
    async def reject(self, job_ids: Sequence[str], message: str) -> list[str]:
        """Queued jobs that no node can run → rejected. Returns those that were."""

    # events
    async def events(
        self, *, after: int, limit: int, job_id: str | None = None, node_id: str | None = None
    ) -> list[job.Event]: ...
    async def last_events(self, job_id: str, *, limit: int) -> list[job.Event]:
        """The newest of a job, in the order in which they happened."""

    async def last_event(self) -> int: ...

    # nodes
    async def register(self, new: NewNode) -> RegisteredNode:
        """Conflict(code="name_taken") while an agent of another origin has the name: until it is silent for as long as makes a node
        offline or says that it stops, and has no lease that lives. One of the same origin gets it at once; but
        Conflict(code="superseded"), with when the later one began as its state, if a later incarnation of it has registered."""

    async def nodes(self) -> list[node.Node]: ...
    async def get_node(self, ref: str) -> node.Node:
        """By id or name. Raises NotFound."""

    async def node_credential(self, node_id: str) -> str:
        """Its SHA-256; "" when it has none. Raises NotFound."""

    async def set_credential(self, node_id: str, sha256: str) -> None:
        """The node's new credential takes the place of the old one."""

    async def drain(self, ref: str, *, on: bool, by: str = "") -> node.Node: ...
    async def remove_node(self, ref: str, *, by: str = "") -> None:
        """Conflict while it has attempts, or an agent that is neither silent nor stopping."""

    # the protocol
    async def classes(self) -> list[Class]: ...
    async def lease(self, call: LeaseCall, choose: Choose) -> list[job.Grant]:
        """Repeating a request_id returns the same grants. Conflict(code="stale_incarnation") when the node was registered anew,
        Conflict(code=REQUEST_OVER) when a `last` call of this request came before and gave nothing. A draining node gets
        nothing."""

    async def beat(self, call: BeatCall) -> BeatResult: ...
    async def asked_about(self, job_id: str) -> None:
        """A reference agent asked how this job is, as it does while the job's command runs: its beats go on renewing the lease."""

    async def directives(self, node_id: str) -> dict[str, agent.CommandKind]:
        """Attempts of the node that must do something now (cancel, pause, resume)."""

    async def publish(
        self, attempt_id: str, node_id: str, incarnation: str, outputs: Sequence[job.OutputFile]
    ) -> AttemptResult:
        """assigned/running → publishing, where no cancel is asked."""

    async def complete(self, attempt_id: str, node_id: str, incarnation: str, result: job.Result) -> AttemptResult:
        """The compare-and-set that makes one output the result. Replay → the same answer; stale → Conflict."""

    async def fail(
        self, attempt_id: str, node_id: str, incarnation: str, failure: errors.Failure, result: job.Result | None
    ) -> AttemptResult:
        """Decides by `domain.retry.decide` whether the task is tried again. The code `canceled` ends it as canceled."""

    async def give_back(
        self, attempt_id: str, node_id: str, incarnation: str, reason: str, *, fenced: bool = False
    ) -> AttemptResult: ...
    async def put_log(self, attempt_id: str, node_id: str, text: str) -> None: ...
    async def attempt_of(self, job_id: str, node_id: str) -> str:
        """The live attempt that a node holds of a job (the reference protocol names only these). Conflict when none."""

    # sweeps: any master, any time
    async def rescue(self, limit: int) -> Rescued:
        """Attempts whose lease has ended → lost; the task is tried again, canceled or failed."""

    async def promote(self, limit: int) -> Promoted: ...
    async def waiting(self, class_ids: Sequence[int], *, older_than_us: int, limit: int) -> list[str]:
        """Jobs with a queued task of these classes that has waited at least so long."""

    async def ahead(self, job_id: str, class_ids: Collection[int], *, limit: int) -> int:
        """How many ready tasks of these classes and its own come before the first queued one of a job; counts no further than
        `limit`."""

    async def expire(self, *, finished_before: int, limit: int) -> Expired:
        """Removes finished jobs with all that belongs to them, in bulk, and the uploads that only they named; nodes that
        were removed and events of nodes, as old."""

    # uploads
    async def create_upload(self, new: Upload) -> Upload: ...
    async def get_upload(self, upload_id: str) -> Upload:
        """Raises NotFound."""

    async def upload_of_node(self, upload_id: str, node_id: str) -> bool:
        """Whether a job that names the upload runs on the node now."""

    async def finish_upload(self, upload_id: str) -> Upload:
        """Its bytes are all there, hashed and fsynced."""

    async def orphans(self, *, created_before: int, limit: int) -> list[str]:
        """Uploads that no job names, oldest first."""

    async def remove_uploads(self, upload_ids: Sequence[str]) -> list[str]:
        """Those of them that no job names are removed and returned: their bytes may go."""

    async def removed_uploads(self, *, limit: int) -> list[str]:
        """Uploads that were removed, whose bytes may still be there."""

    async def forget_uploads(self, upload_ids: Sequence[str]) -> None:
        """Their bytes are gone."""

    # numbers
    async def counts(self) -> Counts: ...
    async def depths(self) -> list[QueueDepth]: ...
