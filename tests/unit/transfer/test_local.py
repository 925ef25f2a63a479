"""Paths stay under the roots, outputs appear whole or not at all."""

import ctypes
import errno
import hashlib
import os
import socket
import stat
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from ffrtmp.domain.errors import Code, TaskError
from ffrtmp.transfer import local


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "media"
    made.mkdir()
    (made / "clip.mp4").write_bytes(b"frames")
    return made


def refused(code: Code, call: object, *args: object, **more: object) -> str:
    with pytest.raises(TaskError) as caught:
        call(*args, **more)  # type: ignore[operator]
    assert caught.value.failure.code is code
    return caught.value.message


@pytest.mark.parametrize("spelling", ["clip.mp4", "./clip.mp4", "{root}/clip.mp4", "{root}//./clip.mp4"])
def test_an_input_under_the_root_is_found(root: Path, spelling: str) -> None:
    assert local.resolve_input(spelling.format(root=root), [root]) == root / "clip.mp4"


def test_a_relative_input_is_looked_for_in_each_root(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert local.resolve_input("clip.mp4", [other, root]) == root / "clip.mp4"


def test_links_inside_the_root_are_followed_and_links_out_of_it_are_not(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (root / "inside.mp4").symlink_to("clip.mp4")
    (root / "outside.mp4").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path)
    assert local.resolve_input("inside.mp4", [root]) == root / "clip.mp4"
    refused(Code.INPUT_FORBIDDEN, local.resolve_input, "outside.mp4", [root])
    refused(Code.INPUT_FORBIDDEN, local.resolve_input, "up/secret", [root])


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/etc/not-there", "/dev/zero", "../clip.mp4", "a/../clip.mp4", "-i.mp4", ""]
)
def test_what_is_outside_is_forbidden_whether_it_exists_or_not(root: Path, path: str) -> None:
    refused(Code.INPUT_FORBIDDEN, local.resolve_input, path, [root])


def test_control_characters_and_long_names_are_refused(root: Path) -> None:
    refused(Code.INPUT_FORBIDDEN, local.resolve_input, "a\nb.mp4", [root])
    refused(Code.INPUT_FORBIDDEN, local.resolve_input, "a\0b.mp4", [root])
    refused(Code.OUTPUT_FORBIDDEN, local.resolve_output, "x" * 300 + ".mp4", [root], overwrite=False)


def test_an_agent_without_roots_reads_nothing(root: Path) -> None:
    assert "no --media-root" in refused(Code.INPUT_FORBIDDEN, local.resolve_input, str(root / "clip.mp4"), [])


def test_only_files_with_bytes_are_inputs(root: Path) -> None:
    (root / "dir").mkdir()
    (root / "empty.mp4").touch()
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(root / "socket"))
    assert "directory" in refused(Code.INPUT_INVALID, local.resolve_input, "dir", [root])
    assert "0 bytes" in refused(Code.INPUT_INVALID, local.resolve_input, "empty.mp4", [root])
    assert "pipe" in refused(Code.INPUT_INVALID, local.resolve_input, "pipe", [root])
    assert "socket" in refused(Code.INPUT_INVALID, local.resolve_input, "socket", [root])
    refused(Code.INPUT_MISSING, local.resolve_input, "not-there.mp4", [root])
    refused(Code.INPUT_MISSING, local.resolve_input, "clip.mp4/below", [root])


