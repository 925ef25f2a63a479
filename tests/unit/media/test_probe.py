import msgspec
import pytest

from ffrtmp.domain.spec import Codec, Engine, Hwaccel
from ffrtmp.media import probe, tools

TOOLS = tools.Tools(ffmpeg="/ff")
PROBES = {made.encoder.name: made for made in probe.probes(TOOLS, probe.Devices())}
TRIED = "-f lavfi -i testsrc2=size=256x256:rate=25 -frames:v 4"
VAAPI = "-init_hw_device vaapi=va:/dev/dri/renderD128"


def test_software_and_hardware_encoders_are_tried():
    assert list(PROBES) == [
        *("libx264", "libx265", "libsvtav1", "libaom-av1", "libvpx", "libvpx-vp9"),
        *("h264_nvenc", "hevc_nvenc", "av1_nvenc"),
        *("h264_qsv", "hevc_qsv", "av1_qsv"),
        *("h264_vaapi", "hevc_vaapi", "av1_vaapi"),
    ]
    assert [bool(made.device) for made in PROBES.values()] == [False] * 6 + [True] * 9
    assert PROBES["hevc_qsv"].encoder.codec is Codec.H265


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("libx264", f"{TRIED} -pix_fmt yuv420p -c:v libx264 -preset ultrafast -f null -"),
        ("libvpx-vp9", f"{TRIED} -pix_fmt yuv420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -row-mt 1 -f null -"),
        ("av1_nvenc", f"{TRIED} -pix_fmt nv12 -c:v av1_nvenc -gpu 0 -preset p1 -f null -"),
        (
            "h264_qsv",
            f"{VAAPI} -init_hw_device qsv=qs@va -filter_hw_device qs {TRIED}"
            " -vf format=nv12,hwupload=extra_hw_frames=64 -c:v h264_qsv -preset veryfast -f null -",
        ),
        (
            "hevc_vaapi",
            f"{VAAPI} -filter_hw_device va {TRIED} -vf format=nv12,hwupload -c:v hevc_vaapi -f null -",
        ),
    ],
)
def test_the_whole_command_line(name, line):
    made = PROBES[name]
    assert " ".join(made.command.argv) == f"/ff -nostdin -hide_banner -v error {line}"
    assert made.command.limits.wall_seconds == 30.0


def test_each_gpu_is_tried():
    devices = probe.Devices(nvidia=("0", "1"), render_nodes=("/dev/dri/renderD129",))
    made = [(one.encoder.name, one.device) for one in probe.probes(TOOLS, devices) if one.encoder.codec is Codec.H264]
    assert made == [
        ("libx264", ""),
        ("h264_nvenc", "0"),
        ("h264_nvenc", "1"),
        ("h264_qsv", "/dev/dri/renderD129"),
        ("h264_vaapi", "/dev/dri/renderD129"),
    ]


def test_where_that_fails_low_power_is_tried():
    again = probe.again(TOOLS, PROBES["h264_vaapi"])
    assert again is not None
    assert "-c:v h264_vaapi -low_power 1" in " ".join(again.command.argv)
    assert probe.again(TOOLS, again) is None
    assert probe.again(TOOLS, PROBES["h264_nvenc"]) is None
    assert probe.again(TOOLS, PROBES["libx264"]) is None


NVENC = """[h264_nvenc @ 0x55d0] Cannot load libcuda.so.1
[vost#0:0/h264_nvenc @ 0x55d1] [enc:h264_nvenc @ 0x55d2] Error while opening encoder - maybe incorrect parameters
"""
QSV = """[AVHWDeviceContext @ 0x55] Error creating a MFX session: -9.
Failed to set value 'qsv=qs@va' for option 'init_hw_device': Generic error in an external library
"""


def ended(**told):
    return probe.Ended(**{"ok": False, "how": "exited", "exit_code": 1, "signal": None, "log": "", **told})


OK = ended(ok=True, exit_code=0)


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
        ("libx265", {"exit_code": None, "signal": 4}, "was killed by signal 4"),
        ("libx265", {"exit_code": 1}, "ended with exit code 1"),
        ("h264_vaapi", {"how": "timed_out", "exit_code": None, "signal": 15}, "did not end within 30 s"),
    ],
)
def test_the_reason_is_the_first_line_that_says_something(name, told, detail):
    [found] = probe.interpret([(PROBES[name], ended(**told))])
    assert not found.works
    assert found.detail == detail


def test_one_that_works():
    [found] = probe.interpret([(PROBES["libx264"], OK)])
    assert (found.works, found.hardware, found.engine, found.detail) == (True, False, Engine.FFMPEG, "")
    assert found.devices == []


def test_what_works_on_some_gpus_works_there():
    tried = [
        one for one in probe.probes(TOOLS, probe.Devices(nvidia=("0", "1", "2"))) if one.encoder.name == "av1_nvenc"
    ]
    [found] = probe.interpret(list(zip(tried, (ended(log="old"), OK, OK), strict=True)))
    assert (found.works, found.devices, found.detail) == (True, ["1", "2"], "")


def test_low_power_is_remembered_and_a_reason_is_the_first_one():
    first, again = PROBES["h264_vaapi"], probe.again(TOOLS, PROBES["h264_vaapi"])
    assert again is not None
    [found] = probe.interpret([(first, ended(log="No usable encoding entrypoint")), (again, OK)])
    assert (found.works, found.low_power, found.devices) == (True, True, ["/dev/dri/renderD128"])
    [found] = probe.interpret([(first, ended(log="one")), (again, ended(log="two"))])
    assert (found.works, found.low_power, found.detail) == (False, False, "one")


def test_decoders_keep_their_frames_on_the_device(tmp_path):
    devices = probe.Devices(nvidia=("1",), render_nodes=("/dev/dri/renderD128",))
    sample = tmp_path / "s.mkv"
    made = {one.family: one for one in probe.decoder_probes(TOOLS, devices, {Codec.H264: sample})}
    tail = f"-i file:{sample} -vf hwdownload,format=nv12 -f null -"
    assert {family: " ".join(one.command.argv[5:]) for family, one in made.items()} == {
        Hwaccel.NVENC: f"-hwaccel cuda -hwaccel_device 1 -hwaccel_output_format cuda {tail}",
        Hwaccel.QSV: f"{VAAPI} -init_hw_device qsv=qs@va -filter_hw_device qs -hwaccel vaapi -hwaccel_device va"
        f" -hwaccel_output_format vaapi {tail}",
        Hwaccel.VAAPI: f"{VAAPI} -filter_hw_device va -hwaccel vaapi -hwaccel_device va"
        f" -hwaccel_output_format vaapi {tail}",
    }
    tried = list(made.values())
    found = probe.interpret_decoders([(tried[0], OK), (tried[1], ended(log="no surface"))])
    assert [(one.hwaccel, one.works, one.devices, one.detail) for one in found] == [
        (Hwaccel.NVENC, True, ["1"], ""),
        (Hwaccel.QSV, False, [], "no surface"),
    ]
    other = msgspec.structs.replace(tried[1], device="/dev/dri/renderD129")
    [found] = probe.interpret_decoders([(tried[1], ended(log="no surface")), (other, OK)])
    assert (found.works, found.devices, found.detail) == (True, ["/dev/dri/renderD129"], "")
