"""Interlaced pictures: whether they are made progressive, and how. Pure.

Every encoder here makes progressive pictures, in which the combs of two fields stay for ever and turn into mud when they are
scaled. So interlaced sources are deinterlaced unless the job says otherwise. With `off`, H.264 by libx264 keeps the fields and
says so in the stream, where nothing else changes the picture: players deinterlace then.
"""

from fractions import Fraction

import msgspec

from ffrtmp.domain.spec import Codec, Deinterlace, Spec
from ffrtmp.media.inspection import VideoStream

#: x264 codes fields in macroblock pairs, for which the height must be even in each field; baseline has no fields at all
_FIELD_LINES = 4
_WITHOUT_FIELDS = "baseline"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    filter: str | None = None
    doubled: bool = False  #: one frame for each field
    fields_kept: bool = False  #: coded as fields by encoders that can
    note: str | None = None  #: for the attempt's log


def plan(spec: Spec, source: VideoStream | None) -> Plan:
    """`source` None: a generated input, which is progressive."""
    if source is None:
        return Plan()
    wanted, found = spec.deinterlace, source.interlaced
    if wanted is Deinterlace.OFF:
        return Plan(fields_kept=found and _keeps_fields(spec, source), note=_left(spec, source) if found else None)
    if wanted is Deinterlace.AUTO and not found:
        return Plan()
    doubled = wanted is Deinterlace.FIELD
    # frames that are marked as progressive pass as they are, where frames are marked at all and nothing more was asked
    only_marked = wanted is Deinterlace.AUTO and source.interlaced_frames > 0
    mode = "send_field" if doubled else "send_frame"
    return Plan(
        filter=f"bwdif=mode={mode}:parity=auto:deint={'interlaced' if only_marked else 'all'}",
        doubled=doubled,
        note=f"deinterlaced with bwdif, {'one frame for each field' if doubled else 'frame rate kept'} ("
        + (_seen(source) if wanted is Deinterlace.AUTO else "as asked")
        + ")",
    )


def _seen(source: VideoStream) -> str:
    if source.interlaced_frames:
        return f"{source.interlaced_frames} of {source.looked_at} frames that were looked at are marked as interlaced"
    return "the input's header says that it is interlaced"


def _left(spec: Spec, source: VideoStream) -> str:
    if _keeps_fields(spec, source):
        return "interlaced, left so as asked: libx264 codes the fields, and players deinterlace"
    return "interlaced, left so as asked: encoded as progressive pictures, combs and all"


def _keeps_fields(spec: Spec, source: VideoStream) -> bool:
    return (
        spec.codec is Codec.H264
        and spec.resolution is None
        and spec.fps is None
        and spec.profile != _WITHOUT_FIELDS
        and source.rotation == 0
        and source.height % _FIELD_LINES == 0
        and source.width % 2 == 0
    )


def encode_arguments(made: Plan, encoder: str) -> tuple[str, ...]:
    return ("-flags:v", "+ildct+ilme") if made.fields_kept and encoder == "libx264" else ()


def doubled_clock(source: VideoStream, rate: Fraction | None) -> Fraction:
    """The length of a tick on which the frames of both fields lie."""
    return 1 / (2 * rate) if rate else Fraction(source.time_base) / 2
