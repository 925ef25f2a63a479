"""Which sizes and rates a ladder has. Pure: the same answer for the command, the verdict and the people who ask why."""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from ffrtmp.domain.spec import Audio, AudioCodec, Codec, Ladder, OutputMode, Pick, Rate, RateMode, Spec, Tracks
from ffrtmp.domain.units import Resolution
from ffrtmp.media import interlace, picture
from ffrtmp.media.inspection import Inspection, VideoStream

#: lines → bits per second at most. H.264 and HEVC: Apple, "HLS Authoring Specification for Apple Devices", the highest tier of each
#: height; it has no H.264 above 1080 lines: there HEVC's steps (5.8 → 8.1 → 16.8 Mb/s) are taken from 7.8 Mb/s on
_H264 = {
    2160: 22_600_000,
    1440: 10_900_000,
    1080: 7_800_000,
    720: 4_500_000,
    540: 2_000_000,
    432: 1_100_000,
    360: 365_000,
    234: 145_000,
}
_HEVC = {2160: 16_800_000, 1440: 8_100_000, 1080: 5_800_000, 720: 3_400_000, 540: 1_600_000, 432: 300_000, 360: 145_000}
#: 234 lines are for H.264 only there; VP9 and AV1 need no more than HEVC
_CAPS: dict[Codec, dict[int, int]] = {
    Codec.H264: _H264,
    Codec.VP8: _H264,
    Codec.H265: _HEVC,
    Codec.VP9: _HEVC,
    Codec.AV1: _HEVC,
}
#: the table is for up to 30 frames per second; twice as many frames, which differ less, take about so much more
_FAST_RATE, _FAST_FACTOR = 30, 1.4
#: a box of 16:9 around each height
_BOX = Fraction(16, 9)
#: a rung that has more than this of the next larger one's lines adds no choice
_TOO_NEAR = 0.8
#: below this rate of a rung nobody needs a smaller one: the lowest of Apple's table
_ENOUGH_BPS = 145_000
#: complexity: how far the caps may be moved from the table by what sample encodes measured
COMPLEXITY = (0.4, 1.5)
#: a cap is so far above the average that was measured
_HEADROOM = 1.5
#: bits grow slower than pixels (Netflix, "Per-Title Encode Optimization": the curves of one title)
_BITS_BY_PIXELS = 0.75
_LEAST_CAP = 64_000
#: of the shorter side: below this nothing is to be seen, and encoders refuse it
_LEAST_LINES = 64


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One rung: `spec` is the job's as if this were its only output; of a package the picture alone."""

    name: str
    width: int
    height: int
    spec: Spec
    why: str


def plan(spec: Spec, source: Inspection | None, measured_bps: float | None = None) -> tuple[list[Planned], list[str]]:
    """The rungs, largest first, and what was decided about others. Never empty, never larger than the source.

    `measured_bps`: what sample encodes of the largest rung's picture took on average, for a ladder that is chosen here.
    """
    video = None if source is None else source.main_video
    size = shown_size(spec, video)
    if spec.ladder is None:
        return [_planned(spec, video, spec.resolution, spec.rate, "the job's own size")], []
    if spec.ladder.auto:
        return _auto(spec, video, size, measured_bps)
    return _named(spec, spec.ladder, video, size)


def shown_size(spec: Spec, video: VideoStream | None) -> tuple[int, int]:
    """Width and height that are shown without a rung's scaling."""
    alone = picture.plan(msgspec.structs.replace(spec, ladder=None, resolution=None), video)
    return alone.width, alone.height


def _named(
    spec: Spec, ladder: Ladder, video: VideoStream | None, size: tuple[int, int]
) -> tuple[list[Planned], list[str]]:
    kept: list[Planned] = []
    notes = []
    for rung in ladder.rungs:
        fitted = _oriented(rung.resolution, size)
        if _larger(fitted, size):
            notes.append(f"{rung.resolution} is left out: the source has {size[0]}x{size[1]}, and is never scaled up")
            continue
        planned = _planned(
            spec, video, fitted, rung.rate or capped(spec, video, rung.resolution, size), "named by the job"
        )
        if any(one.name == planned.name for one in kept):
            notes.append(f"{rung.resolution} is left out: it has as many lines as the next larger one")
            continue
        kept.append(planned)
    if not kept:
        kept.append(
            _planned(spec, video, None, capped(spec, video, None, size), "the source's own size: no rung is as small")
        )
    return kept, notes


