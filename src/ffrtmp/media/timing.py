"""Which frames of the input are encoded, and at which times. Pure; the verdict counts what this plans.

Times are kept as they are (variable frame rates stay variable) unless a frame rate was asked. A start or a duration selects frames
by timestamp, as measured to be exact for every kind of source: seek half a second before the keyframe, decode, `trim`.
FFmpeg's own `-ss`/`-t` on the input is not exact for ts, ps, VFR and B-frame sources.
"""

from fractions import Fraction

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import InputKind, Spec
from ffrtmp.media import interlace
from ffrtmp.media.arguments import number
from ffrtmp.media.inspection import Inspection, VideoStream
from ffrtmp.media.picture import fraction, generated_rate

#: `trim` rounds its times to the stream's clock, which may tick in milliseconds, or (AVI) once a frame: with these margins around
#: the first and the last frame both are kept, and their neighbours, at least a tick and 1 ms away, are not
_BEFORE_FIRST_SECONDS = 0.0004
_AFTER_LAST_SECONDS = 0.0006
_AFTER_LAST_TICKS = 0.6
#: how far before a keyframe a seek aims: demuxers that seek by DTS or by byte land early enough then
_SEEK_MARGIN_SECONDS = 0.5
GENERATED_SECONDS = 10.0


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    frames: int | None  #: that must come out; None: the input's frames cannot be counted without decoding
    frames_tolerance: int = 0
    video_seconds: float | None = None  #: from the first frame to the end of the last
    cut: bool = False
    input_arguments: tuple[str, ...] = ()
    video_filters: tuple[str, ...] = ()
    audio_filters: tuple[str, ...] = ()
    encode_arguments: tuple[str, ...] = ()
    rate: Fraction | None = None  #: frames per second, about; for `-g`
    interval: tuple[float, float | None] = (0.0, None)  #: what is taken, in the input's clock
    steady: bool = False  #: each frame lies on a tick of `rate`, and none is left out
    picture_start: float | None = None  #: of the first frame that comes out, in the input's clock
    note: str | None = None  #: for the attempt's log


def plan(spec: Spec, source: Inspection | None) -> Timing:
    """Raises TaskError(no_video_stream), or input_invalid when the cut takes nothing."""
    made = _plan(spec, source)
    video = None if source is None or spec.input.kind is InputKind.GENERATE else source.main_video
    if video is not None and video.disordered:
        made = _ordered(spec, video, made)
    fields = interlace.plan(spec, video)
    if fields.filter is None or video is None:
        return made
    if spec.frame_rate is not None:  # `fps` must not choose among frames that are halves of two moments
        return msgspec.structs.replace(made, video_filters=(fields.filter, *made.video_filters))
    made = msgspec.structs.replace(made, video_filters=(*made.video_filters, fields.filter))
    if not fields.doubled:
        return made
    clock = interlace.doubled_clock(video, made.rate if made.steady else None)
    return msgspec.structs.replace(
        made,
        frames=None if made.frames is None else 2 * made.frames,
        rate=None if made.rate is None else 2 * made.rate,
        encode_arguments=("-fps_mode:v", "passthrough", "-enc_time_base:v", fraction(clock)),
    )


