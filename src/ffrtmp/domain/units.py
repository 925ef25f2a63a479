"""Quantities as people in the field write them: `2M`, `1280x720`, `29.97`, `1:30`, `700MB`.

Each parser takes what a JSON body or a command line can hold (a string or a number), returns the plain unit its name says,
and raises ValueError with a sentence that says which spellings are understood.
"""

import re
from fractions import Fraction

import msgspec

_BITRATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)(?:bit/s|bps|b/s|bit|b)?")
_BITRATE_FACTOR = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)(i?)[bB]?")
_SIZE_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
_SPELT = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_RATE = re.compile(r"\d{1,9}(?:\.\d{1,9}|/\d{1,9})?")  # no exponents: `1e999999999` would take hours to expand
_DIMENSIONS = re.compile(r"(\d{1,6})\s*[x×]\s*(\d{1,6})")
_HEIGHT = re.compile(r"(\d{1,6})p?")
#: NTSC rates are exact fractions (SMPTE 170M and ATSC A/53); people write them rounded.
_NTSC = {
    "23.976": Fraction(24000, 1001),
    "23.98": Fraction(24000, 1001),
    "29.97": Fraction(30000, 1001),
    "47.952": Fraction(48000, 1001),
    "59.94": Fraction(60000, 1001),
    "119.88": Fraction(120000, 1001),
}
_NAMED_HEIGHTS = {"4k": 2160, "uhd": 2160, "8k": 4320, "2k": 1440, "hd": 720, "fhd": 1080, "qhd": 1440}


class Resolution(msgspec.Struct, frozen=True):
    """A picture size in pixels. `width` None means: follow from the height and the source's aspect."""

    width: int | None
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}" if self.width else f"{self.height}p"

    @property
    def lines(self) -> int:
        """Of the shorter side: an upright picture has as many pixels as one that lies."""
        return min(self.height, self.width or self.height)


def bitrate_bps(value: object) -> int:
    """`2M`, `2000k`, `2000000` → bits per second."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value > 0 and value == value and value != float("inf"):
            return round(value)
    elif isinstance(value, str) and (match := _BITRATE.fullmatch(value.strip())):
        bps = float(match[1]) * _BITRATE_FACTOR[match[2].lower()]
        if 0.5 < bps < float("inf"):
            return round(bps)
    raise ValueError(f"{value!r} is not a bitrate; write it like 2M, 2500k or 2000000 (bits per second)")


def size_bytes(value: object) -> int:
    """`700M`, `1.5GiB`, `1048576` → bytes. `k`, `M`, `G` are powers of 1000; `Ki`, `Mi`, `Gi` of 1024."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        size: float = float(match[1]) * (1024 if match[3] else 1000) ** _SIZE_POWER[match[2].lower()]
        if 0.5 < size < float("inf"):
            return round(size)
    raise ValueError(f"{value!r} is not a size; write it like 700M, 1.5GiB or a number of bytes")


def seconds(value: object) -> float:
    """`90`, `1:30`, `0:01:30.5`, `90s`, `1h30m` → seconds. Never negative."""
    result: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        result = float(value) if abs(value) < 1e18 else None  # an integer of any length may come from JSON
    elif isinstance(value, str):
        text = value.strip().lower()
        if match := _CLOCK.fullmatch(text):
            result = int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3])
        elif re.fullmatch(r"-?\d+(\.\d+)?", text):
            result = float(text)
        elif text and (match := _SPELT.fullmatch(text)):
            days, hours, minutes, rest = (float(part or 0) for part in match.groups())
            result = days * 86400 + hours * 3600 + minutes * 60 + rest
    if result is None or result != result or result == float("inf"):
        raise ValueError(f"{value!r} is not a time; write it like 90, 1:30, 0:01:30.5 or 1h30m")
    if result < 0:
        raise ValueError(f"{value!r} is negative; a time must be 0 or more seconds")
    return result


def frame_rate(value: object) -> Fraction:
    """`30`, `29.97`, `30000/1001` → frames per second, exact."""
    try:
        if isinstance(value, str):
            text = value.strip().lower().removesuffix("fps").strip()
            if not _RATE.fullmatch(text):
                raise ValueError
            rate = _NTSC.get(text) or Fraction(text)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            rate = _NTSC.get(f"{value:g}") or Fraction(str(value))
        else:
            raise ValueError
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{value!r} is not a frame rate; write it like 30, 29.97 or 30000/1001") from None
    if not 0 < rate <= 1000:
        raise ValueError(f"{value!r} is out of range; a frame rate is above 0 and at most 1000")
    return rate.limit_denominator(1001 * 1000)


def resolution(value: object) -> Resolution:
    """`1280x720`, `720p`, `720`, `4K` → a size. Both sides at most 16384 pixels (the limit of H.264 and HEVC levels)."""
    width: int | None = None
    height: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        height = value
    elif isinstance(value, str):
        text = value.strip().lower()
        if text in _NAMED_HEIGHTS:
            height = _NAMED_HEIGHTS[text]
        elif match := _DIMENSIONS.fullmatch(text):
            width, height = int(match[1]), int(match[2])
        elif match := _HEIGHT.fullmatch(text):
            height = int(match[1])
    if height is None:
        raise ValueError(f"{value!r} is not a resolution; write it like 1280x720, 720p or 720")
    if not 16 <= height <= 16384 or (width is not None and not 16 <= width <= 16384):
        raise ValueError(f"{value!r} is out of range; each side is 16 to 16384 pixels")
    return Resolution(width, height)


def human_bytes(size: float) -> str:
    """1536000 → `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def human_seconds(duration: float) -> str:
    """93.4 → `1:33`; 0.42 → `0.4s`; 7384 → `2:03:04`."""
    if duration < 10:
        return f"{duration:.1f}s"
    whole = round(duration)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
