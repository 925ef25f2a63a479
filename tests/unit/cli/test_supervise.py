"""What `up --temporary` and `make demo` keep is gone when they are, however they end."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ffrtmp.cli import supervise
from ffrtmp.domain import errors


def test_a_temporary_folder_is_removed_at_the_end() -> None:
    with supervise.temporary_folder("ffrtmp-test-") as folder:
        (folder.path / "some").write_text("thing")
        assert folder.held is not None
    assert not folder.path.exists()


def test_a_temporary_folder_is_not_swept_by_age(tmp_path: Path) -> None:
    """systemd-tmpfiles leaves out what it cannot lock."""
    cleaner = shutil.which("systemd-tmpfiles")
    if cleaner is None:
        assert "CI" not in os.environ
        pytest.skip("there is no systemd-tmpfiles here")
    rules = tmp_path / "rules.conf"
    rules.write_text(f"d {tmp_path}/swept - - - 0\n")
    swept = tmp_path / "swept"
    swept.mkdir()
    (swept / "other").mkdir()
    with supervise.temporary_folder("ffrtmp-test-", parent=swept) as folder:
        (folder.path / "some").write_text("thing")
        subprocess.run([cleaner, "--clean", str(rules)], check=True)
        assert (folder.path / "some").exists()
        assert not (swept / "other").exists()


def test_a_temporary_folder_is_removed_after_a_kill() -> None:
    code = (
        "import os; from ffrtmp.cli import supervise\n"
        "with supervise.temporary_folder('ffrtmp-test-') as folder:\n"
        "    (folder.path / 'some').write_text('thing'); print(folder.path, flush=True); os.kill(os.getpid(), 9)"
    )
    # what removes it holds stdout: `run` comes back when that has ended
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -9
    assert killed.stdout
    assert not Path(killed.stdout.strip()).exists()


async def test_a_program_that_ends_while_another_starts_is_told(tmp_path: Path) -> None:
    """An agent would wait for ever for a master that is gone."""
    folder = supervise.Folder(tmp_path)
    environment = {**os.environ, "FFRTMP_STATE_DIR": str(tmp_path / "state")}
    async with supervise.Programs(environment, folder, asyncio.Event(), logs=tmp_path) as programs:
        options = ["--host=127.0.0.1", "--port=0", "--no-tls", "--no-auth", "--no-metrics", f"--db={tmp_path}/m.db"]
        found = await programs.start("master", options)
        [(_, master)] = programs._running
        os.kill(master.pid, signal.SIGKILL)
        with pytest.raises(errors.Unavailable, match="The master ended while the agent was starting"):
            await programs.start("agent", ["--register", f"--master={found['url']}", f"--work-dir={tmp_path}/work"])
