"""Files up and down over connections that break."""

import hashlib
import os
from pathlib import Path

import httpx
import pytest
from tests.unit.client.helpers import client, problem

from ffrtmp.domain import errors

DATA = bytes(range(256)) * 4000  # a megabyte: four pieces
SHA = hashlib.sha256(DATA).hexdigest()


class Uploads:
    """The master's side of one upload."""

    def __init__(self, *, break_after: list[int] | None = None) -> None:
        self.stored = bytearray()
        self.break_after = break_after or []
        self.offsets: list[int] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            offset = int(request.headers["Upload-Offset"])
            self.offsets.append(offset)
            if offset != len(self.stored):
                return problem(409, "wrong_offset")
            limit = self.break_after.pop(0) if self.break_after else None
            assert isinstance(request.stream, httpx.AsyncByteStream)
            async for piece in request.stream:
                self.stored += piece
                if limit is not None and len(self.stored) >= limit:
                    raise httpx.WriteError("broken", request=request)
        return httpx.Response(
            201 if request.method == "POST" else 200,
            json={
                "id": "u1", "name": "clip", "size_bytes": len(DATA), "sha256": SHA, "offset": len(self.stored),
                "complete": len(self.stored) == len(DATA),
            },
        )  # fmt: skip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(DATA)
    return path


async def test_an_upload_goes_on_after_a_broken_connection(clip: Path) -> None:
    master, seen = Uploads(break_after=[1, 600_000]), list[int]()
    async with client(master) as one:
        status = await one.upload(clip, on_progress=lambda done, _: seen.append(done))
    assert status.complete
    assert bytes(master.stored) == DATA
    assert len(master.offsets) == 3
    assert master.offsets == sorted(master.offsets)
    assert seen[-1] == len(DATA)


async def test_an_upload_gives_up_when_nothing_moves(clip: Path) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            raise httpx.WriteError("broken", request=request)
        return httpx.Response(
            200, json={"id": "u", "name": "c", "size_bytes": len(DATA), "sha256": SHA, "offset": 0, "complete": False}
        )

    async with client(answer) as one:
        with pytest.raises(errors.Unavailable, match="broke"):
            await one.upload(clip)


async def test_an_upload_that_is_refused_says_why(clip: Path) -> None:
    async with client(lambda _: problem(400, "invalid_value", "name: is too long")) as one:
        with pytest.raises(errors.InvalidInput, match="too long"):
            await one.upload(clip)


async def test_an_empty_file_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    async with client(Uploads()) as one:
        with pytest.raises(errors.InvalidInput, match="0 bytes"):
            await one.upload(tmp_path / "empty")


class Outputs:
    """The master's side of a download; each answer breaks after so many bytes."""

    def __init__(self, *pieces: int, ranges: bool = True) -> None:
        self.pieces = list(pieces)
        self.ranges = ranges
        self.starts: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/jobs/7/outputs":
            output = {"name": "out.mp4", "size_bytes": len(DATA), "sha256": SHA, "url": "/jobs/7/outputs/out.mp4"}
            return httpx.Response(200, json={"job_id": "7", "outputs": [output]})
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if not self.ranges:
            start = 0
        self.starts.append(start)
        end = start + self.pieces.pop(0) if self.pieces else len(DATA)
        return httpx.Response(206 if start else 200, stream=httpx.ByteStream(DATA[start:end]))


async def test_a_download_goes_on_and_is_checked(tmp_path: Path) -> None:
    master = Outputs(100_000, 300_000)
    dest = tmp_path / "got.mp4"
    async with client(master) as one:
        await one.download(7, None, dest)
    assert dest.read_bytes() == DATA
    assert master.starts == [0, 100_000, 400_000]
    assert os.listdir(tmp_path) == ["got.mp4"]


async def test_a_download_goes_on_from_what_an_earlier_one_left(tmp_path: Path) -> None:
    dest = tmp_path / "got.mp4"
    (tmp_path / "got.mp4.part").write_bytes(DATA[:5000])
    master = Outputs()
    async with client(master) as one:
        await one.download(7, "out.mp4", dest)
    assert dest.read_bytes() == DATA
    assert master.starts == [5000]


async def test_a_server_without_ranges_starts_again(tmp_path: Path) -> None:
    dest = tmp_path / "got.mp4"
    async with client(Outputs(1000, ranges=False)) as one:
        await one.download(7, None, dest)
    assert dest.read_bytes() == DATA


async def test_a_damaged_download_is_never_shown(tmp_path: Path) -> None:
    dest = tmp_path / "got.mp4"
    (tmp_path / "got.mp4.part").write_bytes(b"x" * 5000)
    async with client(Outputs()) as one:
        with pytest.raises(errors.FfrtmpError, match="damaged"):
            await one.download(7, None, dest)
    assert os.listdir(tmp_path) == []


async def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    dest = tmp_path / "got.mp4"
    dest.write_text("mine")
    async with client(Outputs()) as one:
        with pytest.raises(errors.Conflict) as caught:
            await one.download(7, None, dest)
        assert caught.value.code == "output_exists"
        assert dest.read_text() == "mine"
        await one.download(7, None, dest, overwrite=True)
    assert dest.read_bytes() == DATA


async def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    async with client(Outputs()) as one:
        with pytest.raises(errors.NotFound, match=r"it has: out\.mp4"):
            await one.download(7, "other.mp4", tmp_path / "x")


async def test_an_output_on_a_node_is_named_with_its_place(tmp_path: Path) -> None:
    output = {"name": "o.mp4", "size_bytes": 1, "sha256": SHA, "path": "/media/o.mp4", "node_name": "n1"}
    async with client(lambda _: httpx.Response(200, json={"job_id": "7", "outputs": [output]})) as one:
        with pytest.raises(errors.NotFound, match=r"/media/o\.mp4 on node n1"):
            await one.download(7, None, tmp_path / "x")
