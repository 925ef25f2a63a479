import json
from pathlib import Path

import msgspec
import pytest

from ffrtmp.domain import errors, spec, units
from ffrtmp.planning import library, presets, resolve, scenarios
from ffrtmp.protocol import bodies

OWN = """
description = "Ours."

[parameters]
codec = "h264"
bitrate = "3M"
max_bitrate = "4M"
two_pass = true
profile = "high"
container = "mp4"
audio = { codec = "aac", bitrate = "128k" }
tags = { show = "x" }
requires = { labels = { rack = "b2" }, min_threads = 4 }
"""


def _book(folder: Path, **files: str) -> presets.Book:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return library.load([folder])


def _resolve(book: presets.Book, scenario: str, **parameters: object) -> spec.Spec:
    body = json.dumps({"scenario": scenario, "parameters": parameters}).encode()
    return resolve.resolve(bodies.parse(bodies.SubmitBody, body), book)


@pytest.mark.parametrize("name", ["720p30-h264", "1080p-h265", "4K60-AV1", "live-4k", "live-360p25-vp9", "240p"])
def test_every_scenario_is_a_preset(tmp_path: Path, name: str) -> None:
    text = scenarios.text(name)
    assert text is not None
    same = _book(tmp_path, same=text)
    made, expected = _resolve(same, "same", input="in.mp4"), _resolve(presets.NONE, name, input="in.mp4")
    # an agent of the reference knows scenarios by their names
    requires = msgspec.structs.replace(made.requires, beyond_reference=False)
    assert msgspec.structs.replace(made, decisions=[], requires=requires) == msgspec.structs.replace(
        expected, decisions=[]
    )


def test_what_is_no_scenario_has_no_text() -> None:
    assert scenarios.text("web-1080p-h264") is None


def _refused(folder: Path, text: str, name: str = "ours") -> str:
    with pytest.raises(errors.InvalidInput) as raised:
        _book(folder, **{name: text})
    assert raised.value.code == "invalid_preset"
    assert str(folder / f"{name}.toml") in str(raised.value)
    return str(raised.value)


def test_each_preset_that_comes_along_makes_a_job() -> None:
    shipped = library.shipped().all()
    assert len(shipped) >= 10
    for preset in shipped:
        assert preset.shipped
        found = _resolve(library.shipped(), preset.name)
        assert found.decisions[0].startswith(f"preset: {preset.name} gives ")
        assert f"codec {found.codec}" in found.decisions[0]


def test_what_a_preset_says_is_what_the_job_becomes() -> None:
    found = _resolve(library.shipped(), "Web-1080p-H264 ")
    assert found.codec is spec.Codec.H264
    assert found.resolution == units.Resolution(None, 1080)
    assert found.rate == spec.Rate(mode=spec.RateMode.CRF, crf=22, max_bitrate_bps=6_000_000)
    assert found.audio == spec.Audio(codec=spec.AudioCodec.AAC, bitrate_bps=160_000, channels=2)
    assert (found.profile, found.gop_seconds) == ("high", 2.0)


def test_parameters_of_the_job_count_more(tmp_path: Path) -> None:
    book = _book(tmp_path, ours=OWN)
    found = _resolve(
        book, "ours", profile="main", audio={"channels": 1}, tags={"by": "me"}, requires={"labels": {"zone": "a"}}
    )
    assert found.profile == "main"
    assert found.audio == spec.Audio(codec=spec.AudioCodec.AAC, bitrate_bps=128_000, channels=1)
    assert found.requires.labels == {"rack": "b2", "zone": "a"}
    assert found.requires.min_threads == 4
    assert "; the job counts more: audio, profile, requires, tags" in found.decisions[0]
    whole, _ = book.applied(
        bodies.parse(bodies.SubmitBody, b'{"scenario": "ours", "parameters": {"tags": {"by": "me"}}}')
    )
    assert whole.parameters.tags == {"show": "x", "by": "me"}


@pytest.mark.parametrize(
    ("parameters", "rate"),
    [
        ({}, spec.Rate(mode=spec.RateMode.TWO_PASS, bitrate_bps=3_000_000, max_bitrate_bps=4_000_000)),
        ({"crf": 20}, spec.Rate(mode=spec.RateMode.CRF, crf=20)),
        ({"bitrate": "8M"}, spec.Rate(mode=spec.RateMode.BITRATE, bitrate_bps=8_000_000)),
        (
            {"max_bitrate": "5M"},
            spec.Rate(mode=spec.RateMode.TWO_PASS, bitrate_bps=3_000_000, max_bitrate_bps=5_000_000),
        ),
    ],
)
def test_a_job_that_says_how_many_bits_says_all_of_it(
    tmp_path: Path, parameters: dict[str, object], rate: spec.Rate
) -> None:
    assert _resolve(_book(tmp_path, ours=OWN), "ours", **parameters).rate == rate


