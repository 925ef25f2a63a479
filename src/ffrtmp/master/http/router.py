"""Routes → one ASGI application: matching by Starlette, problem documents for what matches nothing."""

import functools
from collections.abc import Sequence
from typing import Any

import msgspec
import starlette.routing
from starlette.applications import Starlette

from ffrtmp.domain import errors
from ffrtmp.master.context import Master
from ffrtmp.master.http import openapi
from ffrtmp.master.http.call import Receive, Scope, Send, send_problem
from ffrtmp.master.http.endpoint import Endpoint, Route
from ffrtmp.protocol import problems


class _Methods:
    """One path with an endpoint per method."""

    def __init__(self, endpoints: dict[str, Endpoint]) -> None:
        get = endpoints.get("GET")
        self._endpoints = {"HEAD": get, **endpoints} if get is not None and get.route.head else endpoints
        self._allow = ", ".join(sorted(self._endpoints)).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["method"])
        if endpoint is not None:
            await endpoint(scope, receive, send)
            return
        detail = f"{scope['method']} is not allowed here; this path takes {self._allow.decode()}."
        document = problems.Problem(
            title="Method Not Allowed", status=405, code="method_not_allowed", detail=detail, error=detail
        )
        await send_problem(send, document, (b"allow", self._allow))


async def _nothing(scope: Scope, _: Receive, send: Send) -> None:
    path = scope["path"][:200]
    fault = errors.NotFound(f"There is no {path} here; GET /schema lists the routes.", code=problems.NO_ROUTE)
    await send_problem(send, problems.problem(fault))


class _Schema:
    """`GET /schema`, made once when it is first asked for."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._document = functools.cache(lambda: msgspec.json.encode(openapi.document(routes)))

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        body = self._document()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def application(master: Master, routes: Sequence[Route], *, schema: bool) -> Any:
    """The ASGI application. Its routes keep the order of the table."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for route in routes:
        for path in (route.path, *route.aliases):
            by_path.setdefault(path, {})[route.method] = Endpoint(master, route)
    table: list[starlette.routing.BaseRoute] = [
        starlette.routing.Route(path, _Methods(endpoints)) for path, endpoints in by_path.items() if "{" in path
    ]
    if schema:
        table.append(starlette.routing.Route("/schema", _Schema(routes)))
    app = Starlette(routes=table)
    app.router.redirect_slashes = False
    app.router.default = _nothing
    # literal paths before patterns: /jobs/next is not a job's name
    literal = {path: _Methods(endpoints) for path, endpoints in by_path.items() if "{" not in path}
    return _Front(literal, app.router)


class _Front:
    """A look-up for the paths that are literal, the busiest among them; Starlette matches the rest."""

    def __init__(self, literal: dict[str, _Methods], rest: Any) -> None:
        self._literal = literal
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._literal.get(scope["path"])
        if found is None:
            await self._rest(scope, receive, send)
            return
        scope["path_params"] = {}
        await found(scope, receive, send)
