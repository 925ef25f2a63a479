"""What a bystander saw, in order: the invariants are checked against this, not against the database alone."""

from collections import Counter

import msgspec


class Run(msgspec.Struct):
    """The processes of one attempt. `until` is set when the last of them is gone. Times are seconds of the simulation."""

    task_id: str
    job_id: str
    attempt_id: str
    host: str
    since: float
    until: float | None = None
    asked: float | None = None  #: since when it has its output and only waits to publish it
    ending: float | None = None  #: since when it is being killed
    pauses: list[tuple[float, float]] = []  #: when its processes stood still
    late: bool = False  #: its host was frozen meanwhile: it may run beyond its fence, and may not publish

    def encodes_at(self, moment: float) -> bool:
        """Whether its encoder runs then: not before it began, while it is paused, or once it is being ended."""
        ends = [one for one in (self.until, self.asked, self.ending) if one is not None]
        if not self.since <= moment < min(ends, default=float("inf")):
            return False
        return not any(since <= moment < until for since, until in self.pauses)


class Published(msgspec.Struct, frozen=True):
    at: float
    job_id: str
    attempt_id: str
    output: str
    sha256: str


class Order(msgspec.Struct, frozen=True):
    """Something people asked of a job or a node: it holds from the moment the answer came until its opposite was asked."""

    of: str
    since: float
    until: float


class Joined(msgspec.Struct, frozen=True):
    """An agent's process: its node, when it started, and when it was first told that it is registered."""

    node: str
    since: float
    at: float


class History:
    def __init__(self) -> None:
        self.notes: list[tuple[float, str]] = []
        self.acknowledged: dict[str, set[str]] = {}  #: idempotency key → job ids that were answered
        self.refused: set[str] = set()  #: idempotency keys of retries that were refused: the job was not over
        self.taken_wrongly: list[str] = []  #: keys whose second body was taken
        self.canceled: dict[str, float] = {}  #: job → when its cancel was acknowledged
        self.paused: list[Order] = []  #: jobs
        self.drained: list[Order] = []  #: nodes, by name
        self.joined: list[Joined] = []
        self.published: list[Published] = []
        self.runs: list[Run] = []
        self.taken_down: Counter[str] = Counter()  #: job → agents that it killed
        self.files: dict[str, Published] = {}  #: the shared file system: path → what lies there
        self.followed: list[int] = []  #: events as one who follows them got them, by their numbers
        self.faults = 0

    def note(self, at: float, text: str) -> None:
        self.notes.append((at, text))

    def fault(self, at: float, text: str) -> None:
        self.faults += 1
        self.note(at, f"fault: {text}")
