"""A command line whose last file is an input, or a name where a directory belongs."""

import pytest


@pytest.fixture(autouse=True)
def clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mov", "b.mov", "c.mp4"):
        (tmp_path / name).write_bytes(b"a clip")


@pytest.mark.parametrize("out", ["x3.mp4", "x3.MKV"])
def test_several_inputs_make_no_directory_with_the_name_of_a_video(run, master, tmp_path, out):
    told = run("transcode", "a.mov", "b.mov", out)
    assert told.code == 2
    assert f"OUT is {out}" in told.err
    assert "give a directory (x3/)" in told.err
    assert not (tmp_path / out).exists()
    assert master.requests == []


@pytest.mark.parametrize("out", ["x3.mp4/", "there.mp4", "x3"])
def test_a_directory_may_have_any_name(run, tmp_path, out):
    (tmp_path / "there.mp4").mkdir()
    assert run("transcode", "a.mov", "b.mov", out, "--dry-run").code == 0


def test_an_existing_file_as_output_of_several_may_be_an_input(run):
    told = run("transcode", "a.mov", "b.mov", "c.mp4")
    assert told.code == 2
    assert "was it left out after c.mp4?" in told.err


def test_an_existing_file_as_output_of_one_may_be_an_input(run):
    told = run("transcode", "a.mov", "c.mp4")
    assert told.code == 6
    assert "--overwrite" in told.err
    assert "ffrtmp transcode a.mov c.mp4 DIRECTORY/" in told.err
    assert "DIRECTORY" not in run("transcode", "c.mp4", "a.mov", "--dry-run", "--overwrite").err
