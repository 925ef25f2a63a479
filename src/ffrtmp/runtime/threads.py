"""Blocking work beside the event loop, and never left behind."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Like asyncio.to_thread, but a cancelled caller waits for the thread: nothing goes on behind our back."""
    working = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await ended(working)
        raise


async def ended(working: "asyncio.Future[Any]") -> None:
    """Wait for what must not be left behind, however often we are cancelled meanwhile. Its error is for who asks it."""
    cancelled = False
    while not working.done():
        try:
            await asyncio.wait({working})
        except asyncio.CancelledError:
            cancelled = True
    if not working.cancelled():
        working.exception()  # taken note of
    if cancelled:
        raise asyncio.CancelledError
