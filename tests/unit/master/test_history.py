import pytest

from ffrtmp.client.client import Client
from ffrtmp.master.api import jobs

from .conftest import Running


async def test_a_long_history_comes_in_pages(master: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_PAGE_MAX", 3)
    made = await master.submit()
    for _ in range(2):
        await master.send("POST", f"/jobs/{made['id']}/pause")
        await master.send("POST", f"/jobs/{made['id']}/resume")
    path = f"/jobs/{made['id']}/events"
    seen: list[int] = []
    page = await master.send("GET", path)
    while page.get("next_cursor") is not None:
        assert page["count"] == 3
        seen += [event["seq"] for event in page["events"]]
        page = await master.send("GET", f"{path}?cursor={page['next_cursor']}")
    seen += [event["seq"] for event in page["events"]]
    assert len(seen) >= 5
    assert seen == sorted(set(seen))
    async with Client(master.ready.url) as client:
        whole = await client.history(made["id"])
    assert [event.seq for event in whole.events] == seen
    await master.send("GET", f"/jobs/{made['id']}/events?cursor=x", expect=400)
    await master.send("GET", f"/jobs/{made['id']}/events?cursor=1&cursor=2", expect=400)
