"""A helper that answers JSON lines, ended and killed in every way."""

import asyncio
import os
import signal
import sys

import pytest

from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.process.service import Service, ServiceDied

#: doubles numbers; "die" ends it, "wait" is only answered after a cancel was read
HELPER = """
import json, os, sys
held = None
for line in sys.stdin:
    told = json.loads(line)
    if "cancel" in told:
        print(json.dumps({"id": held, "answer": "late"}), flush=True)
    elif told.get("do") == "die":
        print("something broke", file=sys.stderr, flush=True)
        os._exit(9)
    elif told.get("do") == "die once" and not os.path.exists(told["mark"]):
        open(told["mark"], "w").close()
        os._exit(9)
    elif told.get("do") == "wait":
        held = told["id"]
        print(json.dumps({"id": 0}), flush=True)
    else:
        print(json.dumps({"id": told["id"], "answer": told.get("number", 0) * 2, "pid": os.getpid()}), flush=True)
"""


@pytest.fixture
async def service():
    made = Service(
        Command(name="helper", argv=(sys.executable, "-c", HELPER), limits=CommandLimits(stop_grace_seconds=20))
    )
    yield made
    await made.close()
    assert made.pid is None


async def test_many_requests_share_one_child(service):
    assert service.pid is None
    replies = await asyncio.gather(*(service.request({"number": n}, timeout_seconds=30) for n in range(20)))
    assert [reply["answer"] for reply in replies] == [2 * n for n in range(20)]
    assert {reply["pid"] for reply in replies} == {service.pid}


async def test_it_is_started_anew_after_it_was_killed(service):
    first = await service.request({}, timeout_seconds=30)
    os.kill(first["pid"], signal.SIGKILL)
    second = await service.request({}, timeout_seconds=30)
    assert second["pid"] != first["pid"]


async def test_one_that_is_dead_but_not_reaped_is_not_asked_twice(service):
    first = await service.request({}, timeout_seconds=30)
    os.kill(first["pid"], signal.SIGKILL)
    os.waitid(os.P_PID, first["pid"], os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222  the loop must not see it yet
    assert (await service.request({"number": 1}, timeout_seconds=30))["answer"] == 2


async def test_a_request_that_kills_it_is_asked_twice_and_then_fails_with_what_it_said(service):
    with pytest.raises(ServiceDied, match=r"exit code 9.*something broke"):
        await service.request({"do": "die"}, timeout_seconds=30)
    assert (await service.request({"number": 4}, timeout_seconds=30))["answer"] == 8


async def test_a_request_that_was_under_way_when_it_died_is_asked_again(service, tmp_path):
    asked = {"do": "die once", "mark": str(tmp_path / "mark"), "number": 3}
    assert (await service.request(asked, timeout_seconds=30))["answer"] == 6


async def test_a_cancelled_request_is_cancelled_in_the_child(service):
    first = await service.request({}, timeout_seconds=30)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(service.request({"do": "wait"}, timeout_seconds=30), 0.05)
    assert (await service.request({"number": 1}, timeout_seconds=30)) == {"id": 3, "answer": 2, "pid": first["pid"]}


async def test_one_that_does_not_answer_in_time_is_ended_and_the_next_request_finds_another(service):
    first = await service.request({}, timeout_seconds=30)
    os.kill(first["pid"], signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        await service.request({}, timeout_seconds=0.05)
    assert (await service.request({"number": 1}, timeout_seconds=30))["pid"] != first["pid"]


async def test_an_idle_service_gives_its_memory_back():
    service = Service(Command(name="helper", argv=(sys.executable, "-c", HELPER)), idle_seconds=0.01)
    pid = (await service.request({}, timeout_seconds=30))["pid"]
    fd = os.pidfd_open(pid)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(fd, ended.set)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(fd)
    os.close(fd)
    assert (await service.request({"number": 2}, timeout_seconds=30))["answer"] == 4
    await service.close()
