"""What an encoder cannot reach whatever it is told: pictures that are too small for it, rates that are too high. Pure.

Tried with FFmpeg 9.0.2 on colours of 2x2 to 64x64, and with GStreamer 1.22 (the caps of its elements). Hardware has limits of its
own, which differ from one GPU to the next: there the encoder fails, and software follows.
"""

from fractions import Fraction

import msgspec

from ffrtmp.domain.spec import Deinterlace, RateMode, Spec
from ffrtmp.media import picture
from ffrtmp.media.inspection import VideoStream

#: of SVT-AV1
AV1_MOST_BPS = 100_000_000


class Reach(msgspec.Struct, frozen=True):
    least: int = 2  #: pixels of either side
    most_rate: int | None = None  #: frames per second
    least_aimed: int = 2  #: pixels of either side, where the encode aims at a bitrate
    most_bps: int | None = None  #: as a target or a cap


_REACH = {
    "libx265": Reach(least=16),
    "libsvtav1": Reach(least=4, most_rate=240, least_aimed=64, most_bps=AV1_MOST_BPS),
    "x264enc": Reach(least=16),
    "x265enc": Reach(least=16),
    "av1enc": Reach(least=4),
    "svtav1enc": Reach(least=4, most_rate=240),
}


def beyond(encoder: str, spec: Spec, source: VideoStream | None) -> str:
    """Why this encoder cannot make the picture, and what to set; "": it can."""
    reach = _REACH.get(encoder, Reach())
    made = picture.plan(spec, source)
    aims = spec.rate.mode is not RateMode.CRF
    least = max(reach.least, reach.least_aimed) if aims else reach.least
    if min(made.width, made.height) < least:
        size = f"{max(made.width, least)}x{max(made.height, least)}"
        return (
            f"{encoder} needs {least} pixels each way{' to aim at a bitrate' if least > reach.least else ''}, and the picture "
            f"has {made.width}x{made.height}: set resolution to {size}"
        )
    most = max(spec.rate.bitrate_bps or 0, spec.rate.max_bitrate_bps or 0)
    if reach.most_bps is not None and most > reach.most_bps:
        return f"{encoder} takes at most {reach.most_bps // 1_000_000} Mb/s, not {most / 1_000_000:g}"
    rate = _rate(spec, source)
    if reach.most_rate is not None and rate is not None and rate > reach.most_rate:
        return f"{encoder} takes at most {reach.most_rate} frames per second, not {float(rate):.5g}: set fps"
    return ""


def _rate(spec: Spec, source: VideoStream | None) -> Fraction | None:
    """Of frames that come steadily; None: they do not."""
    if spec.frame_rate is not None or source is None:
        return picture.generated_rate(spec)
    if not source.constant_rate or source.frame_rate is None:
        return None
    return source.frame_rate * (2 if spec.deinterlace is Deinterlace.FIELD else 1)
