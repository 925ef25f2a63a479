"""Whole command lines for hardware that most machines lack."""

from pathlib import Path

import pytest
from tests.unit.media.command_lines import BITRATE, CAPPED, END, GUARD, KEEP, QUIET, SOURCE, VBR, changed, spec

from ffrtmp.domain.spec import Audio, AudioCodec, Codec, Container, PixelFormat, Preset, Rate, RateMode
from ffrtmp.domain.units import Resolution
from ffrtmp.media import ffmpeg
from ffrtmp.media.hardware import Use
from ffrtmp.media.tools import Tools

SILENT = {"audio": Audio(codec=AudioCodec.NONE)}
NODE = "/dev/dri/renderD129"
VAAPI = f"-init_hw_device vaapi=va:{NODE}"
QSV = f"{VAAPI} -init_hw_device qsv=qs@va"
IN, OUT = "-i file:/in/in.mp4 -map 0:0", f"-an {END} matroska file:/out/.stage"
#: of a picture without any that is made smaller than HD: they are those of the source
LABELS = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709"
CRF = Rate(mode=RateMode.CRF, crf=23.0)

#: name → (encoder, what of the GPU, parts of the spec, the command line after the program's own options)
LINES = {
    "nvenc by crf": (
        "h264_nvenc",
        Use(device="1"),
        {},
        f"{GUARD} {IN} -c:v h264_nvenc -gpu 1 -preset p4 -rc vbr -cq 23 -b:v 0 -pix_fmt nv12 {KEEP} {OUT}",
    ),
    "nvenc decodes, 10 bits, scaled": (
        "hevc_nvenc",
        Use(device="0", decode=True),
        {"profile": "main10", "rate": CAPPED, "preset": Preset.VERYSLOW, "resolution": Resolution(None, 360)},
        f"{GUARD} -hwaccel cuda -hwaccel_device 0 {IN} -filter:v scale=640:360:flags=bicubic,setsar=1/1,{LABELS} -c:v hevc_nvenc"
        " -gpu 0 -preset p7 -profile:v main10 -rc vbr -cq 21.5 -b:v 0 -maxrate 3000000 -bufsize 6000000 -pix_fmt p010le"
        f" {KEEP} {OUT}",
    ),
    "nvenc by bitrate, low latency": (
        "av1_nvenc",
        Use(device="0"),
        {"rate": VBR, "preset": Preset.ULTRAFAST, "tune": "zerolatency", "profile": "main", "gop_seconds": 2.0},
        f"{GUARD} {IN} -c:v av1_nvenc -gpu 0 -preset p1 -tune ll -zerolatency 1 -delay 0 -rc vbr -b:v 2000000"
        f" -maxrate 3000000 -bufsize 6000000 -pix_fmt nv12 -g 50 {KEEP} {OUT}",
    ),
    "nvenc 4:4:4": (
        "h264_nvenc",
        Use(device="0"),
        {"profile": "high444", "pixel_format": PixelFormat.YUV444P, "rate": BITRATE},
        f"{GUARD} {IN} -c:v h264_nvenc -gpu 0 -preset p4 -profile:v high444p -rc vbr -b:v 2000000 -pix_fmt yuv444p"
        f" {KEEP} {OUT}",
    ),
    "qsv by crf": (
        "h264_qsv",
        Use(device=NODE),
        {"preset": Preset.FAST},
        f"{QSV} -filter_hw_device qs {GUARD} {IN} -filter:v format=nv12,hwupload=extra_hw_frames=64 -c:v h264_qsv"
        f" -preset fast -global_quality 23 {KEEP} {OUT}",
    ),
    "qsv capped, its GPU decodes": (
        "av1_qsv",
        Use(device=NODE, decode=True),
        {"rate": Rate(mode=RateMode.CRF, crf=35.0, max_bitrate_bps=1_000_000), "resolution": Resolution(None, 360)},
        f"{QSV} -filter_hw_device qs {GUARD} -hwaccel vaapi -hwaccel_device va {IN} -filter:v"
        f" scale=640:360:flags=bicubic,setsar=1/1,{LABELS},format=nv12,hwupload=extra_hw_frames=64 -c:v av1_qsv -preset medium"
        f" -global_quality 28 -b:v 1000000 -maxrate 1000000 -bufsize 2000000 {KEEP} {OUT}",
    ),
    "qsv by bitrate in low power": (
        "hevc_qsv",
        Use(device=NODE, low_power=True),
        {"rate": BITRATE, "pixel_format": PixelFormat.YUV420P10},
        f"{QSV} -filter_hw_device qs {GUARD} {IN} -filter:v format=p010le,hwupload=extra_hw_frames=64 -c:v hevc_qsv"
        f" -low_power 1 -preset medium -b:v 2000000 {KEEP} {OUT}",
    ),
    "vaapi by crf": (
        "h264_vaapi",
        Use(device=NODE),
        {"profile": "baseline"},
        f"{VAAPI} -filter_hw_device va {GUARD} {IN} -filter:v format=nv12,hwupload -c:v h264_vaapi"
        f" -profile:v constrained_baseline -rc_mode CQP -global_quality 23 {KEEP} {OUT}",
    ),
    "vaapi capped": (
        "hevc_vaapi",
        Use(device=NODE, decode=True),
        {"rate": CAPPED},
        f"{VAAPI} -filter_hw_device va {GUARD} -hwaccel vaapi -hwaccel_device va {IN} -filter:v format=nv12,hwupload"
        " -c:v hevc_vaapi -rc_mode QVBR -global_quality 22 -b:v 3000000 -maxrate 3000000 -bufsize 6000000"
        f" {KEEP} {OUT}",
    ),
    "vaapi by bitrate, low latency": (
        "av1_vaapi",
        Use(device=NODE),
        {"rate": VBR, "tune": "zerolatency"},
        f"{VAAPI} -filter_hw_device va {GUARD} {IN} -filter:v format=nv12,hwupload -c:v av1_vaapi -async_depth 1 -bf 0"
        f" -rc_mode VBR -b:v 2000000 -maxrate 3000000 -bufsize 6000000 {KEEP} {OUT}",
    ),
    "vaapi, av1's own scale": (
        "av1_vaapi",
        Use(device=NODE),
        {"rate": Rate(mode=RateMode.CRF, crf=63.0)},
        f"{VAAPI} -filter_hw_device va {GUARD} {IN} -filter:v format=nv12,hwupload -c:v av1_vaapi -rc_mode CQP"
        f" -global_quality 255 {KEEP} {OUT}",
    ),
}
CODECS = {"h264": Codec.H264, "hevc": Codec.H265, "av1": Codec.AV1}


