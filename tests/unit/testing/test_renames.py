"""The bystander at a directory sees every rename, an overwriting one too."""

import asyncio
from pathlib import Path

import pytest

from ffrtmp.testing.renames import Renamed, Watch


async def test_every_rename_is_told_with_both_names(tmp_path: Path) -> None:
    told: asyncio.Queue[Renamed] = asyncio.Queue()
    watch = Watch(tmp_path, told.put_nowait)
    for number in range(2):
        stage = tmp_path / f".a.{number}.part"
        stage.write_text("x")
        stage.rename(tmp_path / "a")
    found = [await told.get(), await told.get()]
    assert [(one.name, one.was) for one in found] == [("a", ".a.0.part"), ("a", ".a.1.part")]
    # the time is the file's own, whenever it is read
    assert found[1].at == (tmp_path / "a").stat().st_ctime_ns / 1e9
    (tmp_path / "a").rename(tmp_path / "b")
    watch.close()  # reads what is left
    assert (await told.get()).name == "b"
    assert watch.complete


async def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="inotify"):
        Watch(tmp_path / "none", print)
