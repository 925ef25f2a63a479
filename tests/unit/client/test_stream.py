"""Server-Sent Events."""

from collections.abc import AsyncIterator

from ffrtmp.client import stream


async def lines(text: str) -> AsyncIterator[str]:
    for line in text.split("\n"):
        yield line


async def read(text: str) -> list[stream.Message]:
    return [message async for message in stream.messages(lines(text))]


async def test_fields_comments_and_multi_line_data() -> None:
    found = await read(": hi\n\nid: 7\nevent: job.state\ndata: a\ndata:b\nretry: 1500\n\n")
    assert found == [stream.Message("job.state", "a\nb", "7", 1.5)]


async def test_the_last_id_stays_and_a_cut_event_is_dropped() -> None:
    found = await read("id: 7\ndata: a\n\ndata: b\n\nid: 8\ndata: never ended")
    assert [(message.data, message.id, message.event) for message in found] == [
        ("a", "7", "message"),
        ("b", "7", "message"),
    ]
