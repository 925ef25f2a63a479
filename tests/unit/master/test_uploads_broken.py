"""Uploads that break, come twice, are given up, or are open when the master stops."""

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ffrtmp.master import artifacts
from ffrtmp.master.settings import MasterSettings

from .conftest import Running, run_master

_BYTES = os.urandom(5 << 20)
_SHA256 = hashlib.sha256(_BYTES).hexdigest()


async def _announce(master: Running, **changes: object) -> str:
    body = {"name": "in.mp4", "size_bytes": len(_BYTES), "sha256": _SHA256, **changes}
    return str((await master.send("POST", "/uploads", expect=201, json=body))["id"])


class _Slow:
    """A PUT whose bytes come when the test says so."""

    def __init__(self, master: Running, upload: str, offset: int = 0) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        headers = {"Upload-Offset": str(offset)}
        self.client = httpx.AsyncClient(base_url=master.ready.url, timeout=30, trust_env=False)
        self.answer = asyncio.create_task(
            self.client.put(f"/uploads/{upload}", content=self._body(), headers=headers), name="slow put"
        )

    async def _body(self) -> AsyncIterator[bytes]:
        while piece := await self._pieces.get():
            yield piece

    def send(self, piece: bytes | None) -> None:
        """None: it was the last."""
        self._pieces.put_nowait(piece)

    async def close(self) -> None:
        self.answer.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
            await self.answer
        await self.client.aclose()


async def _offset(master: Running, upload: str, at_least: int) -> int:
    """How far the upload is, once it is so far."""
    while (offset := int((await master.client.head(f"/uploads/{upload}")).headers["upload-offset"])) < at_least:
        pass
    return offset


async def test_the_newest_of_two_senders_goes_on(master: Running) -> None:
    """The older one's connection may be half open for minutes after its client is gone."""
    upload = await _announce(master)
    old = _Slow(master, upload)
    old.send(_BYTES[: 2 << 20])
    offset = await _offset(master, upload, 1 << 20)
    new = await master.client.put(f"/uploads/{upload}", content=_BYTES[offset:], headers={"Upload-Offset": str(offset)})
    if new.status_code == 409:  # the old one had more bytes on their way: the answer says where to go on
        assert new.json()["code"] == "wrong_offset"
        offset = await _offset(master, upload, offset)
        rest = _BYTES[offset:]
        new = await master.client.put(f"/uploads/{upload}", content=rest, headers={"Upload-Offset": str(offset)})
    assert new.json()["complete"]
    old.send(None)
    answer = await old.answer
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_replaced")
    await old.close()
    assert (await master.client.get(f"/uploads/{upload}/content")).content == _BYTES


async def test_many_senders_at_once_make_one_whole_file(master: Running) -> None:
    upload = await _announce(master)

    async def send() -> int:
        answer = await master.client.put(f"/uploads/{upload}", content=_BYTES)
        return answer.status_code

    statuses = await asyncio.gather(*(send() for _ in range(8)))
    assert set(statuses) <= {200, 409}
    status = await master.send("GET", f"/uploads/{upload}")
    if not status["complete"]:
        offset = status["offset"]
        await master.send("PUT", f"/uploads/{upload}", content=_BYTES[offset:], headers={"Upload-Offset": str(offset)})
    assert (await master.client.get(f"/uploads/{upload}/content")).content == _BYTES


async def test_asking_again_while_it_is_hashed_waits_for_the_end(
    master: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that gave up waiting for a long hash sends no bytes and asks again."""
    hashing, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    seal = artifacts._seal

    def slowly(*arguments: Any) -> str:
        loop.call_soon_threadsafe(hashing.set)
        go_on.wait(30)
        return seal(*arguments)

    monkeypatch.setattr(artifacts, "_seal", slowly)
    upload = await _announce(master)
    first = asyncio.create_task(master.client.put(f"/uploads/{upload}", content=_BYTES))
    await hashing.wait()
    again = asyncio.create_task(master.client.put(f"/uploads/{upload}", headers={"Upload-Offset": str(len(_BYTES))}))
    await master.send("GET", f"/uploads/{upload}")
    go_on.set()
    assert [(answer.status_code, answer.json()["complete"]) for answer in (await first, await again)] == [
        (200, True)
    ] * 2


async def _raw_put(
    master: Running, upload: str, headers: str, sent: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A PUT whose client reads the answer whatever became of the body."""
    host, port = master.ready.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"PUT /uploads/{upload} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n".encode() + sent)
    return reader, writer


