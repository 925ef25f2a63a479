"""Sources that differ by the codec of their picture or sound, and by their container."""

from tests.corpus.source import Source

SIGHT = ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=1")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=1")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25")
AAC = ("-c:a", "aac")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error")
_BOTH = (*SIGHT, *SOUND, *("-metadata:s:a:0", "language=eng"))
_VPX = ("-deadline", "realtime", "-cpu-used", "8")
_HEARD = ("eng",)

H264S = (
    Source(
        name="h264.mp4", special="the usual: H.264 with B-frames, AAC", arguments=(*_BOTH, *H264, *AAC), sound=_HEARD
    ),
    Source(
        name="h264-10bit.mkv",
        special="H.264 High 10",
        arguments=(*SIGHT, *H264, "-pix_fmt", "yuv420p10le"),
        bits=10,
    ),
    Source(name="h264-422.mkv", special="H.264 4:2:2", arguments=(*SIGHT, *H264, "-pix_fmt", "yuv422p")),
    Source(
        name="h264-422-10bit.mxf",
        special="H.264 4:2:2 10 bits intra in MXF, as cameras write it, two mono PCM tracks",
        arguments=(
            *(*SIGHT, *SOUND, *SOUND, "-map", "0", "-map", "1", "-map", "2"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-g", "1", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s24le"),
        ),
        bits=10,
        sound=("", ""),
    ),
    Source(name="h264-444.mp4", special="H.264 4:4:4", arguments=(*SIGHT, *H264, "-pix_fmt", "yuv444p")),
    Source(name="h264-lossless.mkv", special="H.264 without loss (QP 0)", arguments=(*SIGHT, *H264, "-qp", "0")),
    Source(name="hevc.mp4", special="HEVC, tag hvc1", arguments=(*_BOTH, *X265, "-tag:v", "hvc1", *AAC), sound=_HEARD),
    Source(
        name="hevc-10bit.mkv",
        special="HEVC Main 10, SDR",
        arguments=(*SIGHT, *X265, "-pix_fmt", "yuv420p10le"),
        bits=10,
    ),
    Source(
        name="hevc-422-12bit.mkv",
        special="HEVC 4:2:2 12 bits",
        arguments=(*SIGHT, *X265, "-pix_fmt", "yuv422p12le"),
        bits=12,
    ),
    Source(
        name="av1.mp4",
        special="AV1 by SVT",
        arguments=(*_BOTH, "-c:v", "libsvtav1", "-preset", "12", *AAC),
        sound=_HEARD,
    ),
    Source(
        name="av1-10bit.webm",
        special="AV1 10 bits, Opus",
        arguments=(*_BOTH, "-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p10le", "-c:a", "libopus"),
        bits=10,
        sound=_HEARD,
    ),
    Source(
        name="vp8.webm",
        special="VP8 with hidden frames, Vorbis",
        arguments=(
            *(*_BOTH, "-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "200k"),
            *("-c:a", "libvorbis"),
        ),
        sound=_HEARD,
    ),
    Source(
        name="vp9.webm",
        special="VP9, Opus",
        arguments=(*_BOTH, "-c:v", "libvpx-vp9", *_VPX, "-c:a", "libopus"),
        sound=_HEARD,
    ),
    Source(
        name="vp9-alpha.webm",
        special="VP9 with an alpha channel",
        arguments=(*SIGHT, "-vf", "format=yuva420p", "-c:v", "libvpx-vp9", "-auto-alt-ref", "0", *_VPX),
    ),
    Source(
        name="vp9-444-10bit.webm",
        special="VP9 profile 3, 4:4:4 10 bits",
        arguments=(*SIGHT, "-c:v", "libvpx-vp9", *_VPX, "-pix_fmt", "yuv444p10le"),
        bits=10,
    ),
)
OLDER = (
    Source(
        name="mpeg1.mpg",
        special="MPEG-1, MP2 in a program stream",
        arguments=(*SIGHT, *SOUND, "-c:v", "mpeg1video", "-c:a", "mp2"),
        sound=("",),
    ),
    Source(
        name="mpeg2.vob",
        special="MPEG-2, AC-3 as on a DVD",
        arguments=(*SIGHT, *SOUND, "-c:v", "mpeg2video", "-bf", "2", "-c:a", "ac3", "-f", "vob"),
        sound=("",),
    ),
    Source(
        name="mpeg2.ts",
        special="MPEG-2, MP2 as broadcast",
        arguments=(*_BOTH, "-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2"),
        sound=_HEARD,
    ),
    Source(
        name="mpeg2-422.mxf",
        special="MPEG-2 4:2:2 (XDCAM), PCM in MXF",
        arguments=(
            *SIGHT,
            *SOUND,
            "-c:v",
            "mpeg2video",
            "-pix_fmt",
            "yuv422p",
            "-g",
            "12",
            "-bf",
            "2",
            "-c:a",
            "pcm_s16le",
        ),
        sound=("",),
    ),
    Source(
        name="xvid.avi",
        special="MPEG-4 ASP by Xvid, MP3",
        arguments=(*SIGHT, *SOUND, "-c:v", "libxvid", "-bf", "2", "-c:a", "mp3"),
        frames=23,  # the encoder keeps two
        sound=("",),
    ),
    Source(
        name="mpeg4.mp4", special="MPEG-4 part 2", arguments=(*_BOTH, "-c:v", "mpeg4", "-bf", "2", *AAC), sound=_HEARD
    ),
    Source(
        name="divx3.avi",
        special="MS-MPEG-4 v3 (DivX 3), MP3",
        arguments=(*SIGHT, *SOUND, "-c:v", "msmpeg4", "-c:a", "mp3"),
        sound=("",),
    ),
    Source(
        name="h263.3gp",
        special="H.263, AMR-NB: an old telephone",
        arguments=(
            *("-f", "lavfi", "-i", "testsrc2=size=176x144:rate=15:duration=1", *SOUND, "-c:v", "h263"),
            *("-c:a", "libopencore_amrnb", "-ar", "8000", "-ac", "1"),
        ),
        size=(176, 144),
        frames=15,
        sound=("",),
    ),
    Source(
        name="wmv2.wmv",
        special="Windows Media 8, WMA 2",
        arguments=(*SIGHT, *SOUND, "-c:v", "wmv2", "-c:a", "wmav2"),
        sound=("",),
    ),
    Source(
        name="sorenson.flv",
        special="Sorenson Spark, MP3 in FLV",
        arguments=(*SIGHT, *SOUND, "-c:v", "flv", "-c:a", "mp3", "-ar", "44100"),
        sound=("",),
    ),
    Source(
        name="theora.ogv",
        special="Theora, Vorbis in Ogg",
        arguments=(*SIGHT, *SOUND, "-c:v", "libtheora", "-c:a", "libvorbis"),
        sound=("",),
    ),
    Source(
        name="mjpeg.avi",
        special="Motion JPEG in full range, PCM: a compact camera",
        arguments=(*SIGHT, *SOUND, "-c:v", "mjpeg", "-c:a", "pcm_s16le"),
        sound=("",),
    ),
    Source(
        name="dv.dv",
        special="DV, PAL: interlaced, pixels 16:15, sound inside",
        arguments=(
            *("-f", "lavfi", "-i", "testsrc2=size=720x576:rate=50:duration=1", *SOUND, "-ac", "2"),
            *("-vf", "tinterlace=interleave_bottom,setfield=bff,setsar=16/15", "-target", "pal-dv"),
        ),
        size=(720, 576),
        aspect="16/15",
        interlaced=True,
        sound=("",),
    ),
)
PRODUCTION = (
    Source(
        name="prores.mov",
        special="ProRes 422 HQ, 10 bits, PCM, time code",
        arguments=(*_BOTH, "-c:v", "prores_ks", "-profile:v", "3", "-timecode", "01:00:00:00", "-c:a", "pcm_s24le"),
        bits=10,
        sound=_HEARD,
    ),
    Source(
        name="prores-alpha.mov",
        special="ProRes 4444 with alpha",
        arguments=(*SIGHT, "-c:v", "prores_ks", "-profile:v", "4", "-pix_fmt", "yuva444p10le"),
        bits=12,
    ),
    Source(
        name="dnxhr.mov",
        special="DNxHR HQX, 10 bits 4:2:2",
        arguments=(
            *("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=1", "-c:v", "dnxhd"),
            *("-profile:v", "dnxhr_hqx", "-pix_fmt", "yuv422p10le"),
        ),
        size=(320, 180),
        bits=10,
    ),
    Source(
        name="cineform.mov",
        special="CineForm, 10 bits 4:2:2",
        arguments=(*SIGHT, "-c:v", "cfhd", "-pix_fmt", "yuv422p10le"),
        bits=10,
    ),
    Source(
        name="ffv1.mkv",
        special="FFV1 10 bits 4:2:2, FLAC: an archive",
        arguments=(*_BOTH, "-c:v", "ffv1", "-level", "3", "-pix_fmt", "yuv422p10le", "-c:a", "flac"),
        bits=10,
        sound=_HEARD,
    ),
    Source(
        name="huffyuv.avi",
        special="HuffYUV 4:2:2",
        arguments=(*SIGHT, "-c:v", "huffyuv", "-pix_fmt", "yuv422p"),
    ),
    Source(name="utvideo.avi", special="Ut Video in RGB", arguments=(*SIGHT, "-c:v", "utvideo", "-pix_fmt", "gbrp")),
    Source(
        name="raw.avi",
        special="uncompressed BGR with 8 bits",
        arguments=(*SIGHT, "-c:v", "rawvideo", "-pix_fmt", "bgr24"),
    ),
    Source(name="v210.mov", special="uncompressed 10 bits 4:2:2 (v210)", arguments=(*SIGHT, "-c:v", "v210"), bits=10),
    Source(name="raw.y4m", special="YUV4MPEG, uncompressed", arguments=(*SIGHT, "-pix_fmt", "yuv420p")),
    Source(name="grey.mkv", special="grey, 8 bits, FFV1", arguments=(*SIGHT, "-c:v", "ffv1", "-pix_fmt", "gray")),
)
CONTAINERS = (
    Source(
        name="fragmented.mp4",
        special="fragmented mp4, as recorders write it",
        arguments=(*_BOTH, *H264, *AAC, "-movflags", "+frag_keyframe+empty_moov+default_base_moof"),
        sound=_HEARD,
    ),
    Source(
        name="live.mkv",
        special="Matroska of a live recording: no length, no index",
        arguments=(*_BOTH, *H264, *AAC, "-live", "1"),
        sound=_HEARD,
    ),
    Source(
        name="camera.m2ts",
        special="AVCHD: ts with packets of 192 bytes, AC-3",
        arguments=(*_BOTH, *H264, "-c:a", "ac3", "-mpegts_m2ts_mode", "1"),
        sound=_HEARD,
    ),
    Source(
        name="h264.flv",
        special="H.264, AAC in FLV",
        arguments=(*SIGHT, *SOUND, *H264, *AAC, "-ar", "44100"),
        sound=("",),
    ),
    Source(name="raw.h264", special="H.264 without a container: no times", arguments=(*SIGHT, *H264)),
    Source(
        name="wrong-name.mp4",
        special="Matroska under the name of an mp4",
        arguments=(*_BOTH, *H264, *AAC, "-f", "matroska"),
        sound=_HEARD,
    ),
    Source(
        name="animation.gif",
        special="an animated GIF",
        arguments=(*SIGHT, "-t", "0.4"),
        refused="input_invalid",
        says="not accepted",
    ),
)
SOURCES = (*H264S, *OLDER, *PRODUCTION, *CONTAINERS)
