"""A size in bytes → the bitrate of the picture that fills it. Pure arithmetic; what it gets wrong, one more encode puts right.

What stands beside the picture is estimated from the same plans that make the command: the sound at its bitrate (or, where it is
copied, the bytes of its packets), subtitles, and what the container adds to each frame and packet.
"""

import math

import msgspec

from ffrtmp.domain import errors, units
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Fit, Pass
from ffrtmp.domain.spec import Codec, Container, Rate, Spec
from ffrtmp.media import audio, picture, reach, subtitles, timing
from ffrtmp.media.inspection import Inspection

#: in two passes the encoders were up to 0.6 % above their bitrate and 2.2 % below it (12 s of film, docs/media.md), and further off
#: in one pass: an encode aims below the target, so that most need no second
_AIM = 0.985
#: below so many bits for each pixel encoders at their worst quality still write more (libx265 on a moving picture: 0.004)
_LEAST_BITS_PER_PIXEL = 0.002
_LEAST_BPS = 4_000
#: short clips and small targets do not answer in proportion
_MOST_ENCODES = 3
#: a size that leaves more room is not filled: encoders refuse it, and nothing looks better for it
_MOST_BPS, _ENOUGH_BPS = {Codec.AV1: reach.AV1_MOST_BPS}, 1_000_000_000
#: headers and the like. This and what follows: files of 5 and 20 s, their size less the size of their packets
_FIXED_BYTES = 1500
#: bytes that each frame and each packet of sound costs: mp4's tables (stts, ctts, stsz, stco), Matroska's block headers and cues,
#: half a packet of mpegts that is filled up
_EACH = {Container.MP4: 11, Container.MKV: 8, Container.WEBM: 8, Container.TS: 90}
#: mpegts: the header of each packet of 188 bytes, and its tables (PAT, PMT)
_TS_SHARE, _TS_BYTES_PER_SECOND = 188 / 184, 500
_AUDIO_PACKETS_PER_SECOND = 50


def plan(spec: Spec, source: Inspection | None) -> Fit:
    """What is known before the first encode, with the bitrate to begin with as its only pass (of size 0).

    Raises TaskError(rate_unreachable) with the size that would do.
    """
    target = spec.rate.target_bytes or 0
    planned = timing.plan(spec, source)
    seconds = planned.video_seconds or (source.duration_seconds if source else None)
    if not seconds:
        raise errors.TaskError(
            Code.RATE_UNREACHABLE,
            "target_size needs the duration of the input, which a raw stream does not say; set bitrate and two_pass",
        )
    frames = planned.frames or math.ceil(seconds * (planned.rate or picture.GENERATED_RATE))
    beside = _beside(spec, source, frames, seconds)
    shown = picture.plan(spec, source.main_video if source else None)
    least = max(_LEAST_BPS, round(_LEAST_BITS_PER_PIXEL * shown.width * shown.height * frames / seconds))
    bitrate = _bitrate(spec.container, target * _AIM - beside, seconds)
    if bitrate < least:
        share = _TS_SHARE if spec.container is Container.TS else 1.0
        able = math.ceil((beside + least * seconds / 8 * share) / _AIM)
        raise errors.TaskError(
            Code.RATE_UNREACHABLE,
            f"target_size {target} bytes cannot hold {seconds:.1f} s of {shown.width}x{shown.height}: sound, subtitles and "
            f"the container take about {beside}, and the picture needs at least {least} b/s; {able} bytes "
            f"({units.human_bytes(able)}) could, at its worst quality",
        )
    bitrate = min(bitrate, spec.rate.max_bitrate_bps or bitrate, _MOST_BPS.get(spec.codec, _ENOUGH_BPS))
    return Fit(
        target_bytes=target,
        beside_bytes=beside,
        seconds=round(seconds, 3),
        encodes=[Pass(bitrate_bps=bitrate, size_bytes=0)],
    )


def rate(asked: Rate, fit: Fit) -> Rate:
    """What the next encode is told."""
    return msgspec.structs.replace(asked, bitrate_bps=fit.encodes[-1].bitrate_bps)


def judged(fit: Fit, size: int) -> Fit:
    """With the size that came out."""
    last = msgspec.structs.replace(fit.encodes[-1], size_bytes=size)
    return msgspec.structs.replace(fit, encodes=[*fit.encodes[:-1], last])


def corrected(fit: Fit) -> Fit:
    """With one more encode, whose bitrate follows from what was made: after the first in proportion, then on the line through
    the last two. Raises TaskError(rate_unreachable) after the last, or when nothing would be left for the picture."""
    last = fit.encodes[-1]
    bitrate = _next(fit)
    if len(fit.encodes) >= _MOST_ENCODES or bitrate < _LEAST_BPS:
        smallest = min(one.size_bytes for one in fit.encodes)
        raise errors.TaskError(
            Code.RATE_UNREACHABLE,
            f"the output has {last.size_bytes} bytes at {last.bitrate_bps} b/s, more than target_size {fit.target_bytes}; "
            f"{smallest} bytes ({units.human_bytes(smallest)}) could be had",
        )
    return msgspec.structs.replace(fit, encodes=[*fit.encodes, Pass(bitrate_bps=bitrate, size_bytes=0)])


def _next(fit: Fit) -> int:
    """Below what an encoder takes where it cannot be."""
    last, aim = fit.encodes[-1], fit.target_bytes * _AIM
    if len(fit.encodes) == 1:
        beside = min(fit.beside_bytes, last.size_bytes)
        room = aim - beside
        return max(_LEAST_BPS, round(last.bitrate_bps * room / (last.size_bytes - beside or 1))) if room > 0 else 0
    before = fit.encodes[-2]
    slope = (before.size_bytes - last.size_bytes) / (before.bitrate_bps - last.bitrate_bps or 1)
    return round(last.bitrate_bps - (last.size_bytes - aim) / slope) if slope > 0 else 0


def _bitrate(container: Container, room: float, seconds: float) -> int:
    share = _TS_SHARE if container is Container.TS else 1.0
    return math.floor(room / share * 8 / seconds)


def _beside(spec: Spec, source: Inspection | None, frames: int, seconds: float) -> int:
    share = _TS_SHARE if spec.container is Container.TS else 1.0
    sound, packets = 0.0, 0
    for track in audio.plan(spec, source):
        if track.bitrate_bps is not None:
            sound += track.bitrate_bps * seconds / 8
            packets += math.ceil(seconds * _AUDIO_PACKETS_PER_SECOND)
        elif track.source is not None:
            sound += track.source.size_bytes
            packets += track.source.packets
    carried = {plan.source.index: plan.source.size_bytes for plan in subtitles.plan(spec, source).tracks}
    texts = sum(carried.values())
    base = _FIXED_BYTES + (_TS_BYTES_PER_SECOND * seconds if spec.container is Container.TS else 0)
    return math.ceil((sound + texts) * share + base + _EACH[spec.container] * (frames + packets))
