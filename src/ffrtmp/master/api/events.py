"""`GET /events`: Server-Sent Events of job, task and node changes, resumable by Last-Event-ID."""

from typing import Any

import msgspec

from ffrtmp.domain import errors
from ffrtmp.master.http.call import Call, Receive, Scope, Send, Stream
from ffrtmp.protocol import views

#: a comment line keeps proxies from cutting a quiet stream
_KEEPALIVE_SECONDS = 15.0
#: how often a stream looks without being told: an event can be read when all older transactions have ended, which no hint tells
_BACKSTOP_SECONDS = 1.0
_BATCH = 500
_LONGEST_NUMBER = 18  # digits: any such number fits the database
_encode = msgspec.json.Encoder().encode


async def stream(call: Call) -> Any:
    query = dict(call.query())
    after = await _start(call, query)
    job_id = (await call.master.store.get_job(query["job"])).id if "job" in query else None
    node_id = (await call.master.store.get_node(query["node"])).id if "node" in query else None

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"text/event-stream; charset=utf-8"),
                    (b"cache-control", b"no-store"),
                    (b"x-accel-buffering", b"no"),
                ],
            }
        )
        if call.scope["method"] != "HEAD":
            await call.unless_gone(_follow(call, send, after, job_id, node_id))
        await send({"type": "http.response.body", "body": b""})

    return Stream(app=app)


async def _start(call: Call, query: dict[str, str]) -> int:
    """Where to begin: Last-Event-ID, or `after`, or now."""
    where, given = "header.Last-Event-ID", call.header("last-event-id")
    if given is None:
        where, given = "query.after", query.get("after")
    if given is None:
        return await call.master.store.last_event()
    if not (given.isascii() and given.isdigit() and len(given) <= _LONGEST_NUMBER):
        raise errors.InvalidInput(
            faults=[errors.Fault(where, f"{given[:40]!r} is not an event number; 0 begins at the first")]
        )
    return int(given)


async def _follow(call: Call, send: Send, after: int, job_id: str | None, node_id: str | None) -> None:
    master = call.master
    quiet = 0.0
    await send({"type": "http.response.body", "body": b": connected\n\n", "more_body": True})
    while not master.stopping.is_set():
        try:
            events = await master.store.events(after=after, limit=_BATCH, job_id=job_id, node_id=node_id)
        except errors.Unavailable:
            events = []  # the database is away: the stream goes on when it is back
        if events:
            body = b"".join(
                b"id: %d\nevent: %s\ndata: %s\n\n"
                % (event.seq, event.kind.value.encode(), _encode(views.event_view(event)))
                for event in events
            )
            after = events[-1].seq
            quiet = 0.0
            await send({"type": "http.response.body", "body": body, "more_body": True})
            continue
        await master.events.changed(_BACKSTOP_SECONDS)
        quiet += _BACKSTOP_SECONDS
        if quiet >= _KEEPALIVE_SECONDS:
            quiet = 0.0
            await send({"type": "http.response.body", "body": b": alive\n\n", "more_body": True})
