"""Attempts that come to publish what they made."""

import asyncio
import hashlib
import os
from pathlib import Path

import msgspec
import pytest
from tests.unit.agent.bench import Bench, content, of_file

from ffrtmp.agent import messages as m
from ffrtmp.domain.command import Command
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import OutputFile


async def test_the_bytes_are_on_the_disk_before_it_is_asked_to_publish(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take minutes, and what lies between the master's yes and the rename must not."""
    synced: list[bool] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".ffrtmp-part"):
            synced.append(any(isinstance(event, m.PublishAsked) for event in bench.told))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    assert (await bench.run(of_file())).failure is None
    assert synced[0] is False


async def test_a_lease_that_ends_before_the_rename_publishes_nothing(bench: Bench, clip: Path) -> None:
    bench.may = False
    ended = await bench.run(of_file())
    assert ended.result is ended.failure is None
    assert os.listdir(bench.media) == ["clip.mp4"]


async def test_what_an_earlier_attempt_published_is_adopted(bench: Bench, clip: Path) -> None:
    first = await bench.run(of_file())
    assert first.result is not None
    made = first.result.outputs[0]
    bench.told.clear()
    again = await bench.run(of_file(), prior_publications=[made], number=2)
    assert again.failure is None
    assert again.result is not None
    assert again.result.outputs == [made]
    assert again.result.command == []  # nothing was encoded
    assert again.result.verdict is not None
    assert again.result.verdict.passed


@pytest.mark.parametrize("after", ["it stays", "it is taken back", "another file is there"])
async def test_what_another_users_agent_published_is_replaced_by_a_copy(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """We may not mark it as adopted, and the other agent would take it back when it wakes up late."""
    first = await bench.run(of_file())
    assert first.result is not None
    [made], output = first.result.outputs, bench.media / "out.mp4"
    before = output.stat()

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError

    def may(_: str) -> bool:
        if output.exists() and output.stat().st_ino == before.st_ino and after != "it stays":
            output.unlink()
            if after == "another file is there":
                output.write_text("a person's")
        return True

    monkeypatch.setattr(os, "utime", forbidden)
    bench.told.clear()
    task = bench.start(of_file(), prior_publications=[made], number=2)
    task.attempt.may_publish = may
    await task.wait()
    again = bench.end()
    if after == "another file is there":
        assert again.failure is not None
        assert again.failure.code is Code.OUTPUT_EXISTS
        assert content(output) == b"a person's"
        return
    assert again.failure is None
    assert again.result is not None
    assert (again.result.outputs, again.result.command) == ([made], [])
    assert hashlib.sha256(content(output)).hexdigest() == made.sha256
    assert output.stat().st_ino != before.st_ino


async def test_a_file_that_only_has_the_name_is_not_adopted(bench: Bench, clip: Path) -> None:
    (bench.media / "out.mp4").write_text("somebody else's")
    prior = OutputFile(name="out.mp4", size_bytes=15, sha256="0" * 64, path=str(bench.media / "out.mp4"))
    ended = await bench.run(of_file(), prior_publications=[prior])
    assert ended.failure is not None
    assert ended.failure.code is Code.OUTPUT_EXISTS
    assert content(bench.media / "out.mp4") == b"somebody else's"


async def test_an_output_that_is_not_what_was_asked_is_not_published(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ffrtmp.media import ffmpeg

    build = ffmpeg.build

    def short(*args: object, **more: object) -> list[Command]:
        (made,) = build(*args, **more)  # type: ignore[arg-type]
        return [msgspec.structs.replace(made, argv=(*made.argv[:-1], "-frames:v", "7", made.argv[-1]))]

    monkeypatch.setattr(ffmpeg, "build", short)
    ended = await bench.run(of_file())
    assert ended.failure is not None
    assert ended.failure.code is Code.OUTPUT_INVALID
    assert "7 frames came out" in ended.failure.message
    assert ended.result is not None
    assert ended.result.verdict is not None
    assert not ended.result.verdict.passed
    assert os.listdir(bench.media) == ["clip.mp4"]


async def test_an_output_that_cannot_even_be_read_is_the_outputs_fault(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect = bench.inspector.inspect

    async def cut_off(path: Path, **wanted: object) -> object:
        if wanted.get("decode"):
            await asyncio.to_thread(os.truncate, path, 500)
        return await inspect(path, **wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.inspector, "inspect", cut_off)
    ended = await bench.run(of_file())
    assert ended.failure is not None
    assert ended.failure.code is Code.OUTPUT_INVALID
    assert "ends at byte" in ended.failure.message
    assert os.listdir(bench.media) == ["clip.mp4"]
