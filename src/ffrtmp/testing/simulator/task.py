"""One attempt on a simulated machine: it takes its time, fails, takes its agent down, or publishes a file."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Protocol

from ffrtmp.agent import messages as m
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.domain.job import Grant, OutputFile, Result
from ffrtmp.testing.simulator.history import Published, Run
from ffrtmp.testing.simulator.scene import Scene

_FAILURES = (Code.ENGINE_FAILED, Code.STALLED, Code.DISK_FULL, Code.INPUT_INVALID, Code.TIMED_OUT, Code.ENGINE_CRASHED)


class Machine(Protocol):
    """Where a task runs."""

    name: str

    def kill(self) -> None: ...
    def restart_later(self) -> None: ...
    def when_awake(self, act: Callable[[], None]) -> None: ...
    def may_publish(self, attempt_id: str) -> bool: ...
    def feed(self, event: m.Event) -> None: ...


class SimTask:
    def __init__(self, scene: Scene, host: Machine, grant: Grant) -> None:
        self._scene = scene
        self._host = host
        self._grant = grant
        self._dice = scene.dice("attempt", grant.sequence_number, grant.number)
        self._output = grant.spec.output or ""  #: "": into the artifact store, which needs no yes before the end
        self._timer: asyncio.TimerHandle | None = None
        self._next: Callable[[], None] | None = None
        self._due = 0.0
        self._left: float | None = None  #: of the present step, while it is paused
        self.run = Run(grant.task_id, grant.job_id, grant.attempt_id, host.name, self._scene.now)
        self._scene.history.runs.append(self.run)
        self._made = hashlib.sha256(grant.attempt_id.encode()).hexdigest()
        self._step(self._dice.uniform(0.01, 0.3), self._begin)

    # its pace

    def _step(self, seconds: float, act: Callable[[], None]) -> None:
        self._next, self._due = act, self._scene.now + seconds
        self._timer = self._scene.later(seconds, lambda: self._host.when_awake(self._go))

    def _go(self) -> None:
        if self.run.until is None and self._left is None and self._next is not None:
            act, self._next = self._next, None
            act()

    def pause(self) -> None:
        if self._left is None and self._next is not None:
            self._left = max(self._due - self._scene.now, 0.0)
            self.run.pauses.append((self._scene.now, float("inf")))
            if self._timer is not None:
                self._timer.cancel()

    def resume(self) -> None:
        if self._left is not None and self._next is not None:
            left, self._left = self._left, None
            self._unpause()
            self._step(left, self._next)

    def _unpause(self) -> None:
        if self.run.pauses:
            self.run.pauses[-1] = (self.run.pauses[-1][0], self._scene.now)

    # its end

    def vanish(self) -> None:
        """Its processes are gone, and it says nothing any more."""
        if self.run.until is None:
            self.run.until = self._scene.now
        if self._timer is not None:
            self._timer.cancel()

    def kill(self, *, now: bool) -> None:
        self.run.ending = self._scene.now
        self._left = None
        if self._timer is not None:
            self._timer.cancel()
        if now:
            self._end()
        else:
            self._step(self._dice.uniform(0.0, 2.0), self._end)

    def _end(self, result: Result | None = None, failure: Failure | None = None) -> None:
        self.vanish()
        self._host.feed(m.TaskEnded(self._grant.attempt_id, result=result, failure=failure))

    def _fail(self, code: Code) -> None:
        self._end(failure=Failure(code=code, message="simulated"))

    # its steps

    def _begin(self) -> None:
        there = self._scene.history.files.get(self._output) if self._output else None
        prior = {file.sha256 for file in self._grant.prior_publications}
        if there is not None and there.sha256 not in prior:
            self._scene.history.note(self._scene.now, f"{self._grant.job_id}: its output exists")
            self._fail(Code.OUTPUT_EXISTS)
            return
        self._host.feed(m.TaskStarted(self._grant.attempt_id))
        if there is not None:
            # an earlier attempt put it there and could not say so
            self._made = there.sha256
            self._step(self._dice.uniform(0.1, 1.0), self._verified)
        else:
            self._step(self._scene.job_seconds(self._dice), self._made_something)

    def _made_something(self) -> None:
        dice, script = self._dice, self._scene.script(self._grant.sequence_number)
        if script == "poison":
            self._scene.history.taken_down[self._grant.job_id] += 1
            self._scene.history.fault(self._scene.now, f"{self._grant.job_id} takes {self._host.name} down")
            self._host.kill()
            self._host.restart_later()
        elif script == "fails" and dice.random() < 0.6:
            self._fail(dice.choice(_FAILURES))
        else:
            self._step(dice.uniform(0.05, 2.0), self._verified if self._output else self._done)

    def _verified(self) -> None:
        self.run.asked = self._scene.now
        self._host.feed(m.PublishAsked(self._grant.attempt_id, [self._file()]))

    def _file(self) -> OutputFile:
        path = f"/media/{self._output}" if self._output else None
        return OutputFile(name=self._output or "output.mp4", size_bytes=1, sha256=self._made, path=path)

    def allow_publish(self) -> None:
        """It is synced, which takes long where the disk does, and renamed then."""
        slow = self._scene.strikes("slow_disk", 0.15)
        self._step(self._dice.uniform(1.0, 30.0) if slow else self._dice.uniform(0.001, 0.3), self._rename)

    def _rename(self) -> None:
        history, now = self._scene.history, self._scene.now
        there = history.files.get(self._output)
        if there is not None and there.sha256 == self._made:
            self._done()
        elif not self._host.may_publish(self._grant.attempt_id):
            self._end()
        elif there is not None:
            self._fail(Code.OUTPUT_EXISTS)
        else:
            published = Published(now, self._grant.job_id, self._grant.attempt_id, self._output, self._made)
            history.published.append(published)
            history.files[self._output] = published
            history.note(now, f"{self._grant.job_id}: published by {self._grant.attempt_id} on {self._host.name}")
            self._step(self._dice.uniform(0.001, 0.2), self._done)

    def _done(self) -> None:
        self._end(result=Result(outputs=[self._file()]))
