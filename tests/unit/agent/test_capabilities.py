"""What a node finds out about itself."""

import socket
from pathlib import Path

import msgspec
import pytest

from ffrtmp.agent import capabilities, machine
from ffrtmp.agent.settings import AgentSettings
from ffrtmp.domain import errors, node
from ffrtmp.domain.spec import HARDWARE, Codec, Engine, Hwaccel
from ffrtmp.media import tools

X264 = node.Encoder(name="libx264", codec=Codec.H264, engine=Engine.FFMPEG, works=True)
NVENC = node.Encoder(
    name="h264_nvenc",
    codec=Codec.H264,
    engine=Engine.FFMPEG,
    works=False,
    hwaccel=Hwaccel.NVENC,
    detail="no libcuda",
)


def _working(found: capabilities.Found) -> list[str]:
    return [one.name for one in found.tried.encoders if one.works]


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine.detect()
    monkeypatch.setattr(machine, "detect", lambda: msgspec.structs.replace(here, has_gpu=False, gpu_type=""))


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often encoders were really tried."""
    tried: list[str] = []

    async def fake(program: tools.Tools, _: machine.Machine) -> capabilities.Tried:
        tried.append(program.version)
        return capabilities.Tried(encoders=[X264, NVENC])

    monkeypatch.setattr(capabilities, "try_all", fake)
    return tried


async def test_encoders_are_tried_once_and_remembered(tmp_path: Path, probes: list[str]) -> None:
    first = await capabilities.detect(AgentSettings(), tmp_path)
    second = await capabilities.detect(AgentSettings(), tmp_path)
    assert first == second
    assert _working(first) == ["libx264"]
    assert len(probes) == 1
    assert probes[0]


async def test_a_failure_that_may_have_been_of_the_moment_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def slow_once(_: tools.Tools, __: machine.Machine) -> capabilities.Tried:
        nonlocal tries
        tries += 1
        detail = "" if tries > 1 else "did not end within 30 s"
        return capabilities.Tried(encoders=[msgspec.structs.replace(X264, works=tries > 1, detail=detail)])

    monkeypatch.setattr(capabilities, "try_all", slow_once)
    assert _working(await capabilities.detect(AgentSettings(), tmp_path)) == []
    assert _working(await capabilities.detect(AgentSettings(), tmp_path)) == ["libx264"]


async def test_another_driver_has_all_tried_again(
    tmp_path: Path, probes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await capabilities.detect(AgentSettings(), tmp_path)
    here = machine.detect()
    monkeypatch.setattr(machine, "detect", lambda: msgspec.structs.replace(here, driver="565.57.01"))
    await capabilities.detect(AgentSettings(), tmp_path)
    assert len(probes) == 2


async def test_a_disk_that_takes_no_memory_of_it_does_not_keep_the_agent_from_starting(
    tmp_path: Path, probes: list[str]
) -> None:
    assert _working(await capabilities.detect(AgentSettings(), tmp_path / "not-there")) == ["libx264"]


@pytest.mark.parametrize("broken", [b"", b"{}", b'{"key": "another", "encoders": []}'])
async def test_a_memory_that_does_not_fit_is_made_anew(tmp_path: Path, probes: list[str], broken: bytes) -> None:
    (tmp_path / "encoders.json").write_bytes(broken)
    assert _working(await capabilities.detect(AgentSettings(), tmp_path)) == ["libx264"]
    assert len(probes) == 1


async def test_a_program_that_is_no_ffmpeg(tmp_path: Path) -> None:
    with pytest.raises(errors.TaskError, match="no ffmpeg that works"):
        await capabilities.detect(AgentSettings(ffmpeg="/bin/true"), tmp_path)


async def test_a_gst_launch_that_was_named_must_work(tmp_path: Path, probes: list[str]) -> None:
    with pytest.raises(errors.TaskError, match="--gst-launch /nowhere: there is no such program"):
        await capabilities.detect(AgentSettings(gst_launch="/nowhere"), tmp_path)
    with pytest.raises(errors.TaskError, match="is no gst-launch"):
        await capabilities.detect(AgentSettings(gst_launch="/bin/true"), tmp_path)


async def test_another_gstreamer_is_probed_anew(tmp_path: Path, probes: list[str]) -> None:
    for count, version in ((1, "1.22.0"), (2, "1.24.10")):
        script = tmp_path / "gst-launch-1.0"
        script.write_text(f"#!/bin/sh\necho 'gst-launch-1.0 version {version}'\necho 'GStreamer {version}'\n")
        script.chmod(0o755)
        settings = AgentSettings(gst_launch=str(script))
        for _ in range(2):
            found = await capabilities.detect(settings, tmp_path)
        assert (found.tools.gst_version, len(probes)) == (version, count)
        told = capabilities.registration(settings, found, "an-origin").capabilities
        assert told is not None
        assert told.engines == {"ffmpeg": found.tools.version, "gstreamer": version}


async def test_software_really_encodes_here_and_what_does_not_says_why() -> None:
    tried = await capabilities.try_all(tools.find(), machine.detect())
    found = {one.name: one for one in tried.encoders}
    assert found["libx264"].works
    assert all(one.works or one.detail for one in tried.encoders)
    assert all(bool(one.devices) == (one.works and one.hardware) for one in tried.encoders)


async def test_decoders_of_a_gpu_that_is_not_there_say_why() -> None:
    """A machine that shows a GPU whose driver is missing."""
    here = msgspec.structs.replace(machine.detect(), nvidia=("0",), render_nodes=("/dev/dri/none",))
    tried = await capabilities.try_all(tools.find(), here)
    assert [(one.hwaccel, one.codec) for one in tried.decoders] == [
        (family, codec) for family in HARDWARE for codec in (Codec.H264, Codec.H265, Codec.VP9, Codec.AV1)
    ]
    assert all(one.detail and not one.works for one in tried.decoders)


async def test_what_is_told(tmp_path: Path, probes: list[str]) -> None:
    settings = AgentSettings(name="n1", labels={"rack": "b"}, media_roots=(tmp_path,), max_concurrent_jobs=3)
    register = capabilities.registration(settings, await capabilities.detect(settings, tmp_path), "an-origin")
    assert (register.name, register.slots, register.labels) == ("n1", 3, {"rack": "b"})
    assert (register.address, register.origin) == (socket.gethostname(), "an-origin")
    assert register.cpu_threads >= 1
    assert register.ram_total_bytes > 0
    assert register.capabilities is not None
    assert register.capabilities.media_roots == [str(tmp_path)]
    text = capabilities.describe(register)
    assert "h264_nvenc  h264  hardware  no libcuda" in text
    assert "rack=b" in text
    assert msgspec.json.decode(msgspec.json.encode(register), type=type(register)) == register


def test_the_machine_is_read_without_running_anything() -> None:
    here = machine.detect()
    assert here.cpu_threads >= 1
    assert here.has_gpu == bool(here.gpu_type)
