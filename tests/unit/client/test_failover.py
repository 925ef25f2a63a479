"""A client with several masters: which is asked, what goes on to the next, and who is told."""

import hashlib
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.unit.client.helpers import Handler, NoJitter, _Direct, problem

from ffrtmp.client import masters
from ffrtmp.client.client import Client
from ffrtmp.domain import errors, job
from ffrtmp.protocol import agent

HEALTH = {"status": "ok", "version": "1", "database": "sqlite", "uptime_seconds": 1}
A, B, C = "http://a:1", "http://b:1", "http://c:1"


class Farm:
    """Masters by host. `down`: those that refuse connections; `seen`: (host, path) of each request that reached one."""

    def __init__(self, answer: Handler) -> None:
        self.down: set[str] = set()
        self.seen: list[tuple[str, str]] = []
        self.changes: list[tuple[str, str, str]] = []
        self._answer = answer

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host in self.down:
            raise httpx.ConnectError("refused", request=request) from ConnectionRefusedError(111, "x")
        self.seen.append((host, request.url.path))
        answer = self._answer(request)
        return answer if isinstance(answer, httpx.Response) else await answer

    def client(self, *urls: str, api_key: str = "") -> Client:
        def told(before: str, to: str, why: str) -> None:
            self.changes.append((before, to, why))

        made = Client(urls or (A, B, C), transport=_Direct(self), on_change=told, api_key=api_key)
        made._wire.rng = NoJitter()
        return made

    @property
    def hosts(self) -> list[str]:
        return [host for host, _ in self.seen]


def healthy(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=HEALTH)


async def test_reports_share_the_time_that_they_are_given() -> None:
    limits: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/health":
            limits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={"attempt_id": "a", "state": "done", "job_state": "completed"})

    async with Farm(answer).client() as client:
        about = {"node_id": "n", "incarnation": "i"}
        await client.publish("a", agent.Publish(**about, outputs=[]), timeout=6)
        await client.complete("a", agent.Complete(**about, result=job.Result()), timeout=6)
        await client.fail(
            "a", agent.Fail(**about, failure=errors.Failure(code=errors.Code.STALLED, message="")), timeout=6
        )
        await client.give_back("a", agent.GiveBack(**about, reason=""), timeout=6)
    assert limits == [2.0] * 4


async def test_one_that_is_gone_is_passed_over_at_once_and_the_next_one_is_kept() -> None:
    farm = Farm(healthy)
    async with farm.client() as client:
        await client.health()
        farm.down = {"a"}
        await client.health()
        await client.health()
        farm.down = set()
        await client.health()
    assert farm.hosts == ["a", "b", "b", "b"]
    assert [(before, to) for before, to, _ in farm.changes] == [(A, B)]
    assert "connection refused" in farm.changes[0][2]


async def test_a_master_hears_that_another_may_have_had_the_lease_request() -> None:
    heard: list[bool] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("lease"):
            return healthy(request)
        heard.append(msgspec.json.decode(request.content, type=agent.LeaseRequest).again)
        if len(heard) == 1:
            raise httpx.ReadError("reset", request=request)
        return httpx.Response(200, content=msgspec.json.encode(agent.LeaseReply(ttl_seconds=30, held_seconds=0)))

    async with Farm(answer).client() as client:
        for _ in range(2):
            await client.lease("n1", agent.LeaseRequest(incarnation="i", request_id="r", free_slots=1))
    assert heard == [False, True, False]


