"""What each codec takes, as far as a submission can be judged without a machine: ranges, tunes, profiles.

`media.codecs` maps these to each encoder's own options.
"""

import msgspec

from ffrtmp.domain.spec import Codec, Container, PixelFormat


class CodecRules(msgspec.Struct, frozen=True, kw_only=True):
    crf_max: float  #: the lowest quality of its scale; 0 is the highest
    crf_default: float
    container: Container  #: the usual one
    crf_whole: bool = True  #: fractions are not taken: FFmpeg's options of these encoders are whole numbers
    tunes: frozenset[str] = frozenset()
    profiles: frozenset[str] = frozenset()
    pixel_formats: frozenset[PixelFormat] = frozenset({PixelFormat.YUV420P})


#: CRF scales: 0–51 in x264 and x265, 0–63 in libvpx and SVT-AV1 (each encoder's documentation). The defaults are the encoders'
#: own (x264 23, x265 28, SVT-AV1 35), and for VP8/VP9 the middle of what the WebM project's guide suggests for 720p.
RULES: dict[Codec, CodecRules] = {
    Codec.H264: CodecRules(
        crf_max=51,
        crf_default=23,
        crf_whole=False,
        container=Container.MP4,
        tunes=frozenset({"film", "animation", "grain", "stillimage", "fastdecode", "zerolatency", "psnr", "ssim"}),
        profiles=frozenset({"baseline", "main", "high", "high10", "high422", "high444"}),
        pixel_formats=frozenset(PixelFormat),
    ),
    Codec.H265: CodecRules(
        crf_max=51,
        crf_default=28,
        crf_whole=False,
        container=Container.MP4,
        tunes=frozenset({"grain", "animation", "fastdecode", "zerolatency", "psnr", "ssim"}),
        profiles=frozenset({"main", "main10", "main422-10", "main444-8", "main444-10"}),
        pixel_formats=frozenset(PixelFormat),
    ),
    Codec.VP8: CodecRules(crf_max=63, crf_default=10, container=Container.WEBM),
    Codec.VP9: CodecRules(
        crf_max=63,
        crf_default=32,
        container=Container.WEBM,
        profiles=frozenset({"0", "1", "2", "3"}),
        pixel_formats=frozenset(PixelFormat),
    ),
    Codec.AV1: CodecRules(
        crf_max=63,
        crf_default=35,
        container=Container.MP4,
        profiles=frozenset({"main"}),
        pixel_formats=frozenset({PixelFormat.YUV420P, PixelFormat.YUV420P10}),
    ),
}
#: which keep HDR with its metadata here, in ten bits (seen in what comes out; H.264 and VP8 have no usual way)
HDR_CODECS = frozenset({Codec.H265, Codec.VP9, Codec.AV1})
#: which profile can carry which pixel format; profiles not named carry 8-bit 4:2:0 only
PROFILE_FORMATS: dict[str, frozenset[PixelFormat]] = {
    "high10": frozenset({PixelFormat.YUV420P, PixelFormat.YUV420P10}),
    "high422": frozenset({PixelFormat.YUV420P, PixelFormat.YUV420P10, PixelFormat.YUV422P, PixelFormat.YUV422P10}),
    "high444": frozenset(PixelFormat),
    "main10": frozenset({PixelFormat.YUV420P10}),
    "main422-10": frozenset({PixelFormat.YUV422P, PixelFormat.YUV422P10}),
    "main444-8": frozenset({PixelFormat.YUV444P}),
    "main444-10": frozenset({PixelFormat.YUV444P10}),
    "1": frozenset({PixelFormat.YUV422P, PixelFormat.YUV444P}),
    "2": frozenset({PixelFormat.YUV420P10}),
    "3": frozenset({PixelFormat.YUV422P10, PixelFormat.YUV444P10}),
}


def carried(codec: Codec, profile: str) -> frozenset[PixelFormat]:
    """AV1's only profile here, main, has the name of one of H.264 and H.265 that has eight bits."""
    if codec is Codec.AV1:
        return RULES[codec].pixel_formats
    return PROFILE_FORMATS.get(profile, frozenset({PixelFormat.YUV420P}))


def usual_format(codec: Codec, profile: str | None, source_bits: int) -> PixelFormat:
    """What is encoded where no pixel format is asked: what the profile carries, else 4:2:0, which every player shows; 10 bits are
    kept where the codec's usual profile has them (not in H.264, whose 10-bit profile most devices do not play)."""
    ten = source_bits > 8 and codec in (Codec.H265, Codec.VP9, Codec.AV1)
    order = sorted(PixelFormat, key=lambda one: (one.bits == 10) != ten)
    if profile is None:
        return order[0]
    # of the others four times as many chroma samples come last
    return next((one for one in order if one in carried(codec, profile)), PixelFormat.YUV420P)
