import asyncio
import hashlib
import os
import re
import sys
from pathlib import Path

import pytest

from .conftest import Running, both_databases

pytestmark = both_databases

_BYTES = bytes(range(256)) * 4000
_SHA256 = hashlib.sha256(_BYTES).hexdigest()


async def _announce(master: Running, **changes: object) -> str:
    body = {"name": "in.mp4", "size_bytes": len(_BYTES), "sha256": _SHA256, **changes}
    return str((await master.send("POST", "/uploads", expect=201, json=body))["id"])


async def test_an_upload_goes_on_where_it_broke_and_comes_back_in_ranges(master: Running) -> None:
    upload = await _announce(master)
    half = len(_BYTES) // 2
    first = await master.send("PUT", f"/uploads/{upload}", content=_BYTES[:half], headers={"Upload-Offset": "0"})
    assert (first["offset"], first["complete"]) == (half, False)
    head = await master.client.head(f"/uploads/{upload}")
    assert head.headers["upload-offset"] == str(half)
    assert (await master.client.get(f"/uploads/{upload}/content")).status_code == 404
    wrong = await master.send("PUT", f"/uploads/{upload}", expect=409, content=b"x", headers={"Upload-Offset": "7"})
    assert wrong["code"] == "wrong_offset"
    rest = await master.send("PUT", f"/uploads/{upload}", content=_BYTES[half:], headers={"Upload-Offset": str(half)})
    assert rest["complete"]
    assert (await master.send("PUT", f"/uploads/{upload}", content=b""))["complete"]
    whole = await master.client.get(f"/uploads/{upload}/content")
    assert whole.content == _BYTES
    assert whole.headers["etag"] == f'"{_SHA256}"'
    part = await master.client.get(f"/uploads/{upload}/content", headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, _BYTES[1000:2000])


async def test_a_sealed_file_is_on_the_disk_before_it_has_its_name(
    master: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await _announce(master)
    folder = master.settings.artifacts_dir
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), (folder / upload).exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    await master.send("PUT", f"/uploads/{upload}", content=_BYTES)
    ours = [one for one in synced if one[0].startswith(str(folder))]
    assert ours == [(str(folder / f"{upload}.part"), False), (str(folder), True)]


async def test_bytes_that_do_not_hash_as_announced_are_thrown_away(master: Running) -> None:
    upload = await _announce(master, sha256="0" * 64)
    problem = await master.send("PUT", f"/uploads/{upload}", expect=400, content=_BYTES)
    assert problem["code"] == "checksum_mismatch"
    assert (await master.send("GET", f"/uploads/{upload}"))["offset"] == 0
    assert [path.name for path in master.settings.artifacts_dir.iterdir()] == [".lock"]


async def test_more_bytes_than_announced_are_refused(master: Running) -> None:
    upload = await _announce(master, size_bytes=10)
    assert (await master.send("PUT", f"/uploads/{upload}", expect=413, content=_BYTES))["code"] == "upload_too_large"


async def test_an_announcement_names_what_is_wrong_with_it(master: Running) -> None:
    body = {"name": "../x", "size_bytes": 0, "sha256": "abc"}
    problem = await master.send("POST", "/uploads", expect=400, json=body)
    assert {fault["path"] for fault in problem["errors"]} == {"name", "size_bytes", "sha256"}


async def test_an_upload_larger_than_the_disk_is_refused_at_once(master: Running) -> None:
    body = {"name": "x", "size_bytes": 1 << 44, "sha256": _SHA256}
    assert (await master.send("POST", "/uploads", expect=503, json=body))["code"] == "disk_full"


