import pytest

from ffrtmp.domain.spec import Codec, Engine
from ffrtmp.media import probe, tools

PROBES = {made.name: made for made in probe.probes(tools.Tools(ffmpeg="/ff"))}
TRIED = "-f lavfi -i testsrc2=size=256x256:rate=25 -frames:v 4"


def test_software_and_hardware_encoders_are_tried():
    assert list(PROBES) == [
        *("libx264", "libx265", "libsvtav1", "libaom-av1", "libvpx", "libvpx-vp9"),
        *("h264_nvenc", "h264_qsv", "h264_vaapi", "hevc_nvenc", "hevc_qsv", "hevc_vaapi"),
        *("av1_nvenc", "av1_qsv", "av1_vaapi"),
    ]
    assert [made.hardware for made in PROBES.values()] == [False] * 6 + [True] * 9
    assert PROBES["hevc_qsv"].codec is Codec.H265


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("libx264", f"{TRIED} -pix_fmt yuv420p -c:v libx264 -preset ultrafast -f null -"),
        ("libvpx-vp9", f"{TRIED} -pix_fmt yuv420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -row-mt 1 -f null -"),
        ("av1_nvenc", f"{TRIED} -c:v av1_nvenc -f null -"),
        (
            "h264_qsv",
            f"-init_hw_device qsv=hw -filter_hw_device hw {TRIED} -vf format=nv12,hwupload=extra_hw_frames=16"
            " -c:v h264_qsv -f null -",
        ),
        (
            "hevc_vaapi",
            f"-init_hw_device vaapi=hw:/dev/dri/renderD128 -filter_hw_device hw {TRIED} -vf format=nv12,hwupload"
            " -c:v hevc_vaapi -f null -",
        ),
    ],
)
def test_the_whole_command_line(name, line, monkeypatch):
    monkeypatch.setattr(probe, "_RENDER_NODES", "/dev/dri")
    monkeypatch.setattr(probe.Path, "glob", lambda self, pattern: [])
    made = {one.name: one for one in probe.probes(tools.Tools(ffmpeg="/ff"))}[name]
    assert " ".join(made.command.argv) == f"/ff -nostdin -hide_banner -v error {line}"
    assert made.command.limits.wall_seconds == 30.0


NVENC = """[h264_nvenc @ 0x55d0] Cannot load libcuda.so.1
[vost#0:0/h264_nvenc @ 0x55d1] [enc:h264_nvenc @ 0x55d2] Error while opening encoder - maybe incorrect parameters
"""
QSV = """[AVHWDeviceContext @ 0x55] Error creating a MFX session: -9.
Failed to set value 'qsv=hw' for option 'init_hw_device': Generic error in an external library
"""


@pytest.mark.parametrize(
    ("name", "told", "detail"),
    [
        ("h264_nvenc", {"exit_code": 255, "log": NVENC}, "Cannot load libcuda.so.1"),
        ("h264_qsv", {"exit_code": 171, "log": QSV}, "Error creating a MFX session: -9."),
        (
            "av1_nvenc",
            {"exit_code": 8, "log": "[vost#0:0 @ 0x55] Unknown encoder 'av1_nvenc'"},
            "Unknown encoder 'av1_nvenc'",
        ),
        ("libx265", {"exit_code": None, "signal": 4, "log": ""}, "was killed by signal 4"),
        ("libx265", {"exit_code": 1, "log": ""}, "ended with exit code 1"),
        ("h264_vaapi", {"ended": "timed_out", "exit_code": None, "signal": 15, "log": ""}, "did not end within 30 s"),
    ],
)
def test_the_reason_is_the_first_line_that_says_something(name, told, detail):
    found = probe.interpret(PROBES[name], **{"ok": False, "ended": "exited", "signal": None, **told})
    assert not found.works
    assert found.detail == detail


def test_one_that_works():
    found = probe.interpret(PROBES["libx264"], ok=True, ended="exited", exit_code=0, signal=None, log="")
    assert (found.works, found.hardware, found.engine, found.detail) == (True, False, Engine.FFMPEG, "")
