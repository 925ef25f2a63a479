"""The units that docs/operations.md prints are units that systemd takes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
_UNIT = re.compile(r"`/etc/systemd/system/([\w.-]+)`:\n\n```ini\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(("name", "text"), _UNIT.findall(PAGE.read_text()))
def test_a_unit_is_one_that_systemd_takes(tmp_path: Path, name: str, text: str) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        assert "CI" not in os.environ
        pytest.skip("there is no systemd-analyze here")
    program = Path(sys.executable).with_name("ffrtmp")
    assert "/opt/ffrtmp/bin/ffrtmp" in text
    (tmp_path / name).write_text(text.replace("/opt/ffrtmp/bin/ffrtmp", str(program)))
    done = subprocess.run([analyze, "verify", "--man=no", tmp_path / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    [command] = re.findall(r"^ExecStart=\S+ (.*)$", text, re.MULTILINE)
    options = re.findall(r"--[a-z-]+", command)
    known = subprocess.run([program, command.split()[0], "--help"], capture_output=True, text=True, check=True).stdout
    assert [option for option in options if option not in known] == []


def test_both_programs_have_one() -> None:
    assert [name for name, _ in _UNIT.findall(PAGE.read_text())] == ["ffrtmp-master.service", "ffrtmp-agent.service"]
