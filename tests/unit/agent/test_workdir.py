"""What an agent leaves behind is swept, and nothing else."""

import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from ffrtmp.agent import machine
from ffrtmp.agent.workdir import WorkDir
from ffrtmp.domain import errors


@pytest.fixture
def media(tmp_path: Path) -> Path:
    made = tmp_path / "media"
    made.mkdir()
    return made


def test_a_second_agent_is_kept_out(tmp_path: Path) -> None:
    first, second = WorkDir(tmp_path / "w"), WorkDir(tmp_path / "w")
    first.open()
    with pytest.raises(errors.InvalidInput, match="Another agent uses"):
        second.open()
    first.close()
    assert second.open() == []
    second.close()


def _origin(path: Path) -> str:
    """Of an agent that starts there and ends."""
    work = WorkDir(path)
    work.open()
    work.close()
    assert len(work.origin) == 32
    return work.origin


def test_an_agent_is_the_same_one_at_each_start(tmp_path: Path) -> None:
    first = _origin(tmp_path / "w")
    assert _origin(tmp_path / "w") == first
    assert _origin(tmp_path / "v") != first


def test_a_copy_of_its_directory_is_another_agent(tmp_path: Path) -> None:
    first = _origin(tmp_path / "w")
    shutil.copytree(tmp_path / "w", tmp_path / "v")
    assert _origin(tmp_path / "v") != first
    (tmp_path / "w").rename(tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "w")  # under the same path, as in containers of one image
    assert _origin(tmp_path / "w") != first


@pytest.mark.parametrize("what", ["boot_id", "host name"])
def test_the_same_directory_on_another_machine_is_another_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A clone of a machine has all its files. That it is no reboot of it cannot be seen from inside."""
    first = _origin(tmp_path / "w")
    with monkeypatch.context() as elsewhere:
        if what == "boot_id":
            elsewhere.setattr(machine, "boot_id", lambda: "another")
        else:
            elsewhere.setattr(socket, "gethostname", lambda: "another")
        second = _origin(tmp_path / "w")
        assert second != first
        assert _origin(tmp_path / "w") == second


@pytest.mark.parametrize("spoilt", [b"", b"\xff\xff", b"0 elsewhere"])
def test_an_origin_that_was_spoilt_is_made_anew(tmp_path: Path, spoilt: bytes) -> None:
    first = _origin(tmp_path / "w")
    (tmp_path / "w/origin").write_bytes(spoilt)
    second = _origin(tmp_path / "w")
    assert second != first
    assert _origin(tmp_path / "w") == second


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.InvalidInput, match="--work-dir"):
        WorkDir(tmp_path / "file" / "w").open()


def test_the_next_start_removes_what_a_killed_agent_left(tmp_path: Path, media: Path) -> None:
    first = WorkDir(tmp_path / "w")
    first.open()
    (first.scratch("a1") / "output.mp4").touch()
    stage = first.stage(media / "out.mp4", "a1")
    stage.write_text("half")
    published = first.stage(media / "done.mp4", "a2")
    published.write_text("whole")
    published.rename(media / "done.mp4")
    other = media / ".other.mp4.b9.ffrtmp-part"  # of an agent elsewhere on a shared disk
    other.touch()
    first.close()
    second = WorkDir(tmp_path / "w")
    assert set(second.open()) == {str(stage), str(tmp_path / "w/attempts/a1")}
    assert sorted(path.name for path in media.iterdir()) == [other.name, "done.mp4"]
    second.close()
    third = WorkDir(tmp_path / "w")
    assert third.open() == []
    third.close()


def test_the_next_start_ends_processes_that_outlived_the_agent(tmp_path: Path) -> None:
    first = WorkDir(tmp_path / "w")
    first.open()
    orphan = subprocess.Popen(["sleep", "1000"], cwd=first.scratch("a1"), start_new_session=True)
    neighbour = subprocess.Popen(["sleep", "1000"], cwd=tmp_path)
    first.close()
    second = WorkDir(tmp_path / "w")
    second.open()
    second.close()
    assert orphan.wait(60) == -signal.SIGKILL
    assert neighbour.poll() is None
    neighbour.kill()
    neighbour.wait(60)


def test_a_journal_that_names_something_else_removes_nothing(tmp_path: Path, media: Path) -> None:
    (media / "precious.mp4").touch()
    first = WorkDir(tmp_path / "w")
    first.open()
    (tmp_path / "w/stages/a1").write_text(str(media / "precious.mp4"))
    first.close()
    second = WorkDir(tmp_path / "w")
    assert second.open() == []
    assert (media / "precious.mp4").exists()
    second.close()


def test_settling_removes_scratch_and_stage(tmp_path: Path, media: Path) -> None:
    work = WorkDir(tmp_path / "w")
    work.open()
    work.scratch("a1")
    stage = work.stage(media / "out.mp4", "a1")
    stage.touch()
    work.settle("a1")
    work.settle("a1")
    assert list(media.iterdir()) == []
    assert list((tmp_path / "w/attempts").iterdir()) == []
    work.close()
