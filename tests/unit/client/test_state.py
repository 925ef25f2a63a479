"""Where keys and certificates of the local master lie."""

import socket
import stat
from pathlib import Path

import pytest

from ffrtmp.client import state


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FFRTMP_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_nothing_there_yet() -> None:
    assert state.read_api_key() == ""
    assert state.certificate() is None


def test_the_key_is_for_this_user_only(folder: Path) -> None:
    path = state.write_api_key("ffk_x")
    assert state.read_api_key() == "ffk_x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    state.write_api_key("ffk_y")
    assert state.read_api_key() == "ffk_y"
    assert [each.name for each in folder.iterdir()] == ["api-key"]


def test_the_certificate() -> None:
    path = state.write_certificate("PEM")
    assert state.certificate() == path
    assert path.read_text() == "PEM"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.1.2.3", "::1", "[::1]", "a.localhost"])
def test_this_machine(host: str) -> None:
    assert state.is_local(host)


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "localhost.example.org", "2001:db8::1", ""])
def test_other_machines(host: str) -> None:
    assert not state.is_local(host)


def test_this_host_by_its_name() -> None:
    assert state.is_local(socket.gethostname())
