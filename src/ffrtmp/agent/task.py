"""One attempt, from its grant to what is reported of it. What it does is its kind's: `encode`, `streaming`, `measurement`."""

import asyncio
import contextlib
import errno
from collections.abc import Callable

import msgspec

from ffrtmp.agent import encode, measurement, streaming
from ffrtmp.agent import messages as m
from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.kit import Kit
from ffrtmp.agent.publication import Dropped
from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code, Failure, TaskError
from ffrtmp.domain.job import Grant, Result
from ffrtmp.domain.spec import Measurement, Spec
from ffrtmp.domain.streaming import Target
from ffrtmp.process.log import clean
from ffrtmp.telemetry import logs

_log = logs.get("task")
_LONGEST_MESSAGE = 2000  #: characters; the log has the rest


class Task:
    """The arguments are `Attempt`'s."""

    def __init__(
        self,
        grant: Grant,
        kit: Kit,
        *,
        tell: Callable[[m.Event], None],
        may_publish: Callable[[str], bool],
        holds: Callable[[str], bool],
    ) -> None:
        self.attempt = Attempt(grant, kit, tell=tell, may_publish=may_publish, holds=holds)
        self._task = asyncio.create_task(self._run(), name=f"attempt {grant.attempt_id}")
        # not from within: a task that is cancelled before its first step never runs
        self._task.add_done_callback(self._tell_end)

    @property
    def id(self) -> str:
        return self.attempt.id

    async def wait(self) -> None:
        await asyncio.wait({self._task})

    def kill(self, *, now: bool) -> None:
        """End it; `TaskEnded` follows when no process is left. `now`: without grace, and say nothing of it any more."""
        self.attempt.kill(now=now)
        self._task.cancel()

    def pause(self) -> None:
        self.attempt.pause()

    def resume(self) -> None:
        self.attempt.resume()

    def allow_publish(self) -> None:
        self.attempt.allowed.set()

    def _tell_end(self, done: "asyncio.Task[tuple[Result | None, Failure | None]]") -> None:
        result, failure = (None, None) if done.cancelled() else done.result()
        self.attempt.tell(m.TaskEnded(self.id, result=result, failure=failure))

    async def _run(self) -> tuple[Result | None, Failure | None]:
        """Never raises: whatever happens becomes a result, a failure, or neither (it was stopped)."""
        attempt = self.attempt
        result: Result | None = None
        failure: Failure | None = None
        try:
            match attempt.work:
                case Measurement() as asked:
                    result = await measurement.measure(attempt, asked)
                case Spec(target=Target() as target):
                    result = await streaming.stream(attempt, target)
                case _:
                    result = await encode.encode(attempt)
        except (asyncio.CancelledError, Dropped):
            attempt.log.note("Stopped on request.")
        except TaskError as error:
            failure = error.failure
        except errors.FfrtmpError as error:
            failure = Failure(code=Code.TRANSFER_FAILED, message=error.message)
        except OSError as error:
            failure = os_failure(error)
        except Exception as error:  # noqa: BLE001 - one broken task must not take the agent and the other tasks down
            _log.exception("a task broke", attempt_id=self.id)
            failure = Failure(code=Code.INTERNAL, message=f"{type(error).__name__}: {error}")
        if failure is not None:
            failure = msgspec.structs.replace(failure, message=clean(failure.message)[:_LONGEST_MESSAGE])
            attempt.log.note(f"Failed ({failure.code.value}): {failure.message}")
            result = attempt.result()
        await self._settle(send_log=result is None or failure is not None)
        return result, failure

    async def _settle(self, *, send_log: bool) -> None:
        """Runs to its end even when the kill comes here."""
        settling = asyncio.create_task(self._clean_up(send_log=send_log and not self.attempt.silent))
        while not settling.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({settling})

    async def _clean_up(self, *, send_log: bool) -> None:
        if send_log:
            await self.attempt.send_log()
        await self.attempt.release()
        try:
            await asyncio.to_thread(self.attempt.kit.work.settle, self.id)
        except OSError as error:
            _log.warning("scratch could not be removed", attempt_id=self.id, why=str(error))


def os_failure(error: OSError) -> Failure:
    """A file operation of our own that failed."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    where = f" ({error.filename})" if error.filename else ""
    return Failure(code=Code.DISK_FULL if full else Code.INTERNAL, message=f"{error.strerror or error}{where}")
