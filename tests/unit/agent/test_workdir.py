"""What an agent leaves behind is swept, and nothing else."""

import signal
import subprocess
from pathlib import Path

import pytest

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