def test_the_cap_of_a_quality_stays_when_the_job_says_another_quality() -> None:
    found = _resolve(library.shipped(), "web-720p-h264", crf=20)
    assert found.rate == spec.Rate(mode=spec.RateMode.CRF, crf=20, max_bitrate_bps=3_000_000)


def test_another_codec_gets_nothing_that_was_meant_for_the_first() -> None:
    found = _resolve(library.shipped(), "web-1080p-h264", codec="vp9")
    assert (found.codec, found.container, found.profile) == (spec.Codec.VP9, spec.Container.WEBM, None)
    assert found.audio == spec.Audio()
    assert found.resolution == units.Resolution(None, 1080)
    assert "profile (left out)" in found.decisions[0]


def test_the_extension_of_the_output_counts_more_than_the_container() -> None:
    assert _resolve(library.shipped(), "web-1080p-h264", output="a.mkv").container is spec.Container.MKV
    with pytest.raises(errors.InvalidInput) as raised:
        _resolve(library.shipped(), "web-1080p-h264", output="a.webm")
    faults = {fault.path: fault.message for fault in raised.value.faults}
    assert faults["parameters.output"].startswith("webm cannot hold h264")
    assert faults["parameters.audio.codec"].endswith("(the preset web-1080p-h264 says it)")


def test_a_fault_that_comes_from_the_preset_says_so() -> None:
    with pytest.raises(errors.InvalidInput) as raised:
        _resolve(library.shipped(), "web-1080p-h264", pixel_format="yuv444p")
    [fault] = raised.value.faults
    assert fault.path == "parameters.profile"
    assert fault.message.endswith("(the preset web-1080p-h264 says it)")


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(errors.InvalidInput, match="'web-1080-h264' is not known; the nearest are web-1080p-h264"):
        _resolve(library.shipped(), "web-1080-h264")
    assert _resolve(library.shipped(), "720p30-h264").fps == "30"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("codec = ", "it is not TOML"),
        ("[parameters]\ncodec = 'h264'", "description: must be a sentence"),
        ("description = 'x'", "parameters: is missing"),
        ("description = 'x'\nfor = 1\n[parameters]\ncodec = 'h264'", "for: is not known"),
        (
            "description = 'x'\n[parameters]\ncodek = 'h264'",
            "parameters.codek: is not a known field; did you mean codec?",
        ),
        ("description = 'x'\n[parameters]\ncodec = 'h264'\ncrf = 99", "parameters.crf: "),
        (
            "description = 'x'\n[parameters]\ncodec = 'vp9'\ncrf = 23\nbitrate = '2M'",
            "parameters.bitrate: cannot be combined",
        ),
        ("description = 'x'\n[parameters]\ncrf = 23", "parameters.codec: is missing"),
        ("description = 'x'\n[parameters]\ncodec = 'h264'\ninput = 'a.mov'", "parameters.input: belongs to a job"),
        (
            "description = 'x'\n[parameters]\ncodec = 'h264'\nwebhook = 'x'",
            "parameters.webhook: is not supported yet",
        ),
    ],
)
def test_a_preset_is_checked_as_a_submission_is(tmp_path: Path, text: str, told: str) -> None:
    assert told in _refused(tmp_path, text)


def test_all_faults_of_a_preset_are_told_at_once(tmp_path: Path) -> None:
    told = _refused(tmp_path, "[parameters]\ncodec = 'h266'\npreset = 'quick'\noutput = 'x.mp4'")
    assert all(field in told for field in ("description", "parameters.codec", "parameters.preset", "parameters.output"))


def test_names_that_cannot_be(tmp_path: Path) -> None:
    good = "description = 'x'\n[parameters]\ncodec = 'h264'"
    assert "720p30-h264 is a scenario already" in _refused(tmp_path, good, "720p30-h264")
    (tmp_path / "720p30-h264.toml").unlink()
    assert "has more than small letters" in _refused(tmp_path, good, "My Preset")
    (tmp_path / "My Preset.toml").unlink()
    assert "taken by the presets that come along" in _refused(tmp_path, good, "preview")


def test_two_folders_may_not_have_the_same_name(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "ours.toml").write_text("description = 'x'\n[parameters]\ncodec = 'h264'")
    with pytest.raises(errors.InvalidInput, match=f"taken by {folders[0]}/ours.toml"):
        library.load(folders)


def test_folders_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match=r"--presets .*gone is not a directory"):
        library.load([tmp_path / "gone"])
    (tmp_path / "ours.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.InvalidInput, match="it is not UTF-8 text"):
        library.load([tmp_path])
    (tmp_path / "ours.toml").write_bytes(b"#" * 70_000)
    with pytest.raises(errors.InvalidInput, match="larger than 65536 bytes"):
        library.load([tmp_path])


def test_what_is_not_a_file_is_no_preset(tmp_path):
    """Of a device the size is 0, and it is read for ever; of a pipe nothing comes."""
    (tmp_path / "endless.toml").symlink_to("/dev/zero")
    with pytest.raises(errors.InvalidInput, match=r"endless\.toml cannot be used: it is not a file"):
        library.load([tmp_path])
