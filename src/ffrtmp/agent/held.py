"""What the session knows of one attempt, and of its long-poll."""

import dataclasses
import enum

from ffrtmp.agent import messages as m
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.domain.job import Grant, Progress, Result
from ffrtmp.protocol import agent


class Stage(enum.Enum):
    WAITING = enum.auto()  # granted by a repeated lease: a beat must say first that it is still ours
    RUNNING = enum.auto()
    ASKING = enum.auto()  # verified; may it be published?
    PUBLISHING = enum.auto()  # the master said yes
    ENDING = enum.auto()  # being killed
    ENDED = enum.auto()  # no process left; its report is on the way


class Want(enum.Enum):
    """Why it is being ended, and so what is said of it then."""

    RESULT = enum.auto()  # it is not: it runs to its end
    CANCELED = enum.auto()
    RETURN = enum.auto()  # given back without penalty: we stop, or had to end it at its fence
    ASK = enum.auto()  # it was not allowed to publish: the next beat says why
    NOTHING = enum.auto()  # its report was refused: say nothing more


@dataclasses.dataclass(slots=True)
class Held:
    grant: Grant
    incarnation: str  # ours, when it was granted
    stage: Stage = Stage.WAITING
    want: Want = Want.RESULT
    fence: float | None = None
    lost: str = ""  # why it is not ours any more, or may not be: its lease is not to be renewed
    started: bool = False
    paused: bool = False
    follow_until: float = 0.0
    progress: Progress | None = None
    report: m.Report | None = None
    reporting: int = 0  # the number of the report that is sent and not answered yet; 0: none is
    report_at: float = 0.0
    report_tries: int = 0

    @property
    def id(self) -> str:
        return self.grant.attempt_id


@dataclasses.dataclass(slots=True)
class Poll:
    """The long-poll under way. `resent`: an earlier answer under this id may have been lost, with grants in it."""

    request_id: str
    free_slots: int
    sent_at: float
    resent: bool = False
    in_flight: bool = True
    settling: bool = False  # asked a last time, without waiting, because the agent stops

    @property
    def may_grant(self) -> bool:
        return self.resent or self.free_slots > 0


# Reports as they are kept: the node's id and incarnation are put in when they are sent.


def fail(failure: Failure, result: Result | None = None) -> agent.Fail:
    return agent.Fail(node_id="", incarnation="", failure=failure, result=result)


def canceled() -> agent.Fail:
    return fail(Failure(code=Code.CANCELED, message="Canceled on request; its processes have ended."))


def give_back(reason: str, *, fenced: bool = False) -> agent.GiveBack:
    return agent.GiveBack(node_id="", incarnation="", reason=reason, fenced=fenced)
