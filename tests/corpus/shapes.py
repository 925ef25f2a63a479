"""Sources that differ by size, orientation, fields and colour."""

from tests.corpus.codecs import AAC, H264, SIGHT, SOUND, X265
from tests.corpus.source import Source

_FIELDS = ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=50:duration=1")
_CODED_FIELDS = (*H264, "-flags", "+ildct+ilme")
_UP = "{folder}/upright.mp4"
_PQ = (
    "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:max-cll=900,400:log-level=error:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
)
_HLG = "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:log-level=error"
_TEN = ("-pix_fmt", "yuv420p10le")
_AS_PQ = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"


def _sized(size: str) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration=0.4")


def _turned(degrees: int) -> tuple[str, ...]:
    return ("-display_rotation", str(-degrees), "-i", _UP, "-c", "copy")


SIZES = (
    Source(
        name="odd.mkv",
        special="193x109: odd sides, 4:4:4",
        arguments=(*_sized("193x109"), "-c:v", "ffv1", "-pix_fmt", "yuv444p"),
        size=(193, 109),
        frames=10,
        seconds=0.4,
    ),
    Source(
        name="odd-height.mp4",
        special="192x107 in H.264 4:4:4 (cropped when decoded)",
        arguments=(*_sized("192x108"), "-vf", "format=yuv444p,crop=192:107:0:0:exact=1", *H264),
        size=(192, 107),
        frames=10,
        seconds=0.4,
    ),
    Source(
        name="tiny.mkv",
        special="2x2",
        arguments=("-f", "lavfi", "-i", "color=red:size=2x2:rate=25:duration=0.4", "-c:v", "ffv1"),
        size=(2, 2),
        frames=10,
        seconds=0.4,
    ),
    Source(
        name="point.mkv",
        special="1x1",
        arguments=("-f", "lavfi", "-i", "color=red:size=1x1:rate=25:duration=0.4", "-c:v", "ffv1"),
        size=(1, 1),
        frames=10,
        seconds=0.4,
        comparable=False,
    ),
    Source(
        name="wide.mkv",
        special="640x16",
        arguments=(*_sized("640x16"), "-c:v", "ffv1"),
        size=(640, 16),
        frames=10,
        seconds=0.4,
    ),
    Source(
        name="tall.mkv",
        special="16x640",
        arguments=(*_sized("16x640"), "-c:v", "ffv1"),
        size=(16, 640),
        frames=10,
        seconds=0.4,
        comparable=False,
    ),
    Source(
        name="upright.mp4", special="for those that are turned", arguments=(*SIGHT, *SOUND, *H264, *AAC), sound=("",)
    ),
    *(
        Source(
            name=f"turned-{degrees}.mp4",
            special=f"a telephone's: to be turned by {degrees}°",
            arguments=_turned(degrees),
            turned=degrees,
            size=(192, 108) if degrees == 180 else (108, 192),
            sound=("",),
        )
        for degrees in (90, 180, 270)
    ),
    Source(
        name="mirrored.mov",
        special="to be mirrored, as a front camera's",
        arguments=("-display_hflip", "-i", _UP, "-c", "copy"),
        sound=("",),
        comparable=False,
    ),
    Source(
        name="anamorphic.mkv",
        special="pixels of 16:11",
        arguments=(*SIGHT, "-vf", "setsar=16/11", *H264),
        aspect="16/11",
    ),
    Source(
        name="anamorphic-turned.mp4",
        special="pixels of 4:3, to be turned by 90°",
        arguments=("-display_rotation", "-90", "-i", "{folder}/anamorphic.mp4", "-c", "copy"),
        turned=90,
        size=(108, 192),
        aspect="3/4",
    ),
    Source(
        name="anamorphic.mp4",
        special="pixels of 4:3, said by the container",
        arguments=(*SIGHT, "-vf", "setsar=4/3", *H264),
        aspect="4/3",
    ),
    Source(
        name="changing-size.ts",
        special="the size changes in the middle: 192x108, then 96x54",
        of=("first-size.ts", "second-size.ts"),
        make=lambda folder: (folder / "first-size.ts").read_bytes() + (folder / "second-size.ts").read_bytes(),
        frames=35,
        seconds=1.4,
        comparable=False,
    ),
)
#: what others are made of, and no sources themselves
PARTS = (
    Source(name="first-size.ts", special="", arguments=(*SIGHT, *H264)),
    Source(
        name="second-size.ts",
        special="",
        arguments=(*_sized("96x54"), *H264, "-output_ts_offset", "1.08"),
        size=(96, 54),
        frames=10,
    ),
    Source(
        name="overlapping.ts", special="", arguments=(*_sized("192x108"), *H264, "-output_ts_offset", "0.9"), frames=10
    ),
)
FIELDS = (
    Source(
        name="fields-tff.mp4",
        special="interlaced 25i, top field first, H.264 MBAFF",
        arguments=(*_FIELDS, *SOUND, "-vf", "tinterlace=interleave_top,setfield=tff", *_CODED_FIELDS, *AAC),
        interlaced=True,
        sound=("",),
    ),
    Source(
        name="fields-bff.ts",
        special="interlaced 25i, bottom field first, MPEG-2",
        arguments=(
            *(*_FIELDS, "-vf", "tinterlace=interleave_bottom,setfield=bff", "-c:v", "mpeg2video"),
            *("-flags", "+ildct+ilme", "-bf", "2"),
        ),
        interlaced=True,
    ),
    Source(
        name="fields.mov",
        special="interlaced ProRes 422",
        arguments=(
            *(*_FIELDS, "-vf", "tinterlace=interleave_top,setfield=tff", "-c:v", "prores_ks", "-flags", "+ildct"),
        ),
        interlaced=True,
        bits=10,
    ),
    Source(
        name="telecine.ts",
        special="film at 24 in 29.97 by 3:2 pulldown, coded as fields",
        arguments=(
            *("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=24000/1001:duration=1", "-vf", "telecine,setfield=tff"),
            *("-c:v", "mpeg2video", "-flags", "+ildct+ilme"),
        ),
        interlaced=True,
        frames=None,
    ),
)
COLOURS = (
    Source(
        name="full-range.mp4",
        special="full range, BT.709: a telephone or a screen",
        arguments=(
            *(*SIGHT, "-vf", "scale=out_range=pc:out_color_matrix=bt709,format=yuv420p"),
            *("-color_range", "pc", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", *H264),
        ),
    ),
    Source(
        name="pal.mkv",
        special="labelled BT.601 (PAL)",
        arguments=(
            *(*SIGHT, "-vf", "setparams=color_primaries=bt470bg:color_trc=smpte170m:colorspace=bt470bg:range=tv"),
            *H264,
        ),
    ),
    Source(
        name="bt2020.mkv",
        special="BT.2020 SDR, 10 bits",
        arguments=(
            *(
                *SIGHT,
                "-vf",
                "format=yuv420p10le,setparams=color_primaries=bt2020:color_trc=bt2020-10:colorspace=bt2020nc",
            ),
            *("-c:v", "ffv1"),
        ),
        bits=10,
    ),
    Source(name="rgb.mkv", special="RGB", arguments=(*SIGHT, "-c:v", "ffv1", "-pix_fmt", "gbrp")),
    Source(
        name="hdr10.mkv",
        special="HDR10: PQ, mastering display, MaxCLL; HEVC",
        arguments=(*SIGHT, *_TEN, *X265[:-1], _PQ),
        hdr="PQ",
        mastered=True,
        bits=10,
    ),
    Source(
        name="hdr10.mp4",
        special="the same in mp4, with AAC",
        arguments=(*SIGHT, *SOUND, *_TEN, *X265[:-1], _PQ, "-tag:v", "hvc1", *AAC),
        hdr="PQ",
        mastered=True,
        bits=10,
        sound=("",),
    ),
    Source(
        name="hlg.mov",
        special="HLG, HEVC: a telephone's HDR",
        arguments=(*SIGHT, *SOUND, *_TEN, *X265[:-1], _HLG, "-tag:v", "hvc1", *AAC),
        hdr="HLG",
        bits=10,
        sound=("",),
    ),
    Source(
        name="hdr-av1.mkv",
        special="PQ, AV1, mastering display",
        arguments=(
            *(*SIGHT, "-vf", f"format=yuv420p10le,{_AS_PQ}", "-c:v", "libsvtav1", "-preset", "12", "-svtav1-params"),
            "mastering-display=G(0.265,0.69)B(0.15,0.06)R(0.68,0.32)WP(0.3127,0.329)L(1000.0,0.005):content-light=900,400",
        ),
        hdr="PQ",
        mastered=True,
        bits=10,
    ),
    Source(
        name="hdr-vp9.webm",
        special="PQ, VP9 profile 2, without metadata",
        arguments=(
            *(*SIGHT, "-vf", f"format=yuv420p10le,{_AS_PQ}", "-c:v", "libvpx-vp9", "-deadline", "realtime"),
            *("-cpu-used", "8"),
        ),
        hdr="PQ",
        bits=10,
    ),
    Source(
        name="hdr-prores.mov",
        special="PQ, ProRes 4444",
        arguments=(
            *(*SIGHT, "-vf", f"format=yuv444p10le,{_AS_PQ}", "-c:v", "prores_ks", "-profile:v", "4"),
            *("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"),
        ),
        hdr="PQ",
        bits=12,
    ),
)
SOURCES = (*SIZES, *FIELDS, *COLOURS)
