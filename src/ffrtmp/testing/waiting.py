"""Waiting for answers, and for jobs by their events."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ffrtmp.client.client import Client
from ffrtmp.domain import errors
from ffrtmp.protocol import views
from ffrtmp.testing.programs import PATIENCE_SECONDS

T = TypeVar("T")
OVER = frozenset({"completed", "failed", "timed_out", "canceled", "rejected"})


async def answered(ask: Callable[[], Awaitable[T]], pause_seconds: float) -> T:
    """Asks until there is an answer, as a person with patience does."""
    while True:
        try:
            return await ask()
        except errors.Unavailable:
            await asyncio.sleep(pause_seconds)


async def until(client: Client, ref: str | int, *states: str) -> views.JobView:
    """The job once it is in one of these states (none given: once it is over). Fails when it ends elsewhere."""
    wanted = frozenset(states) or OVER
    async with asyncio.timeout(2 * PATIENCE_SECONDS):
        job = await client.job(ref)
        if job.state in wanted:
            return job
        async for _ in client.events(job=job.id, after=0):
            job = await client.job(ref)
            if job.state in wanted:
                return job
            assert job.state not in OVER, f"{job.state}: {job.failure}"
    raise AssertionError("the stream of events ended")