def test_a_root_that_is_a_link_is_the_operators_choice(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert local.resolve_input("clip.mp4", [tmp_path / "alias"]) == root / "clip.mp4"


def test_outputs(root: Path, tmp_path: Path) -> None:
    assert local.resolve_output("new.mp4", [root], overwrite=False) == root / "new.mp4"
    refused(Code.OUTPUT_EXISTS, local.resolve_output, "clip.mp4", [root], overwrite=False)
    assert local.resolve_output("clip.mp4", [root], overwrite=True) == root / "clip.mp4"
    assert "make it first" in refused(Code.OUTPUT_FORBIDDEN, local.resolve_output, "no/x.mp4", [root], overwrite=False)
    refused(Code.OUTPUT_FORBIDDEN, local.resolve_output, str(tmp_path / "x.mp4"), [root], overwrite=False)
    refused(Code.OUTPUT_FORBIDDEN, local.resolve_output, "../x.mp4", [root], overwrite=False)
    refused(Code.OUTPUT_FORBIDDEN, local.resolve_output, "-x.mp4", [root], overwrite=False)
    (root / "dir.mp4").mkdir()
    refused(Code.OUTPUT_FORBIDDEN, local.resolve_output, "dir.mp4", [root], overwrite=True)
    refused(Code.OUTPUT_FORBIDDEN, local.resolve_output, "/dev/null", [Path("/dev")], overwrite=True)


def test_an_output_link_is_replaced_not_written_through(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("keep")
    (root / "out.mp4").symlink_to(tmp_path / "secret")
    refused(Code.OUTPUT_EXISTS, local.resolve_output, "out.mp4", [root], overwrite=False)
    output = local.resolve_output("out.mp4", [root], overwrite=True)
    stage = local.stage_path(output, "a1")
    stage.write_text("new")
    assert local.publish(stage, output, overwrite=True)
    assert not output.is_symlink()
    assert (tmp_path / "secret").read_text() == "keep"


def test_the_input_is_never_the_output(root: Path) -> None:
    (root / "hard.mp4").hardlink_to(root / "clip.mp4")
    refused(Code.OUTPUT_FORBIDDEN, local.refuse_same_file, root / "clip.mp4", root / "clip.mp4")
    refused(Code.OUTPUT_FORBIDDEN, local.refuse_same_file, root / "clip.mp4", root / "hard.mp4")
    local.refuse_same_file(root / "clip.mp4", root / "other.mp4")


def test_stage_names_fit_and_are_known_again(root: Path) -> None:
    for name in ("out.mp4", "ü" * 127 + ".mp4"[:1], "x" * 255):
        stage = local.stage_path(root / name, "a" * 32)
        assert stage.parent == root
        assert len(os.fsencode(stage.name)) <= 255
        assert local.is_stage_of(stage, "a" * 32)
        assert not local.is_stage_of(stage, "b" * 32)
    assert not local.is_stage_of(root / "clip.mp4", "a" * 32)


def test_publishing_replaces_nothing_unless_asked(root: Path) -> None:
    stage = root / ".stage"
    stage.write_text("new")
    refused(Code.OUTPUT_EXISTS, local.publish, stage, root / "clip.mp4", overwrite=False)
    assert (root / "clip.mp4").read_bytes() == b"frames"
    assert local.publish(stage, root / "new.mp4", overwrite=False)
    assert (root / "new.mp4").read_text() == "new"
    assert not stage.exists()


def test_publishing_works_where_the_file_system_cannot_rename_without_replacing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(local, "_renameat2", lambda: cannot)
    stage = root / ".stage"
    stage.write_text("new")
    refused(Code.OUTPUT_EXISTS, local.publish, stage, root / "clip.mp4", overwrite=False)
    assert local.publish(stage, root / "new.mp4", overwrite=False)
    assert not stage.exists()


def test_publishing_asks_in_the_last_instant(root: Path) -> None:
    stage = root / ".stage"
    stage.write_text("new")
    assert not local.publish(stage, root / "new.mp4", overwrite=False, may=lambda: False)
    assert not (root / "new.mp4").exists()
    assert stage.exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_on_the_disk_before_it_has_its_name(
    root: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, output = root / ".stage", root / "new.mp4"
    stage.write_text("new")
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), output.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    assert local.publish(stage, output, overwrite=overwrite)
    assert synced == [(str(stage), False), (str(root), True)]


@pytest.mark.parametrize(("name", "overwrite"), [("new.mp4", False), ("new.mp4", True), ("clip.mp4", True)])
def test_a_rename_that_came_late_is_taken_back(root: Path, name: str, overwrite: bool) -> None:
    """As on a machine that stood still between the last question and the rename."""
    stage, output = root / ".stage", root / name
    stage.write_text("new")
    seen: list[str] = []

    def may() -> bool:
        seen.append(output.read_text() if output.exists() else "")
        return len(seen) == 1

    assert not local.publish(stage, output, overwrite=overwrite, may=may)
    assert seen[1] == "new"
    assert output.exists() is (name == "clip.mp4")
    assert (root / "clip.mp4").read_bytes() == b"frames"
    assert stage.read_text() == "new"


@pytest.mark.parametrize("name", ["new.mp4", "clip.mp4"])
def test_what_another_attempt_adopted_meanwhile_is_not_taken_back(root: Path, name: str) -> None:
    """As on a machine that stood still after the rename, longer than its lease."""
    stage, output = root / ".stage", root / name
    stage.write_text("new")
    os.utime(stage, (1, 1))
    digest = hashlib.sha256(b"new").hexdigest()
    asked: list[bool] = []

    def may() -> bool:
        asked.append(output.exists() and local.adopt(output, 3, digest))
        return len(asked) == 1

    assert not local.publish(stage, output, overwrite=name == "clip.mp4", may=may)
    assert asked == [False, True]
    assert output.read_text() == "new"
    assert not stage.exists()


@pytest.mark.parametrize("name", ["new.mp4", "clip.mp4"])
def test_what_another_attempt_adopts_in_the_last_instant_stays(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still once more, after it had seen that the file was its own: another attempt's job has completed with it."""
    stage, output = root / ".stage", root / name
    stage.write_text("new")
    os.utime(stage, (1, 1))
    asked: list[bool] = []
    take_back = local._take_back

    def later(*args: Any) -> None:
        assert local.adopt(output, 3, hashlib.sha256(b"new").hexdigest())
        take_back(*args)

    def may() -> bool:
        asked.append(True)
        return len(asked) == 1

    monkeypatch.setattr(local, "_take_back", later)
    assert not local.publish(stage, output, overwrite=name == "clip.mp4", may=may)
    assert output.read_text() == "new"
    assert not stage.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_what_belongs_to_another_user_cannot_be_marked_and_is_copied() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        output, copy = Path(folder, "new.mp4"), Path(folder, ".stage")
        output.write_text("new")
        digest = hashlib.sha256(b"new").hexdigest()
        os.seteuid(65534)
        try:
            with pytest.raises(PermissionError):
                local.adopt(output, 3, digest)
            seen = local.copy_of(output, copy, digest)
            assert local.publish(copy, output, overwrite=False, instead_of=seen)
            assert output.owner() == "nobody"
            assert output.read_text() == "new"
        finally:
            os.seteuid(0)


def test_a_copy_is_of_what_was_meant_or_none(root: Path) -> None:
    clip, copy = root / "clip.mp4", root / "copy"
    assert local.copy_of(clip, copy, "0" * 64) is None
    assert not copy.exists()
    assert local.copy_of(root / "gone", copy, "0" * 64) is None
    seen = local.copy_of(clip, copy, local.sha256_file(clip))
    assert seen is not None
    os.utime(clip, (1, 1))
    refused(Code.OUTPUT_EXISTS, local.publish, copy, clip, overwrite=True, instead_of=seen)


def test_what_another_put_there_meanwhile_is_not_taken_back(root: Path) -> None:
    stage, output = root / ".stage", root / "new.mp4"
    stage.write_text("new")

    def may() -> bool:
        if not output.exists():
            return True
        (root / "other").write_text("another's")
        (root / "other").replace(output)
        return False

    assert not local.publish(stage, output, overwrite=False, may=may)
    assert output.read_text() == "another's"


@pytest.mark.parametrize("exchanging", [True, False])
def test_overwriting_leaves_the_new_file_alone(root: Path, exchanging: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchanging:
        monkeypatch.setattr(local, "_renameat2", lambda: None)
    for name in ("clip.mp4", "new.mp4"):
        stage = root / ".stage"
        stage.write_text("new")
        assert local.publish(stage, root / name, overwrite=True)
        assert (root / name).read_text() == "new"
        assert not stage.exists()
    (root / "folder").mkdir()
    stage.write_text("new")
    refused(Code.TRANSFER_FAILED, local.publish, stage, root / "folder", overwrite=True)
    assert (root / "folder").is_dir()


def test_a_lost_stage_file_is_told(root: Path) -> None:
    refused(Code.TRANSFER_FAILED, local.publish, root / "gone", root / "new.mp4", overwrite=False)


def test_holds_compares_every_byte(root: Path) -> None:
    clip = root / "clip.mp4"
    digest = local.sha256_file(clip)
    assert local.holds(clip, 6, digest)
    assert not local.holds(clip, 5, digest)
    assert not local.holds(clip, 6, "0" * 64)
    assert not local.holds(root / "no", 6, digest)
    (root / "link").symlink_to("clip.mp4")
    assert not local.holds(root / "link", 6, digest)
    assert stat.S_ISREG(clip.stat().st_mode)


def test_a_hash_can_be_given_up(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1_000_000)
    stop = threading.Event()
    assert local.sha256_file(path, stop) == hashlib.sha256(b"x" * 1_000_000).hexdigest()
    stop.set()
    assert local.sha256_file(path, stop) == ""
