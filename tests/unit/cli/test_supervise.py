"""What `up --temporary` and `make demo` keep is gone when they are, however they end."""

import subprocess
import sys
from pathlib import Path

from ffrtmp.cli import supervise


def test_a_temporary_folder_is_removed_at_the_end() -> None:
    with supervise.temporary_folder("ffrtmp-test-") as folder:
        (folder.path / "some").write_text("thing")
        assert folder.held is not None
    assert not folder.path.exists()


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
