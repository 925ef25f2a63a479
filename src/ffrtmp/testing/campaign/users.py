"""People: they submit, repeat what was not answered, change their minds, and remember what they were told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.domain.states import JobState
from ffrtmp.protocol import views
from ffrtmp.testing import waiting
from ffrtmp.testing.campaign.bystander import Bystander
from ffrtmp.testing.campaign.history import History, is_terminal
from ffrtmp.testing.campaign.plan import Plan, Wish, slow_wish, wish

T = TypeVar("T")
_PAUSE_SECONDS = 0.3


class Users:
    def __init__(self, plan: Plan, client: Client, bystander: Bystander, history: History) -> None:
        self._plan = plan
        self._client = client
        self._bystander = bystander
        self._history = history
        self._room = asyncio.Semaphore(plan.open_jobs)
        self._slow: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Returns when every job has ended."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._plan.jobs):
                await self._room.acquire()
                group.create_task(self._guest(wish(self._plan, number)))

    async def submit_slow(self) -> str:
        """One more job, which runs for some lease times."""
        wanted = slow_wish(self._plan, len(self._slow))
        job = await self._submit(wanted)
        self._slow.append(asyncio.create_task(self._judged(wanted, self._follow(wanted, job))))
        return job

    async def slow_ended(self) -> None:
        """Returns when every slow job has ended."""
        await asyncio.gather(*self._slow)

    async def _guest(self, wanted: Wish) -> None:
        try:
            await self._judged(wanted, self._one(wanted))
        finally:
            self._room.release()

    async def _judged(self, wanted: Wish, doing: Awaitable[None]) -> None:
        try:
            await doing
        except errors.FfrtmpError as error:
            self._history.refused_wrongly.append(f"{wanted.key} got {type(error).__name__}: {error.message}")

    async def _one(self, wanted: Wish) -> None:
        await self._follow(wanted, await self._submit(wanted))

    async def _follow(self, wanted: Wish, job: str) -> None:
        if wanted.act:
            if wanted.when_running:
                await self._bystander.running(job)
            await asyncio.sleep(wanted.wait_seconds)
            await (self._pause_and_resume(job) if wanted.act == "pause" else self._cancel(job))
        await self._bystander.ended(job)
        end = await self._answered(lambda: self._client.job(job))
        self._read(end)
        if wanted.act == "retry" and end.state != JobState.COMPLETED:
            await self._retry(job, f"{wanted.key}-again")

    async def _submit(self, wanted: Wish) -> str:
        async def ask() -> views.JobView:
            return await self._client.submit(wanted.body, idempotency_key=wanted.key)

        self._history.asked.add(wanted.key)
        job = (await self._answered(ask)).id
        self._history.outputs[job] = wanted.output
        self._history.acknowledge(wanted.key, job)
        if wanted.repeats:
            self._history.acknowledge(wanted.key, (await self._answered(ask)).id)
        if wanted.confuses:
            await self._confuse(wanted)
        return job

    async def _confuse(self, wanted: Wish) -> None:
        other = {**wanted.body, "priority": "low" if wanted.body["priority"] != "low" else "high"}
        try:
            made = await self._answered(lambda: self._client.submit(other, idempotency_key=wanted.key))
        except errors.IdempotencyMismatch:
            return
        self._history.refused_wrongly.append(f"{wanted.key} with another body was answered with {made.id}")

    async def _cancel(self, job: str) -> None:
        attempts = self._bystander.attempts_of(job)
        try:
            answer = await self._answered(lambda: self._client.cancel(job))
        except errors.Conflict:
            return  # it has ended, or is being published
        self._history.canceled.setdefault(job, time.time())
        self._history.note("cancel acknowledged", job=job)
        self._read(answer.job)
        await self._bystander.died(attempts | self._bystander.attempts_of(job), since=time.time())

    async def _pause_and_resume(self, job: str) -> None:
        for change in (self._client.pause, self._client.resume):
            try:
                self._read((await self._answered(lambda change=change: change(job))).job)  # type: ignore[misc]
            except errors.Conflict:
                return  # it has ended
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _retry(self, job: str, key: str) -> None:
        try:
            made = (await self._answered(lambda: self._client.retry(job, idempotency_key=key))).job_id
        except errors.Conflict as error:
            self._history.refused_wrongly.append(f"{job} has ended, and its retry was refused: {error.message}")
            return
        self._history.outputs[made] = ""
        self._history.acknowledge(key, made)
        await self._bystander.ended(made)

    def _read(self, view: views.JobView) -> None:
        self._history.tell(view.id, view.state)
        if is_terminal(view.state) and view.state != JobState.COMPLETED and view.failure is not None:
            self._history.note("failed", job=view.id, code=view.failure.code, message=view.failure.message)

    async def _answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await waiting.answered(ask, _PAUSE_SECONDS)
