from pathlib import Path

import msgspec
import pytest

from ffrtmp.domain import errors
from ffrtmp.master import app
from ffrtmp.master.settings import MasterSettings

from .conftest import Running, run_master

OWN = "description = 'Ours, in two passes.'\n[parameters]\ncodec = 'h264'\nbitrate = '3M'\ntwo_pass = true\ntags = { by = 'us' }\n"


@pytest.fixture
async def with_own(settings: MasterSettings, tmp_path: Path):
    """A master whose operator has a preset."""
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "ours.toml").write_text(OWN)
    async for running in run_master(msgspec.structs.replace(settings, presets=(folder,))):
        yield running


async def test_presets_are_listed_and_shown(with_own: Running) -> None:
    page = await with_own.send("GET", "/presets")
    found = {preset["name"]: preset for preset in page["presets"]}
    assert page["count"] == len(found) > 10
    assert found["web-1080p-h264"]["source"] == "shipped"
    assert found["ours"] == await with_own.send("GET", "/presets/ours")
    assert found["ours"] == {
        "name": "ours",
        "description": "Ours, in two passes.",
        "source": "operator",
        "parameters": {"codec": "h264", "bitrate": "3M", "two_pass": True, "tags": {"by": "us"}},
        "text": OWN,
    }


async def test_a_scenario_is_shown_as_a_preset(master: Running) -> None:
    found = await master.send("GET", "/presets/live-720p30-h264")
    assert (found["name"], found["source"]) == ("live-720p30-h264", "scenario")
    assert found["parameters"] == {
        "codec": "h264",
        "resolution": "720p",
        "fps": 30,
        "preset": "veryfast",
        "gop_seconds": 2,
        "tune": "zerolatency",
    }
    assert found["text"].startswith('description = "720p at 30 frames a second, h264, for a live stream')


async def test_an_unknown_preset_offers_the_nearest(master: Running) -> None:
    problem = await master.send("GET", "/presets/web-1080-h264", expect=404)
    assert "the nearest are web-1080p-h264" in problem["detail"]


async def test_a_job_of_a_preset_says_where_its_values_come_from(with_own: Running) -> None:
    made = await with_own.submit(scenario="ours", parameters={"fps": 25, "tags": {"n": "1"}})
    assert made["parameters"] == {"fps": 25, "tags": {"n": "1"}}
    assert made["tags"] == {"by": "us", "n": "1"}
    told = await with_own.send("GET", f"/jobs/{made['id']}/explain")
    assert told["spec"]["rate"] == {"mode": "two_pass", "bitrate_bps": 3_000_000}
    assert told["decisions"][0] == (
        "preset: ours gives codec h264, bitrate 3M, two_pass True; the job counts more: tags"
    )
    checked = await with_own.send("POST", "/jobs/check", json={"scenario": "ours", "parameters": {"crf": 20}})
    assert checked["spec"]["rate"] == {"mode": "crf", "crf": 20.0}
    batch = await with_own.send("POST", "/jobs/batch", json={"jobs": [{"scenario": "ours"}]})
    assert batch["jobs"][0]["tags"] == {"by": "us"}


async def test_a_retry_keeps_what_the_job_became(settings: MasterSettings, tmp_path: Path) -> None:
    """Also where the preset is there no more."""
    (tmp_path / "ours.toml").write_text(OWN)
    async for first in run_master(msgspec.structs.replace(settings, presets=(tmp_path,))):
        made = await first.submit(scenario="ours")
        await first.send("POST", f"/jobs/{made['id']}/cancel")
        before = await first.send("GET", f"/jobs/{made['id']}/explain")
    async for second in run_master(settings):
        await second.send("GET", "/presets/ours", expect=404)
        again = await second.send("POST", f"/jobs/{made['id']}/retry")
        after = await second.send("GET", f"/jobs/{again['job']['id']}/explain")
    assert (after["spec"], after["decisions"]) == (before["spec"], before["decisions"])


async def test_an_unknown_scenario_offers_presets_too(with_own: Running) -> None:
    problem = await with_own.submit(expect=400, scenario="our")
    assert problem["code"] == "unknown_scenario"
    assert "ours" in problem["detail"]


async def test_a_master_does_not_start_with_a_preset_that_cannot_be(settings: MasterSettings, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("description = 'x'\n[parameters]\ncodec = 'h264'\ncrf = 99\n")
    with pytest.raises(errors.InvalidInput, match=r"bad\.toml cannot be used: parameters\.crf"):
        await app.run(msgspec.structs.replace(settings, presets=(tmp_path,)))