async def test_a_jobs_output_is_downloaded_by_name(master: Running) -> None:
    node = await master.node()
    await master.submit()
    attempt = (await node.lease())["grants"][0]["attempt_id"]
    upload = await _announce(master)
    made = {"name": "out.mp4", "size_bytes": len(_BYTES), "sha256": _SHA256, "upload_id": upload}
    refused = await node.report(attempt, "complete", expect=400, result={"outputs": [made]})
    assert "upload" in refused["detail"]
    await master.send("PUT", f"/uploads/{upload}", content=_BYTES)
    await node.report(attempt, "complete", result={"outputs": [made], "engine": "ffmpeg"})
    url = (await master.send("GET", "/jobs/1/outputs"))["outputs"][0]["url"]
    assert (await master.client.get(url)).content == _BYTES
    assert (await master.client.get("/jobs/1/outputs/other.mp4")).status_code == 404


async def test_transfers_are_counted(master: Running) -> None:
    upload = await _announce(master)
    await master.send("PUT", f"/uploads/{upload}", content=_BYTES)
    await master.client.get(f"/uploads/{upload}/content")
    text = (await master.client.get(str(master.ready.metrics_url))).text
    counted = dict(re.findall(r'scheduler_http_bandwidth_bytes_total\{direction="(\w+)"\} (\S+)', text))
    assert float(counted["in"]) >= len(_BYTES)
    assert float(counted["out"]) >= len(_BYTES)


async def test_an_upload_id_never_leaves_the_directory(master: Running, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    for upload in ("..%2Fsecret", "%2e%2e", "a.part"):
        assert (await master.client.get(f"/uploads/{upload}/content")).status_code == 404


async def test_ranges_that_cannot_be(master: Running) -> None:
    upload = await _announce(master)
    await master.send("PUT", f"/uploads/{upload}", content=_BYTES)
    for wanted in ("bytes=99999999-", "bytes=9999999999999999999999999-"):
        beyond = await master.client.get(f"/uploads/{upload}/content", headers={"Range": wanted})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(_BYTES)}")
        assert beyond.json()["code"] == "range_not_satisfiable"
    for wanted in ("lines=1-2", "bytes=", "bytes=x-y", "bytes=9-2", "bytes"):
        whole = await master.client.get(f"/uploads/{upload}/content", headers={"Range": wanted})
        assert (whole.status_code, len(whole.content)) == (200, len(_BYTES)), wanted


async def test_bytes_that_another_master_has_are_asked_for_by_their_directory(master: Running) -> None:
    upload = await _announce(master)
    await master.send("PUT", f"/uploads/{upload}", content=_BYTES)
    (master.settings.artifacts_dir / upload).unlink()
    problem = await master.send("GET", f"/uploads/{upload}/content", expect=503)
    assert problem["code"] == "artifact_missing"
    assert str(master.settings.artifacts_dir.resolve()) in problem["detail"]
    assert "--artifacts" in problem["detail"]


async def test_an_upload_that_another_process_is_writing_is_left_to_it(master: Running) -> None:
    upload = await _announce(master)
    script = (
        "import pathlib, sys; from ffrtmp.master.artifacts import Artifacts; made = Artifacts(pathlib.Path(sys.argv[1]));"
        "made.open();\nwith made.alone(sys.argv[2]): print(flush=True); sys.stdin.read()"
    )
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(master.settings.artifacts_dir), upload,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdin is not None
    await other.stdout.readline()
    problem = await master.send("PUT", f"/uploads/{upload}", expect=503, content=_BYTES)
    assert problem["code"] == "upload_busy"
    other.stdin.close()
    await other.wait()
    await master.send("PUT", f"/uploads/{upload}", content=_BYTES)
    assert (await master.client.get(f"/uploads/{upload}/content")).content == _BYTES


async def test_a_file_that_is_gone_is_told_and_logged(master: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retention removes it between our look and our reading."""
    upload = await _announce(master)
    await master.send("PUT", f"/uploads/{upload}", content=_BYTES)
    (master.settings.artifacts_dir / upload).unlink()
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    problem = await master.send("GET", f"/uploads/{upload}/content", expect=500)
    assert problem["code"] == "internal"
