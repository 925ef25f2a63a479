"""Encoders that a job may name, of both engines. `media.codecs`, `media.hardware` and `media.gst_encoders` tell them what to do.

GStreamer's for hardware are not among them: they are only tried and shown.
"""

from ffrtmp.domain.spec import Codec, Engine

_FFMPEG = {
    Codec.H264: ("libx264", "h264_nvenc", "h264_qsv", "h264_vaapi"),
    Codec.H265: ("libx265", "hevc_nvenc", "hevc_qsv", "hevc_vaapi"),
    Codec.VP8: ("libvpx",),
    Codec.VP9: ("libvpx-vp9",),
    Codec.AV1: ("libsvtav1", "libaom-av1", "av1_nvenc", "av1_qsv", "av1_vaapi"),
}
_GSTREAMER = {
    Codec.H264: ("x264enc",),
    Codec.H265: ("x265enc",),
    Codec.VP8: ("vp8enc",),
    Codec.VP9: ("vp9enc",),
    Codec.AV1: ("av1enc", "svtav1enc"),
}
#: name → what it makes, and whose it is
NAMED: dict[str, tuple[Codec, Engine]] = {
    name: (codec, engine)
    for engine, table in ((Engine.FFMPEG, _FFMPEG), (Engine.GSTREAMER, _GSTREAMER))
    for codec, names in table.items()
    for name in names
}
