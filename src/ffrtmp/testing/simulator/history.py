"""What a bystander saw, in order: the invariants are checked against this, not against the database alone."""

import msgspec


class Run(msgspec.Struct):
    """The processes of one attempt. `until` is set when the last of them is gone."""

    task_id: str
    job_id: str
    attempt_id: str
    host: str
    since: float
    until: float | None = None
    late: bool = False  #: its host was frozen meanwhile: it may run beyond its fence, and may not publish


class Published(msgspec.Struct, frozen=True):
    at: float
    job_id: str
    attempt_id: str
    output: str
    sha256: str


class History:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.acknowledged: dict[str, set[str]] = {}  #: idempotency key → job ids that were answered
        self.canceled: dict[str, float] = {}  #: job → when its cancel was acknowledged
        self.published: list[Published] = []
        self.runs: list[Run] = []
        self.files: dict[str, Published] = {}  #: the shared file system: path → what lies there
        self.faults = 0

    def note(self, at: float, text: str) -> None:
        self.lines.append(f"{at:10.3f}  {text}")

    def fault(self, at: float, text: str) -> None:
        self.faults += 1
        self.note(at, f"fault: {text}")
