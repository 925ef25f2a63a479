"""What an encoder cannot reach whatever it is told: pictures that are too small for it, rates that are too high. Pure.

Tried with FFmpeg 9.0.2 on colours of 2x2 to 64x64, and with GStreamer 1.22 (the caps of its elements). Hardware has limits of its
own, which differ from one GPU to the next: there the encoder fails, and software follows.
"""

from fractions import Fraction

import msgspec

from ffrtmp.domain.spec import Deinterlace, Spec
from ffrtmp.media import picture
from ffrtmp.media.inspection import VideoStream


class Reach(msgspec.Struct, frozen=True):
    least: int = 2  #: pixels of either side
    most_rate: int | None = None  #: frames per second


_REACH = {
    "libx265": Reach(least=16),
    "libsvtav1": Reach(least=4, most_rate=240),
    "x264enc": Reach(least=16),
    "x265enc": Reach(least=16),
    "av1enc": Reach(least=4),
    "svtav1enc": Reach(least=4, most_rate=240),
}


def beyond(encoder: str, spec: Spec, source: VideoStream | None) -> str:
    """Why this encoder cannot make the picture, and what to set; "": it can."""
    reach = _REACH.get(encoder, Reach())
    made = picture.plan(spec, source)
    if min(made.width, made.height) < reach.least:
        size = f"{max(made.width, reach.least)}x{max(made.height, reach.least)}"
        return (
            f"{encoder} needs {reach.least} pixels each way, and the picture has {made.width}x{made.height}: "
            f"set resolution to {size}"
        )
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
