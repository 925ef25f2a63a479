"""FFmpeg's `-progress` lines as Progress. Written against literal lines of FFmpeg 5.1, 8.1 and 9.0.

`out_time_ms` is in *microseconds* (like `out_time_us`); values are `N/A` until the first packet; audio-only jobs have no `frame`;
`progress=end` also comes after a cancel, so 100 % is never said here: that is for the verifier.
"""

import math
from typing import Protocol

from ffrtmp.domain.job import Progress

#: what is shown while the end is not verified
ALMOST = 99.9


#: an encoder with a long look-ahead, at a slow preset and a large size, works for minutes before its first packet
_FIRST_PACKET_SHARE = 10.0


class Reader(Protocol):
    """What reads an engine's reports."""

    def feed(self, line: str) -> Progress | None: ...


class SignsOfLife:
    """What counts as progress. FFmpeg reports twice a second even when it stands still: only an advance counts, but before
    anything came out every report does, for ten times the stall limit."""

    def __init__(self, stall_seconds: float | None) -> None:
        self._patience = math.inf if stall_seconds is None else _FIRST_PACKET_SHARE * stall_seconds
        self._seen: tuple[int | None, float | None] = (None, None)
        self._began: float | None = None

    def shows(self, progress: Progress, now: float) -> bool:
        """`now`: seconds of a clock that only goes forward."""
        if self._began is None:
            self._began = now
        at = (progress.frame, progress.out_seconds)
        advanced, self._seen = at != self._seen, at
        waiting = not progress.frame and not progress.out_seconds
        return advanced or (waiting and now - self._began < self._patience)


class FfmpegProgress:
    """Feed it each line of stdout. One instance for all passes of an attempt: `progress=end` starts the next one."""

    def __init__(
        self, total_frames: int | None, total_seconds: float | None, passes: int = 1, phase: str = "encode"
    ) -> None:
        self._total_frames = total_frames
        self._total_seconds = total_seconds
        self._passes = passes
        self._phase = phase
        self._pass = 0
        self._block: dict[str, str] = {}

    def feed(self, line: str) -> Progress | None:
        """A Progress at the end of each block of lines, else None. Lines that are not `key=value` are passed over."""
        name, separator, value = line.strip().partition("=")
        if not separator:
            return None
        self._block[name.strip()] = value.strip()
        if name != "progress":
            return None
        block, self._block = self._block, {}
        progress = self._read(block)
        if value.strip() == "end":
            self._pass = min(self._pass + 1, self._passes - 1)
        return progress

    def _read(self, block: dict[str, str]) -> Progress:
        frame = _whole(block.get("frame"))
        fps = _real(block.get("fps"))
        # an encoder that still reads ahead has sound out, and with it a speed and a bitrate that say nothing of the picture
        reading_ahead = frame == 0
        speed = None if reading_ahead else self._speed(fps, _real(block.get("speed", "").removesuffix("x")))
        micros = _whole(block.get("out_time_us") or block.get("out_time_ms"))
        out_seconds = None if micros is None else max(micros, 0) / 1_000_000
        done = self._done(frame, out_seconds)
        return Progress(
            percent=None if done is None else min(round(100 * (self._pass + done) / self._passes, 2), ALMOST),
            frame=frame,
            fps=fps,
            speed=speed,
            bitrate_bps=None if reading_ahead else _bitrate(block.get("bitrate")),
            out_seconds=out_seconds,
            eta_seconds=None if reading_ahead else self._eta(done, fps, speed),
            dropped_frames=_whole(block.get("drop_frames")),
            phase=f"pass {self._pass + 1}" if self._passes > 1 else self._phase,
        )

    def _done(self, frame: int | None, out_seconds: float | None) -> float | None:
        """The part of this pass that is done, 0 to 1. Frames first: `out_time` may run ahead or end short."""
        if frame is not None and self._total_frames:
            return min(frame / self._total_frames, 1.0)
        if frame == 0 and self._total_seconds:
            return 0.0
        if out_seconds is not None and self._total_seconds:
            return min(out_seconds / self._total_seconds, 1.0)
        return None

    def _speed(self, fps: float | None, said: float | None) -> float | None:
        """Times real time. FFmpeg's own value follows the stream that is furthest, often the sound: it is taken only where the
        frames are not known."""
        if fps is None or not self._total_frames or not self._total_seconds:
            return said
        return round(fps * self._total_seconds / self._total_frames, 3) or None

    def _eta(self, done: float | None, fps: float | None, speed: float | None) -> float | None:
        """Seconds to the end at this pace; a later pass is taken to be as fast as this one."""
        if done is None:
            return None
        left = (1.0 - done) + (self._passes - 1 - self._pass)
        if fps and self._total_frames:
            return round(left * self._total_frames / fps, 2)
        if speed and self._total_seconds:
            return round(left * self._total_seconds / speed, 2)
        return None


def _real(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _whole(text: str | None) -> int | None:
    value = _real(text)
    return None if value is None else int(value)


def _bitrate(text: str | None) -> int | None:
    """`1570.3kbits/s` → 1570300. FFmpeg always writes kbits."""
    value = _real((text or "").removesuffix("kbits/s"))
    return None if value is None else round(value * 1000)