async def test_with_two_of_three_gone_no_call_of_an_agent_fails(tmp_path: Path) -> None:
    data = b"x" * 100_000
    whole = agent.UploadStatus(
        id="u", name="n", size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), offset=len(data), complete=True
    )
    begun = msgspec.structs.replace(whole, offset=0, complete=False)
    answers = {
        "/nodes/register": agent.Registered(id="n1", name="n", heartbeat_interval_seconds=30, ttl_seconds=30),
        "/nodes/n1/lease": agent.LeaseReply(ttl_seconds=30, held_seconds=0),
        "/nodes/n1/heartbeat": agent.BeatReply(ttl_seconds=30),
        "/attempts/x/give-back": agent.AttemptReply(attempt_id="x", state="returned", job_state="queued"),
        "/uploads": begun,
        "/uploads/u": whole,
    }

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            assert await request.aread() == data
        if request.url.path.endswith("content"):
            return httpx.Response(200, stream=httpx.ByteStream(data))
        return httpx.Response(200, content=msgspec.json.encode(answers[request.url.path]))

    source, made = tmp_path / "in", tmp_path / "out"
    source.write_bytes(data)
    for alive in "abc":
        farm = Farm(answer)
        farm.down = set("abc") - {alive}
        made.unlink(missing_ok=True)
        calls: list[Callable[[Client], Awaitable[object]]] = [
            lambda client: client.register(agent.Register(name="n", incarnation="i")),
            lambda client: client.lease("n1", agent.LeaseRequest(incarnation="i", request_id="r", free_slots=1)),
            lambda client: client.beat("n1", agent.Beat(incarnation="i"), timeout=1),
            lambda client: client.give_back("x", agent.GiveBack(node_id="n1", incarnation="i", reason="r")),
            lambda client: client.upload(source),
            lambda client: client.download_upload("u", made),
        ]
        for call in calls:  # each of them as the first one that notices
            async with farm.client() as client:
                await call(client)
        assert set(farm.hosts) == {alive}
        assert made.read_bytes() == data


