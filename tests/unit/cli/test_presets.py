import pytest

from ffrtmp.protocol import views

OWN = """description = "Ours."

[parameters]
codec = "vp9"
crf = 30
"""


@pytest.fixture
def own(master):
    master.presets.append(
        views.PresetView(
            name="ours", description="Ours.", source="operator", parameters={"codec": "vp9", "crf": 30}, text=OWN
        )
    )
    return master


def test_presets_are_listed_and_shown(run, own):
    told = run("presets", "list")
    assert told.code == 0
    assert "ours" in told.out
    assert "operator" in told.out
    assert run("presets", "list", "--output", "json").json["presets"][0]["name"] == "ours"
    assert run("presets", "show", "ours").out == OWN
    assert run("presets", "show", "ours", "--output", "json").json["parameters"] == {"codec": "vp9", "crf": 30}
    unknown = run("presets", "show", "theirs")
    assert (unknown.code, unknown.out) == (5, "")
    assert "There is no preset theirs" in unknown.err


def test_a_dry_run_of_a_preset_that_comes_along_asks_no_master(run, own):
    told = run("jobs", "submit", "--scenario", "web-720p-h264", "--crf", "20", "--dry-run", "--output", "json").json
    assert told["rate"] == {"mode": "crf", "crf": 20.0, "max_bitrate_bps": 3000000}
    assert told["decisions"][0].startswith("preset: web-720p-h264 gives codec h264, ")
    assert own.requests == []


def test_a_dry_run_of_the_operators_preset_asks_the_master(run, own):
    told = run("jobs", "submit", "--scenario", "ours", "--dry-run", "--output", "json").json
    assert (told["codec"], told["rate"]) == ("vp9", {"mode": "crf", "crf": 30.0})
    assert own.requests[-1] == "GET /presets/ours"


def test_a_name_that_nobody_knows_offers_the_nearest(run, own):
    told = run("jobs", "submit", "--scenario", "web-720p-h265", "--dry-run")
    assert told.code == 4
    assert "web-720p-h264" in told.err
    assert "--scenario" in told.err


def test_a_master_that_is_away_is_told_where_the_name_may_be_its_own(run):
    told = run("jobs", "submit", "--scenario", "ours", "--dry-run", "--master", "http://127.0.0.1:1")
    assert told.code == 4
    assert "Presets of the master's operator are not known here: " in told.err
    assert "--scenario: 'ours' is not known" in told.err


def test_a_preset_names_the_outputs_of_a_directory(run, own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mov").write_bytes(b"x")
    for preset, made in (("ours", "clip.webm"), ("web-vp9", "clip.webm"), ("archive-h265", "clip.mkv")):
        told = run("transcode", "clip.mov", "out/", "--scenario", preset, "--dry-run", "--output", "json")
        assert told.code == 0, told.err
        assert told.json["specs"][0]["output"] == f"out/{made}"


def test_scenarios_are_completed():
    from click.shell_completion import BashComplete

    from ffrtmp.cli import main

    shell = BashComplete(main.tree(), {}, "ffrtmp", "_FFRTMP_COMPLETE")
    offered = [item.value for item in shell.get_completions(["jobs", "submit", "--scenario"], "web-")]
    assert offered == ["web-1080p-h264", "web-720p-h264", "web-vp9"]
    assert "720p30-h264" in [item.value for item in shell.get_completions(["jobs", "submit", "--scenario"], "720p30")]
    assert [item.value for item in shell.get_completions(["presets", "show"], "arch")] == ["archive-h265"]