async def _finish(master: Running, upload: str) -> None:
    """What is there is the beginning of the bytes, no more and no less."""
    while True:
        offset = await _offset(master, upload, 1 << 20)
        headers = {"Upload-Offset": str(offset)}
        answer = await master.client.put(f"/uploads/{upload}", content=_BYTES[offset:], headers=headers)
        if answer.status_code != 409:
            break
        assert answer.json()["code"] == "wrong_offset"  # the broken request was still writing what it had
    assert answer.json()["complete"]


async def test_a_body_that_breaks_keeps_what_came(master: Running) -> None:
    upload = await _announce(master)
    chunk = b"%x\r\n%b\r\n" % (2 << 20, _BYTES[: 2 << 20])
    reader, writer = await _raw_put(master, upload, "Transfer-Encoding: chunked", chunk)
    await _offset(master, upload, 1 << 20)
    writer.write(b"not a length\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    await _finish(master, upload)


async def test_a_seal_that_was_not_written_down_is_found(master: Running) -> None:
    """The master ended between the rename and the database's commit."""
    upload = await _announce(master)
    (master.settings.artifacts_dir / upload).write_bytes(_BYTES)
    status = await master.send("GET", f"/uploads/{upload}")
    assert (status["offset"], status["complete"]) == (len(_BYTES), False)
    again = await master.send("PUT", f"/uploads/{upload}", headers={"Upload-Offset": str(len(_BYTES))})
    assert again["complete"]
    assert (await master.client.get(f"/uploads/{upload}/content")).content == _BYTES


async def test_a_stop_in_the_middle_of_an_upload_loses_and_doubles_nothing(settings: MasterSettings) -> None:
    upload = ""
    async for master in run_master(settings):
        upload = await _announce(master)
        reader, writer = await _raw_put(master, upload, f"Content-Length: {len(_BYTES)}", _BYTES[: 3 << 20])
        await _offset(master, upload, 1 << 20)
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"stopping"' in answer
    writer.close()
    async for master in run_master(settings):
        await _finish(master, upload)


async def test_a_cancelled_write_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    write = artifacts._write_all

    def slowly(descriptor: int, data: bytes) -> None:
        loop.call_soon_threadsafe(writing.set)
        go_on.wait(30)
        write(descriptor, data)

    monkeypatch.setattr(artifacts, "_write_all", slowly)
    with (tmp_path / "x").open("ab", 0) as file:
        pending = artifacts._Pending(file.fileno(), contextlib.nullcontext)
        task = asyncio.create_task(pending.add(_BYTES))
        await writing.wait()
        task.cancel()
        loop.call_soon(go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        await pending.write()
    assert (tmp_path / "x").read_bytes() == _BYTES


async def test_only_bytes_that_nobody_went_on_with_are_idle(tmp_path: Path) -> None:
    store = artifacts.Artifacts(tmp_path)
    for name, age in (("new.part", 0), ("old.part", 7200), ("whole", 0), ("aged", 7200)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert await store.idle(["new", "old", "whole", "aged", "nothing"], 3600) == ["old", "aged", "nothing"]


async def test_an_outputs_name_is_quoted_in_its_url(master: Running) -> None:
    node = await master.node()
    await master.submit()
    attempt = (await node.lease())["grants"][0]["attempt_id"]
    name = "a b #1?100%ü.mp4"
    upload = await _announce(master, name=name)
    await master.send("PUT", f"/uploads/{upload}", content=_BYTES)
    made = {"name": name, "size_bytes": len(_BYTES), "sha256": _SHA256, "upload_id": upload}
    await node.report(attempt, "complete", result={"outputs": [made]})
    url = (await master.send("GET", "/jobs/1/outputs"))["outputs"][0]["url"]
    assert (await master.client.get(url)).content == _BYTES