def _auto(
    spec: Spec, video: VideoStream | None, size: tuple[int, int], measured: float | None
) -> tuple[list[Planned], list[str]]:
    factor, notes = 1.0, []
    sizes = sizes_of(spec, size)
    if measured is not None:
        table = _cap(spec, video, _lines(size) if sizes[0] is None else sizes[0].height)
        low, high = COMPLEXITY
        factor = min(max(measured * _HEADROOM / table, low), high)
        notes.append(
            f"caps x {factor:.2f}: samples of the largest size took {measured / 1000:.0f} kb/s, the table has {table // 1000}"
        )
    kept: list[Planned] = []
    expected = float("inf")
    for one in sizes:
        lines = _lines(size) if one is None else one.height
        if expected < _ENOUGH_BPS:
            notes.append(f"{lines}p is left out: the next larger one takes about {expected / 1000:.0f} kb/s only")
            continue
        rate = capped(spec, video, one, size, factor)
        why = "the source's own size" if one is None else "a standard size below the source's"
        planned = _planned(spec, video, _fitted(one, size), rate, why)
        if kept and min(planned.width, planned.height) < _LEAST_LINES:
            continue
        kept.append(planned)
        expected = float(rate.max_bitrate_bps or 0)
        if measured is not None:
            pixels = kept[-1].width * kept[-1].height / (kept[0].width * kept[0].height)
            expected = min(expected, measured * pixels**_BITS_BY_PIXELS)
    return kept, notes


def sizes_of(spec: Spec, size: tuple[int, int]) -> list[Resolution | None]:
    """The standard sizes for a source, largest first; None: its own. `height` is of the 16:9 box around the picture."""
    table = _CAPS[spec.codec]
    lines = _lines(size)
    top = next((height for height in table if height <= lines), 0)
    found: list[Resolution | None] = []
    largest = lines
    if lines > max(table):
        largest = max(table)
        found.append(Resolution(None, largest))
    else:
        found.append(None)
    for height in (one for one in table if one <= top):
        if height <= largest * _TOO_NEAR:
            found.append(Resolution(None, height))
            largest = height
    return found


def capped(
    spec: Spec, video: VideoStream | None, size: Resolution | None, shown: tuple[int, int], factor: float = 1.0
) -> Rate:
    """The job's quality, below a cap for this size."""
    asked = spec.rate
    lines = _lines(shown) if size is None else size.lines
    cap = max(round(_cap(spec, video, lines) * factor, -3), _LEAST_CAP)
    cap = min(cap, asked.max_bitrate_bps or cap)
    return Rate(mode=RateMode.CRF, crf=asked.crf, max_bitrate_bps=int(cap))


def _cap(spec: Spec, video: VideoStream | None, lines: int) -> int:
    """Of the table, between its rows in proportion to the pixels."""
    table = _CAPS[spec.codec]
    above = min((height for height in table if height >= lines), default=max(table))
    share = min((lines / above) ** 2, 1.0)
    rate = spec.frame_rate or (video.frame_rate if video else None)
    if rate and interlace.plan(spec, video).doubled and not spec.frame_rate:
        rate *= 2
    fast = _FAST_FACTOR if rate and rate > _FAST_RATE else 1.0
    return round(table[above] * share * fast)


def _lines(size: tuple[int, int]) -> int:
    """The height of the 16:9 box, upright or lying, that is just around the picture."""
    long, short = max(size), min(size)
    return max(short, round(long / _BOX))


def _fitted(box: Resolution | None, size: tuple[int, int]) -> Resolution | None:
    """A picture's size within a box, by its height, which keeps the aspect."""
    if box is None:
        return None
    scale = Fraction(box.height, _lines(size))
    return Resolution(None, max(16, 2 * round(size[1] * scale / 2)))


def _oriented(named: Resolution, size: tuple[int, int]) -> Resolution:
    """`720p` names the lines of the shorter side: an upright picture of 720p is 720 wide; `1280x720` is
    turned with it."""
    if named.width is not None:
        lies = size[0] >= size[1]
        return named if lies == (named.width >= named.height) else Resolution(named.height, named.width)
    if size[0] >= size[1]:
        return named
    return Resolution(None, max(16, 2 * round(named.height * size[1] / size[0] / 2)))


def _larger(named: Resolution, size: tuple[int, int]) -> bool:
    return named.height > size[1] or (named.width or 0) > size[0]


def _planned(spec: Spec, video: VideoStream | None, size: Resolution | None, rate: Rate, why: str) -> Planned:
    made = msgspec.structs.replace(alone(spec), ladder=None, resolution=size, rate=rate)
    if spec.packaged:
        made = msgspec.structs.replace(made, audio=Audio(codec=AudioCodec.NONE))
    shown = picture.plan(made, video)
    return Planned(
        name=f"{min(shown.width, shown.height)}p", width=shown.width, height=shown.height, spec=made, why=why
    )


def alone(spec: Spec) -> Spec:
    """The job without what goes with playlists: a track of a package has no subtitles, covers or chapters beside it."""
    if not spec.packaged:
        return spec
    return msgspec.structs.replace(
        spec, output_mode=OutputMode.FILE, subtitles=Tracks(pick=Pick.NONE), keep_metadata=False
    )


def described(rungs: Sequence[Planned]) -> str:
    """`1280x720 crf 23 up to 4500 kb/s, 640x360 …`, for logs."""
    return ", ".join(f"{rung.width}x{rung.height} {asked(rung.spec.rate)}" for rung in rungs)


def asked(rate: Rate) -> str:
    text = f"crf {rate.crf:g}" if rate.mode is RateMode.CRF else f"{(rate.bitrate_bps or 0) / 1000:.0f} kb/s"
    return text + (f" up to {rate.max_bitrate_bps / 1000:.0f} kb/s" if rate.max_bitrate_bps else "")
