"""RFC 9457 problem documents: the one shape of every error answer."""

import http
from typing import Any

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Fault

CONTENT_TYPE = "application/problem+json"
#: the code of a 404 for a path that the server does not have at all
NO_ROUTE = "no_route"

#: error class → HTTP status; the first match in this order counts
STATUS: tuple[tuple[type[errors.FfrtmpError], int], ...] = (
    (errors.InvalidInput, 400),
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.PayloadTooLarge, 413),
    (errors.IdempotencyMismatch, 422),
    (errors.Unavailable, 503),
)


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`detail` is a sentence that says what to do; `code` is stable; `errors` names each field that is wrong."""

    title: str
    status: int
    code: str
    detail: str
    type: str = "about:blank"
    errors: list[Fault] = []
    state: str | None = None  #: for 409: the true state
    error: str = ""  #: the detail again, where the reference's programs look for it


def status_of(error: errors.FfrtmpError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def problem(error: errors.FfrtmpError) -> Problem:
    """The document for an error."""
    status = status_of(error)
    return Problem(
        title=http.HTTPStatus(status).phrase,
        status=status,
        code=error.code,
        detail=error.message,
        errors=list(error.faults) if isinstance(error, errors.InvalidInput) else [],
        state=error.state if isinstance(error, errors.Conflict) else None,
        error=error.message,
    )


def to_error(status: int, body: bytes) -> errors.FfrtmpError:
    """The error that a problem document tells of (the client raises it)."""
    try:
        found = msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, msgspec.ValidationError):
        text = body[:200].decode(errors="replace").strip()
        found = Problem(title="", status=status, code="error", detail=f"The server answered {status}: {text}")
    kind: Any = next((kind for kind, code in STATUS if code == status), errors.FfrtmpError)
    if kind is errors.InvalidInput:
        return errors.InvalidInput(found.detail, faults=found.errors, code=found.code)
    if kind is errors.Conflict:
        return errors.Conflict(found.detail, state=found.state, code=found.code)
    error: errors.FfrtmpError = kind(found.detail, code=found.code)
    return error
