"""The clock that FFmpeg makes of one that jumps: recordings that were joined, or whose transmitter started again.

FFmpeg takes a jump out of formats where it may happen (`ts_discontinuity_detect` in fftools/ffmpeg_demux.c), unless it is told
to copy times. The same rule here, so that an index and an encode agree. Microseconds, as there.
"""

from collections.abc import Hashable

_FAR = 10_000_000
_BACK = 100_000


class SteadyClock:
    def __init__(self) -> None:
        self.jumps = 0
        self._offset = 0
        self._last: int | None = None  # of any stream
        self._streams: dict[Hashable, tuple[int, int]] = {}  # the last packet's time, and where it ends

    def offset(self, stream: Hashable, dts: int, duration: int) -> int:
        """What to add to the times of this packet; `dts` is the file's own."""
        at = dts + self._offset
        before, expected = self._streams.get(stream, (at, self._last))
        if expected is not None:
            away = at - expected
            if abs(away) > _FAR or (stream in self._streams and at + _BACK < before):
                self._offset -= away
                self.jumps += 1
                at -= away
        self._streams[stream] = (at, at + duration)
        self._last = at
        return self._offset