def _plan(spec: Spec, source: Inspection | None) -> Timing:
    if spec.input.kind is InputKind.GENERATE or source is None:
        rate, seconds = generated_rate(spec), spec.duration or GENERATED_SECONDS
        frames = -(-Fraction(number(seconds)) * rate // 1)
        return Timing(frames=int(frames), frames_tolerance=1, video_seconds=seconds, rate=rate)
    video = source.main_video
    if video is None:
        raise errors.TaskError(Code.NO_VIDEO_STREAM, "the input has no video stream")
    if spec.start > 0 or spec.duration is not None:
        return _cut(spec, source, video)
    taken = (source.start_seconds, None)
    if spec.frame_rate is not None:
        return _converted(spec.frame_rate, video.first_pts, video.duration_seconds, source.start_seconds, taken)
    return Timing(
        frames=video.frames or None,
        steady=_on_its_grid(video, video.first_pts, source.start_seconds),
        picture_start=video.first_pts,
        video_seconds=video.duration_seconds,
        encode_arguments=_keep(video, video.first_pts, source.start_seconds),
        rate=video.frame_rate,
        interval=taken,
    )


def _cut(spec: Spec, source: Inspection, video: VideoStream) -> Timing:
    window = source.window
    base = source.start_seconds + spec.start
    until = None if spec.duration is None else base + spec.duration
    if window is None:
        return _untimed_cut(spec, video, base, until)
    steady = source.steady_until
    if steady is not None and (until is None or until - source.start_seconds > steady):
        raise errors.TaskError(
            Code.INPUT_INVALID,
            f"the input's clock jumps at {steady:.3f} s, and start and duration reach beyond that; "
            "transcode it whole first, then cut the result",
        )
    if window.first_pts is None or window.last_pts is None:
        length = video.duration_seconds or source.duration_seconds
        raise errors.TaskError(
            Code.CUT_EMPTY,
            f"start {spec.start:g} s"
            + (f" and duration {spec.duration:g} s select" if spec.duration is not None else " selects")
            + " no frame"
            + (f": the input is {length:.3f} s long" if length else ""),
        )
    seek: tuple[str, ...] = ()
    if window.keyframe_pts is not None:
        target = window.keyframe_pts - source.start_seconds - _SEEK_MARGIN_SECONDS
        if target > 0:
            seek = ("-ss", f"{target:.6f}")
    first = window.first_pts - _BEFORE_FIRST_SECONDS
    last = window.last_pts + max(_AFTER_LAST_SECONDS, _AFTER_LAST_TICKS * float(Fraction(video.time_base)))
    span = window.last_pts + window.last_duration - window.first_pts
    ends = "" if until is None else f":end={until:.6f}"
    cut = Timing(
        frames=window.frames,
        video_seconds=span,
        cut=True,
        input_arguments=("-copyts", "-noaccurate_seek", *seek),
        video_filters=(f"trim=start={first:.6f}:end={last:.6f}", f"setpts=round(PTS-{base:.6f}/TB)"),
        audio_filters=(f"atrim=start={base:.6f}{ends}", f"asetpts=round(PTS-{base:.6f}/TB)"),
        encode_arguments=_keep(video, window.first_pts, base),
        rate=video.frame_rate,
        interval=(base, until),
        steady=_on_its_grid(video, window.first_pts, base),
        picture_start=window.first_pts,
    )
    if spec.frame_rate is None:
        return cut
    # `fps` first: it shows at the start what was on the screen then, and the count does not depend on where `trim` says the end is
    length = window.last_pts + window.last_duration - base
    if spec.duration is not None:
        length = min(length, spec.duration)
    frames = _ticks(length, spec.frame_rate)
    rate = fraction(spec.frame_rate)
    return msgspec.structs.replace(
        cut,
        frames=frames,
        frames_tolerance=1,
        video_seconds=float(frames / spec.frame_rate),
        video_filters=(cut.video_filters[1], f"fps={rate}:start_time=0", f"trim=end_frame={frames}"),
        encode_arguments=_on_grid(spec.frame_rate),
        rate=spec.frame_rate,
        steady=True,
        picture_start=base,
    )


def _untimed_cut(spec: Spec, video: VideoStream, base: float, until: float | None) -> Timing:
    """For a raw stream, whose times are made by the reader: cut by them, and count nothing."""
    ends = "" if until is None else f":end={until:.6f}"
    converted = () if spec.frame_rate is None else (f"fps={fraction(spec.frame_rate)}",)
    return Timing(
        frames=None,
        video_seconds=None,
        cut=True,
        video_filters=(f"trim=start={base:.6f}{ends}", f"setpts=round(PTS-{base:.6f}/TB)", *converted),
        rate=spec.frame_rate or video.frame_rate,
        interval=(base, until),
    )


def _converted(
    rate: Fraction, first: float | None, span: float | None, base: float, taken: tuple[float, float | None]
) -> Timing:
    """The `fps` filter puts a frame on every tick from the first frame's to the end of the last one, each rounded to nearest."""
    frames = None
    if first is not None and span is not None:
        _ticks(span, rate)
        frames = max(1, round((first - base + span) * rate) - round((first - base) * rate))
    return Timing(
        frames=frames,
        frames_tolerance=1,
        video_seconds=None if frames is None else float(frames / rate),
        video_filters=(f"fps={fraction(rate)}",),
        encode_arguments=_on_grid(rate),
        rate=rate,
        interval=taken,
        steady=True,
        picture_start=first,
    )


def _ordered(spec: Spec, video: VideoStream, made: Timing) -> Timing:
    """For a file whose times are those of its packets and not of its pictures (VLC has written such mp4 files): the pictures are in
    order, so they are numbered, at the average rate. A seek would lose count."""
    rate = video.frame_rate
    if rate is None:
        return made
    number_them = f"setpts=({number(video.first_pts or 0.0)}+N*{rate.denominator}/{rate.numerator})/TB"
    made = msgspec.structs.replace(
        made,
        input_arguments=tuple(made.input_arguments[:2]),  # without its -ss
        video_filters=(number_them, *made.video_filters),
        frames_tolerance=max(made.frames_tolerance, 1 if made.cut else 0),
        note=f"times: the file's are not in the order of its pictures, which come at a steady {float(rate):.5g} per second now",
    )
    if spec.frame_rate is not None:
        return made
    return msgspec.structs.replace(made, steady=True, rate=rate, encode_arguments=_on_grid(rate))


def _ticks(seconds: float, rate: Fraction) -> int:
    """Raises TaskError(cut_empty) when there is none: `fps` would make no frame at all."""
    count = int(seconds * rate + 0.5)
    if count < 1:
        raise errors.TaskError(
            Code.CUT_EMPTY,
            f"what is taken of the input is {seconds:.3f} s long: no frame at {float(rate):g} per second",
        )
    return count


def _on_grid(rate: Fraction) -> tuple[str, ...]:
    return ("-fps_mode:v", "passthrough", "-enc_time_base:v", fraction(1 / rate))


def _keep(video: VideoStream, first: float | None, base: float) -> tuple[str, ...]:
    """Keep each frame and its time.

    Containers with millisecond clocks round the times of a constant rate. Where the inspection found a constant rate, and the
    first frame lies on its grid, the encoder's clock ticks once a frame: the exact times are restored.
    """
    rate = video.frame_rate
    clock = fraction(1 / rate) if rate and _on_its_grid(video, first, base) else "demux"
    return ("-fps_mode:v", "passthrough", "-enc_time_base:v", clock)


def _on_its_grid(video: VideoStream, first: float | None, base: float) -> bool:
    rate = video.frame_rate
    if not video.constant_rate or not rate or first is None:
        return False
    offset = (first - base) * rate
    return bool(abs(offset - round(offset)) <= float(Fraction(video.time_base) * rate) + 1e-6)
