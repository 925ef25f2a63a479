"""Server-Sent Events (HTML living standard, §9.2): lines in, events out."""

from collections.abc import AsyncIterable, AsyncIterator

import msgspec


class Message(msgspec.Struct, frozen=True):
    """One event of the stream. `id` is the last one seen, `retry_seconds` what the server asks before a reconnection."""

    event: str
    data: str
    id: str
    retry_seconds: float | None = None


async def messages(lines: AsyncIterable[str]) -> AsyncIterator[Message]:
    """Comments (the server's keep-alive) are skipped; an event that the stream's end cuts off is dropped."""
    event, data, last_id = "message", list[str](), ""
    retry: float | None = None
    async for line in lines:
        if not line:
            if data:
                yield Message(event, "\n".join(data), last_id, retry)
            event, data, retry = "message", [], None
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and value.isdigit():
            retry = int(value) / 1000
