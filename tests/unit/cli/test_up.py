"""What `ffrtmp up` says when it cannot start."""

import os
import socket

import pytest

from ffrtmp.store import sqlite_guard


@pytest.mark.parametrize(("written", "said"), [("http://127.0.0.1:8123\n", " at http://127.0.0.1:8123,"), (None, ",")])
def test_a_second_one_says_where_the_first_is(run, tmp_path, written, said):
    folder = tmp_path / "state" / "up"
    folder.mkdir(parents=True)
    if written:
        (folder / "url").write_text(written)
    held = sqlite_guard.lock(folder / "master.db")
    try:
        told = run("up")
    finally:
        os.close(held)
    assert told.code == 6
    assert told.err.startswith(f"error: Another `ffrtmp up` runs{said} with {folder}.")
    assert "Usage" not in told.err


def test_a_port_in_use_is_no_fault_of_the_command_line(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = run("up", "--port", str(port))
    assert told.code == 6
    assert told.err.startswith(f"error: Port {port} is in use")
    assert "Usage" not in told.err
