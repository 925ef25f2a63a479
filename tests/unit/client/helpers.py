"""A client whose answers come from a function, and whose retries do not wait."""

import random
from collections.abc import Awaitable, Callable

import httpx

from ffrtmp.client.client import Client


class NoJitter(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return 0.0


Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class _Direct(httpx.AsyncBaseTransport):
    """Unlike httpx.MockTransport it leaves the body to the handler, which may break off in the middle."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._handler(request)
        return answer if isinstance(answer, httpx.Response) else await answer


def client(handler: Handler, **options: object) -> Client:
    made = Client("http://master:8080", transport=_Direct(handler), **options)  # type: ignore[arg-type]
    made._wire.rng = NoJitter()
    return made


def problem(status: int, code: str, detail: str = "no", **more: object) -> httpx.Response:
    return httpx.Response(status, json={"title": "t", "status": status, "code": code, "detail": detail, **more})
