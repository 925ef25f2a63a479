"""OpenAPI 3.1, made from the route table: pydantic bodies and msgspec bodies and answers alike."""

import http
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pydantic

import ffrtmp
from ffrtmp.master import auth
from ffrtmp.master.http.endpoint import Route
from ffrtmp.protocol import problems

_REF = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole description, as `GET /schema` serves it."""
    components = _components(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _PATH_PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ffrtmp",
            "version": ffrtmp.__version__,
            "summary": "A distributed transcoding system: jobs, nodes, artifacts.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    name = re.sub(r"[^a-zA-Z0-9]+", "_", f"{route.method.lower()}_{route.path}").strip("_")
    content: dict[str, Any] = {}
    if route.answer is not None:
        content = {"content": {route.media_type: {"schema": _schema_of(route.answer)}}}
    elif route.media_type != "application/json":
        content = {"content": {route.media_type: {}}}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": _parameters(route),
        "responses": {
            **{
                str(status): {"description": http.HTTPStatus(status).phrase, **content}
                for status in (route.status, *route.also)
            },
            **{
                str(status): {
                    "description": http.HTTPStatus(status).phrase,
                    "content": {problems.CONTENT_TYPE: {"schema": _schema_of(problems.Problem)}},
                }
                for status in sorted(_problems(route))
            },
        },
    }
    if route.access is not auth.Access.PUBLIC:
        operation["security"] = [{"bearer": []}, {"apiKey": []}]
    if route.raw_body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    elif route.body is not None:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": {"application/json": {"schema": _schema_of(route.body)}},
        }
    return operation


def _problems(route: Route) -> set[int]:
    """What each request may meet (a query or header that is not known here, the database away), and the route's own."""
    statuses = {400, 503, *route.problems}
    if route.access is not auth.Access.PUBLIC:
        statuses |= {401, 403}
    if route.body is not None:
        statuses.add(413)
    if _PATH_PARAMETER.search(route.path):
        statuses.add(404)
    return statuses


def _parameters(route: Route) -> list[dict[str, Any]]:
    return (
        [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in _PATH_PARAMETER.findall(route.path)
        ]
        + [
            {
                "name": query.name,
                "in": "query",
                "required": query.required,
                "description": query.description,
                "schema": {"type": "array", "items": query.schema} if query.repeatable else query.schema,
            }
            for query in route.query
        ]
        + [
            {"name": header.name, "in": "header", "description": header.description, "schema": header.schema}
            for header in route.headers
        ]
    )


def _schema_of(model: type) -> dict[str, Any]:
    return {"$ref": _REF.format(name=model.__name__)}


def _components(routes: Sequence[Route]) -> dict[str, Any]:
    named = {route.body for route in routes if route.body} | {route.answer for route in routes if route.answer}
    bodies = sorted(
        (model for model in named if issubclass(model, pydantic.BaseModel)), key=lambda model: model.__name__
    )
    structs = sorted((model for model in named if model not in bodies), key=lambda model: model.__name__)
    _, schemas = msgspec.json.schema_components([*structs, problems.Problem], ref_template=_REF)
    _, written = pydantic.json_schema.models_json_schema(
        [(model, "validation") for model in bodies], ref_template="#/components/schemas/{model}"
    )
    return dict(sorted({**schemas, **written.get("$defs", {})}.items()))