async def test_an_upload_goes_on_at_another_master_when_one_goes_in_the_middle(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    got = bytearray()

    def status() -> httpx.Response:
        found = agent.UploadStatus(
            id="u", name="n", size_bytes=len(data), sha256="0" * 64, offset=len(got), complete=len(got) == len(data)
        )
        return httpx.Response(200, content=msgspec.json.encode(found), headers={"Upload-Offset": str(len(got))})

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.method != "PUT":
            return status()
        assert int(request.headers["Upload-Offset"]) == len(got)
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for piece in request.stream:
            got.extend(piece)
            if request.url.host == "a" and len(got) > len(data) // 2:
                farm.down = {"a"}
                raise httpx.WriteError("broken pipe", request=request)
        return status()

    farm = Farm(answer)
    source = tmp_path / "in"
    source.write_bytes(data)
    async with farm.client(A, B) as client:
        await client.upload(source)
    assert bytes(got) == data
    assert [path for host, path in farm.seen if host == "b"] == ["/uploads/u", "/uploads/u"]


async def test_events_go_on_at_another_master_where_they_were() -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        seq = len(asked)
        event = {"seq": seq, "at": "t", "kind": "job.queued", "data": {}}
        if request.url.host == "a":
            farm.down = {"a"}
        return httpx.Response(200, text=f"id: {seq}\ndata: {json.dumps(event)}\n\n")

    farm = Farm(answer)
    async with farm.client(A, B) as client:
        events = client.events()
        assert [(await anext(events)).seq, (await anext(events)).seq] == [1, 2]
        await events.aclose()  # type: ignore[attr-defined]
    assert asked == [None, "1"]
    assert farm.hosts == ["a", "b"]


async def test_not_now_goes_on_and_a_refusal_does_not() -> None:
    farm = Farm(lambda request: problem(503, "unavailable") if request.url.host == "a" else healthy(request))
    async with farm.client() as client:
        await client.health()
    assert farm.hosts == ["a", "b"]
    farm = Farm(lambda _: problem(404, "not_found"))
    async with farm.client() as client:
        with pytest.raises(errors.NotFound):
            await client.job("x")
    assert farm.hosts == ["a"]


async def test_when_all_are_away_each_is_named() -> None:
    farm = Farm(healthy)
    farm.down = {"a", "b", "c"}
    async with farm.client() as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.beat("n", agent.Beat(), timeout=1)
    said = "http://a:1: connection refused; http://b:1: connection refused; http://c:1: connection refused."
    assert caught.value.message == f"None of the masters answers. {said}"
    assert caught.value.code == "master_unreachable"
    assert farm.changes == []


async def test_a_nodes_credential_holds_at_every_master_and_only_registering_takes_the_api_key() -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Authorization"])
        reply = agent.Registered(id="n1", name="n", heartbeat_interval_seconds=30, ttl_seconds=30, credential="ffn_x")
        return httpx.Response(200, content=msgspec.json.encode(reply))

    farm = Farm(answer)
    async with farm.client(api_key="ffk_all") as client:
        await client.register(agent.Register(incarnation="i"))
        farm.down = {"a"}
        await client._wire.call("GET", "/x", agent.Registered)
        await client.register(agent.Register(incarnation="i"))
    assert keys == ["Bearer ffk_all", "Bearer ffn_x", "Bearer ffk_all"]
    assert farm.hosts == ["a", "b", "b"]


class TestMasters:
    """Which of them is asked, and when one that was away is asked again."""

    def made(self) -> None:
        self.now = 0.0
        self.changes: list[tuple[str, str]] = []
        self.members = [masters.Member(url) for url in "abc"]
        self.masters = masters.Masters(
            self.members,
            random.Random(1),
            on_change=lambda before, to, _: self.changes.append((before, to)),
            clock=lambda: self.now,
        )

    def order(self) -> str:
        return "".join(member.url for member in self.masters.in_turn())

    def test_those_that_rest_come_last_and_come_back(self) -> None:
        self.made()
        a, b, _ = self.members
        assert self.order() == "abc"
        self.masters.failed(a, "away")
        assert self.order() == "bca"
        self.masters.failed(b, "away")
        assert self.order() == "cab"
        self.now = 2.0
        self.masters.answered(self.members[2])
        assert self.order() == "cab"  # it stays where it is: nobody runs back to the first

    def test_each_failure_makes_the_rest_longer_up_to_a_minute(self) -> None:
        self.made()
        a = self.members[0]
        for expected in (1, 2, 4, 8, 16, 32, 60, 60):
            self.masters.failed(a, "away")
            assert expected / 2 <= a.rests_until <= expected
        self.masters.answered(a)
        assert a.rests_until == 0

    def test_many_calls_that_fail_at_one_master_leave_it_once(self) -> None:
        self.made()
        a, b, _ = self.members
        for _ in range(5):
            self.masters.failed(a, "away")
        for _ in range(5):
            self.masters.answered(b)
        assert self.changes == [("a", "b")]
        assert self.masters.current is b

    def test_a_return_to_the_same_one_is_no_news(self) -> None:
        self.made()
        a, b, c = self.members
        for member in (a, b, c):
            self.masters.failed(member, "the database is away")
        assert self.masters.current is a
        self.masters.answered(a)
        assert self.changes == []

    def test_a_single_one_is_always_asked(self) -> None:
        alone = masters.Member("a")
        one = masters.Masters([alone], random.Random(1))
        one.failed(alone, "away")
        assert one.in_turn() == [alone]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("a, b ,a", ("a", "b")),
        (["https://a:1,https://b:2", "c"], ("https://a:1", "https://b:2", "c")),
    ],
)
def test_addresses_as_people_write_them(written: str | list[str], found: tuple[str, ...]) -> None:
    assert masters.addresses(written) == found


@pytest.mark.parametrize(
    ("written", "named"), [("a,ftp://b", "'ftp://b'"), (["a:1", "b:x"], "'b:x'"), (",", "''"), ((), "''")]
)
def test_what_is_no_address_is_named(written: str | list[str], named: str) -> None:
    with pytest.raises(errors.InvalidInput, match=f"The master's address {named}"):
        masters.addresses(written)
