"""What size the output has, and which filters make it. Pure: the same numbers go into the command and into the verdict."""

from fractions import Fraction

import msgspec

from ffrtmp.domain.spec import PixelFormat, Spec
from ffrtmp.domain.units import Resolution
from ffrtmp.media import codecs, colour
from ffrtmp.media.arguments import number
from ffrtmp.media.inspection import VideoStream

#: of a generated input that was given no size or rate
GENERATED_SIZE = (1280, 720)
GENERATED_RATE = Fraction(30)


#: pixel formats that say how opaque each pixel is
_WITH_ALPHA = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16")


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    width: int
    height: int
    pixel_format: PixelFormat
    shaping: tuple[str, ...] = ()  #: filters that make the size
    coloured: colour.Plan = colour.Plan()

    @property
    def filters(self) -> tuple[str, ...]:
        return (*self.shaping, *self.coloured.filters)


def _even(value: float) -> int:
    """The nearest even number that is not less than 2."""
    return max(2, 2 * round(value / 2))


def plan(spec: Spec, source: VideoStream | None) -> Picture:
    """The picture that a spec makes of a source; `source` None is a generated input. Raises TaskError: see `colour.plan`."""
    made = _shape(spec, source)
    if source is None:
        return made
    return msgspec.structs.replace(made, coloured=colour.plan(spec, source, made.pixel_format, made.height))


def _shape(spec: Spec, source: VideoStream | None) -> Picture:
    """Size and pixel format.

    FFmpeg turns the picture as its rotation says before our filters see it. A size with both sides is met exactly, with square
    pixels. One side keeps the source's aspect and pixel shape. Without a size an odd side loses one line or column:
    4:2:0 cannot hold it, and cutting does not soften the picture as scaling would.
    """
    if source is None:
        width, height = generated_size(spec)
        return Picture(width=width, height=height, pixel_format=codecs.pixel_format(spec, 8))
    made = codecs.pixel_format(spec, source.bits)
    width, height = source.display_size
    asked = spec.resolution
    if asked is None:
        even = (max(2, width - width % 2), max(2, height - height % 2))
        fitted = "crop={}:{}:0:0" if min(width, height) > 1 else "scale={}:{}:flags=neighbor"
        filters = (fitted.format(*even),) if even != (width, height) else ()
        return Picture(width=even[0], height=even[1], pixel_format=made, shaping=filters)
    target = (_even(asked.width or width * asked.height / height), _even(asked.height))
    if target == (width, height) and (asked.width is None or source.shown_aspect == 1):
        return Picture(width=width, height=height, pixel_format=made)
    aspect = Fraction(1) if asked.width is not None else source.shown_aspect
    return Picture(
        width=target[0],
        height=target[1],
        pixel_format=made,
        shaping=(
            f"scale={target[0]}:{target[1]}:flags=bicubic",
            f"setsar={aspect.numerator}/{aspect.denominator}",
        ),
    )


def notes(source: VideoStream | None, made: PixelFormat, asked: PixelFormat | None) -> list[str]:
    """What of the source's samples is given up, for the attempt's log."""
    if source is None:
        return []
    before, told = source.pixel_format.replace("yuvj", "yuv"), []
    if before.startswith(_WITH_ALPHA):
        told.append(f"alpha: left out, {made} has none")
    finer = any(chroma in before and chroma not in made for chroma in ("444", "422")) or source.bits > made.bits
    if asked is None and before.startswith("yuv") and finer:
        told.append(f"pixel format: {before} becomes {made}, which players show; pixel_format chooses another")
    return told


def generated_size(spec: Spec) -> tuple[int, int]:
    asked: Resolution | None = spec.resolution
    if asked is None:
        return GENERATED_SIZE
    return _even(asked.width or asked.height * 16 / 9), _even(asked.height)


def generated_rate(spec: Spec) -> Fraction:
    return spec.frame_rate or GENERATED_RATE


def fraction(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}" if value.denominator != 1 else number(value.numerator)