def build(encoder: str, use: Use | None, **parts):
    made = spec(codec=CODECS[encoder.partition("_")[0]], container=Container.MKV, **{"rate": CRF, **SILENT, **parts})
    [command] = ffmpeg.build(
        made,
        SOURCE,
        tools=Tools(ffmpeg="/ff"),
        input_path=Path("/in/in.mp4"),
        output_path=Path("/out/.stage"),
        scratch=Path("/scratch"),
        encoder=encoder,
        use=use,
        threads=3,
    )
    return command


@pytest.mark.parametrize(("encoder", "use", "parts", "line"), LINES.values(), ids=LINES)
def test_the_whole_command_line(encoder, use, parts, line):
    got = " ".join(build(encoder, use, **parts).argv)
    assert got.replace("-threads 3 ", "") == f"{QUIET} {line}"


def test_a_gpu_and_its_encoder_go_together():
    with pytest.raises(ValueError, match="needs a GPU"):
        build("h264_nvenc", None)
    with pytest.raises(ValueError, match="has no use for a GPU"):
        ffmpeg.build(
            spec(),
            SOURCE,
            tools=Tools(ffmpeg="/ff"),
            input_path=Path("/in"),
            output_path=Path("/out"),
            scratch=Path("/scratch"),
            encoder="libx264",
            use=Use(device="0"),
        )


def test_8_bits_of_a_10_bit_source():
    deep = changed(SOURCE, video=[changed(SOURCE.video[0], bits=10, pixel_format="yuv420p10le")])
    made = spec(codec=Codec.H264, container=Container.MKV, **SILENT)
    [command] = ffmpeg.build(
        made,
        deep,
        tools=Tools(ffmpeg="/ff"),
        input_path=Path("/in"),
        output_path=Path("/out"),
        scratch=Path("/scratch"),
        encoder="h264_vaapi",
        use=Use(device=NODE),
    )
    assert "format=nv12,hwupload" in command.argv
