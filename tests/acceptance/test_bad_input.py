"""What is wrong with a file is said with a stable code, and nothing is left behind."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

from ffrtmp.client.client import Client
from ffrtmp.testing import programs
from ffrtmp.testing.waiting import until

from .conftest import BUNNY

_FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def _ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([_FFMPEG, "-v", "error", "-nostdin", *map(str, arguments)], check=True, timeout=60)


@pytest.fixture
async def running(farm: programs.Farm) -> AsyncIterator[tuple[programs.Farm, Client]]:
    master = await farm.master("--max-retries", "1")
    await farm.agent("a", master)
    async with Client(farm.url) as client:
        yield farm, client


async def _run(client: Client, **parameters: Any) -> Any:
    made = await client.submit({"parameters": {"codec": "h264", "preset": "ultrafast", **parameters}})
    return await until(client, made.id)


async def test_inputs_that_cannot_be_encoded_fail_with_their_code_and_leave_nothing(
    running: tuple[programs.Farm, Client], tmp_path: Path
) -> None:
    farm, client = running
    media = farm.media
    whole = BUNNY.read_bytes()
    (media / "text.mp4").write_text("this is no video\n" * 1000)
    (media / "empty.mp4").write_bytes(b"")
    _ffmpeg("-i", BUNNY, "-c", "copy", "-movflags", "+faststart", media / "fast.mp4")
    fast = (media / "fast.mp4").read_bytes()
    (media / "fast.mp4").unlink()
    (media / "truncated.mp4").write_bytes(fast[: len(fast) // 2])
    (media / "no-index.mp4").write_bytes(
        whole[: len(whole) // 2] if whole.find(b"moov") > len(whole) // 2 else b"\0" * 999
    )
    _ffmpeg("-f", "lavfi", "-i", "sine=d=1", media / "audio.m4a")
    (media / "list.mp4").write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    (media / "hls.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n")
    shutil.copy(BUNNY, media / "secret.mp4")
    (media / "directory.mp4").mkdir()
    (tmp_path / "outside.mp4").write_bytes(whole)
    (media / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    before = {path.name: path.stat().st_size for path in media.iterdir()}
    expected = {
        "missing.mp4": "input_missing",
        "text.mp4": "input_invalid",
        "empty.mp4": "input_invalid",
        "truncated.mp4": "input_truncated",
        "no-index.mp4": "input_invalid",
        "audio.m4a": "no_video_stream",
        "list.mp4": "input_invalid",
        "hls.mp4": "input_invalid",
        "directory.mp4": "input_invalid",
        str(tmp_path / "outside.mp4"): "input_forbidden",
        "link.mp4": "input_forbidden",
        "/dev/zero": "input_forbidden",
    }
    found = {}
    for name in expected:
        job = await _run(client, input=name, output="out.mp4")
        assert job.state == "failed", name
        assert job.failure is not None
        assert job.failure.message
        assert job.failure.advice
        found[name] = job.failure.code
    assert found == expected
    assert {path.name: path.stat().st_size for path in media.iterdir()} == before
    assert not list((tmp_path / "work-a").glob("attempts/*"))


async def test_outputs_that_must_not_be_written_are_not(running: tuple[programs.Farm, Client], tmp_path: Path) -> None:
    farm, client = running
    shutil.copy(BUNNY, farm.media / "in.mp4")
    (farm.media / "there.mp4").write_text("precious")
    (farm.media / "away").symlink_to(tmp_path)
    codes = {}
    for output in ("there.mp4", str(tmp_path / "x.mp4"), "away/x.mp4", "no/such/folder/x.mp4", "in.mp4"):
        job = await _run(client, input="in.mp4", output=output)
        codes[Path(output).name if output.startswith("/") else output] = job.failure.code if job.failure else job.state
    assert codes == {
        "there.mp4": "output_exists",
        "x.mp4": "output_forbidden",
        "away/x.mp4": "output_forbidden",
        "no/such/folder/x.mp4": "output_forbidden",
        "in.mp4": "output_exists",
    }
    assert (farm.media / "there.mp4").read_text() == "precious"
    assert not (tmp_path / "x.mp4").exists()
    assert (farm.media / "in.mp4").read_bytes() == BUNNY.read_bytes()
    over = await _run(client, input="in.mp4", output="there.mp4", overwrite=True)
    assert over.state == "completed"
    assert (farm.media / "there.mp4").stat().st_size > 1000
    same = await _run(client, input="in.mp4", output="in.mp4", overwrite=True)
    assert same.state == "failed"
    assert (farm.media / "in.mp4").read_bytes() == BUNNY.read_bytes()


async def test_limits_end_a_job_with_their_code(running: tuple[programs.Farm, Client]) -> None:
    farm, client = running
    shutil.copy(BUNNY, farm.media / "in.mp4")
    slow = {"codec": "h265", "preset": "veryslow", "resolution": "1280x720", "input": "in.mp4", "output": "slow.mp4"}
    late = await _run(client, **slow, resource_limits={"timeout_sec": 1})
    assert (late.state, late.failure.code) == ("timed_out", "timed_out")
    big = {"input": "generate", "duration": 60, "resolution": "1280x720", "crf": 0, "output": "big.mp4"}
    wide = await _run(client, **big, resource_limits={"max_disk_mb": 1})
    assert (wide.state, wide.failure.code) == ("failed", "disk_limit")
    assert {path.name for path in farm.media.iterdir()} == {"in.mp4"}
