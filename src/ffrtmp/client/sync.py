"""The same client for scripts without asyncio:

    with sync.SyncClient.connect("localhost:8080") as client:
        job = client.submit({"scenario": "720p30-h264"})
        for event in client.events(job=job.id): ...

A portal, not a twin: every method of `client.Client` is there under its name, with its arguments and errors.
"""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from ffrtmp.client import client as aio


class SyncClient:
    """Owns an event loop that runs while one of its methods does. Not for use inside a running loop, nor from many threads."""

    def __init__(self, wrapped: aio.Client, runner: asyncio.Runner | None = None) -> None:
        self._client = wrapped
        self._runner = runner or asyncio.Runner()

    @classmethod
    def connect(cls, master: str = aio.DEFAULT_MASTER, **options: Any) -> "SyncClient":
        """`client.Client.connect`, with its options."""
        runner = asyncio.Runner()
        try:
            return cls(runner.run(aio.Client.connect(master, **options)), runner)
        except BaseException:
            runner.close()
            raise

    def __enter__(self) -> "SyncClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if inspect.isasyncgenfunction(found):
            return functools.partial(self._iterate, found)
        if inspect.iscoroutinefunction(found):
            return functools.partial(self._call, found)
        return found

    def _call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self._runner.run(method(*args, **options))

    def _iterate(self, method: Callable[..., AsyncIterator[Any]], *args: Any, **options: Any) -> Iterator[Any]:
        async def advance(source: Any) -> Any:
            return await anext(source)

        source: Any = method(*args, **options)
        try:
            while True:
                try:
                    yield self._runner.run(advance(source))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(source.aclose())
