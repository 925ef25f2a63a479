"""Scenarios: the reference's preset names, `<height>p<fps>-<codec>` or `4K<fps>-<codec>`, with an optional `live-` before.

`720p30-h264`, `1080p-h265`, `4K60-av1`, `live-4k`. A part that is left out says nothing about it.
"""

import difflib
import functools
import re
from fractions import Fraction

import msgspec

from ffrtmp.domain import codecs, errors
from ffrtmp.domain.spec import Codec, Preset
from ffrtmp.domain.units import Resolution

_PATTERN = re.compile(r"(live-)?(?:(\d{3,4})p|(4k))(\d{2,3})?(?:-(\w+))?", re.IGNORECASE)
_HEIGHTS = (144, 240, 360, 480, 540, 576, 720, 1080, 1440, 2160)
_RATES = (24, 25, 30, 48, 50, 60, 120)
_CODECS = {**{codec.value: codec for codec in Codec}, "hevc": Codec.H265}

#: what `live-` says, and a stream to a server: a viewer who joins waits for a key frame
LIVE_PRESET, LIVE_GOP_SECONDS = Preset.VERYFAST, 2.0
#: no pictures are held back for it
LIVE_TUNE = "zerolatency"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario's name says."""

    resolution: Resolution
    fps: Fraction | None
    codec: Codec
    live: bool


@functools.cache
def known() -> tuple[str, ...]:
    """Every name, in the spelling that messages offer."""
    sizes = [f"{height}p" for height in _HEIGHTS] + ["4K"]
    return tuple(
        f"{live}{size}{rate}{codec}"
        for live in ("", "live-")
        for size in sizes
        for rate in ("", *_RATES)
        for codec in ("", *(f"-{name}" for name in _CODECS))
    )


@functools.cache
def parse(name: str, presets: tuple[str, ...] = ()) -> Scenario:
    """Raises InvalidInput that names the nearest known scenarios, `presets` among them."""
    if found := _understood(name):
        return found
    # compared without case, offered in the usual spelling
    spellings = {spelling.lower(): spelling for spelling in (*presets, *known())}
    near = difflib.get_close_matches(name.strip().lower()[:40], spellings, n=3, cutoff=0.5) or ["720p30-h264"]
    offer = ", ".join(spellings[match] for match in near)
    raise errors.InvalidInput(
        faults=[errors.Fault("scenario", f"{name!r} is not known; the nearest are {offer}", "unknown_scenario")]
    )


def matches(name: str) -> bool:
    """Whether the name says all by itself."""
    return _understood(name) is not None


def text(name: str) -> str | None:
    """The file of a preset that says the same as this scenario; None: the name is none."""
    found = _understood(name)
    if found is None:
        return None
    of = f"{found.resolution.height}p" + (f" at {found.fps} frames a second" if found.fps else "")
    lines = [
        f'description = "{of}, {found.codec}{", for a live stream" if found.live else ""}: what the name of the scenario says."',
        "",
        "[parameters]",
        f'codec = "{found.codec}"',
        f'resolution = "{found.resolution.height}p"',
    ]
    if found.fps:
        lines.append(f"fps = {found.fps}")
    if found.live:
        lines += [f'preset = "{LIVE_PRESET}"', f"gop_seconds = {LIVE_GOP_SECONDS:g}"]
        lines += [f'tune = "{LIVE_TUNE}"'] if LIVE_TUNE in codecs.RULES[found.codec].tunes else []
    return "\n".join(lines) + "\n"


def _understood(name: str) -> Scenario | None:
    match = _PATTERN.fullmatch(name.strip())
    if match:
        live, height, _, rate, codec = match.groups()
        size = int(height) if height else 2160
        if size in _HEIGHTS and (rate is None or int(rate) in _RATES) and (codec is None or codec.lower() in _CODECS):
            return Scenario(
                resolution=Resolution(None, size),
                fps=Fraction(int(rate)) if rate else None,
                codec=_CODECS[codec.lower()] if codec else Codec.H264,
                live=bool(live),
            )
    return None
