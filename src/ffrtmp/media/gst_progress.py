"""GStreamer's `progressreport` lines as Progress. Written against literal lines of 1.22.

    frames-out-1 (00:00:03): 71 buffers

Each element reports at most once a second and only while frames pass it; the one before the encoder tells that it works while
nothing has come out yet.
"""

import re
import time
from collections.abc import Callable

from ffrtmp.domain.job import Progress
from ffrtmp.media.gstreamer import REPORT_IN, REPORT_OUT
from ffrtmp.media.progress import ALMOST

_LINE = re.compile(rf"^({REPORT_IN}|{REPORT_OUT})-([12]) \(\s*\d+:\s*\d+:\s*\d+\): (\d+) buffers$")


class GstreamerProgress:
    """Feed it each line of stdout. One instance for all passes of an attempt."""

    def __init__(
        self,
        total_frames: int | None,
        total_seconds: float | None,
        passes: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total_frames = total_frames
        self._total_seconds = total_seconds
        self._passes = passes
        self._clock = clock
        self._pass = 0
        self._began = clock()
        self._frame = 0

    def feed(self, line: str) -> Progress | None:
        """A Progress for each report, else None."""
        match = _LINE.match(line.strip())
        if match is None:
            return None
        which = int(match[2]) - 1
        if which > self._pass:
            self._pass, self._frame, self._began = which, 0, self._clock()
        # a first pass has nothing behind its encoder
        if match[1] == REPORT_OUT or which < self._passes - 1:
            self._frame = int(match[3])
        return self._told()

    def _told(self) -> Progress:
        frame, total, passed = self._frame, self._total_frames, self._clock() - self._began
        fps = round(frame / passed, 2) if frame and passed > 0 else None
        done = None if not total else min(frame / total, 1.0)
        per_frame = None if not total or not self._total_seconds else self._total_seconds / total
        left = None if done is None else (1.0 - done) + (self._passes - 1 - self._pass)
        return Progress(
            percent=None if done is None else min(round(100 * (self._pass + done) / self._passes, 2), ALMOST),
            frame=frame,
            fps=fps,
            speed=round(fps * per_frame, 3) if fps and per_frame else None,
            out_seconds=round(frame * per_frame, 3) if per_frame else None,
            eta_seconds=round(left * total / fps, 2) if fps and total and left is not None else None,
            phase=f"pass {self._pass + 1}" if self._passes > 1 else "encode",
        )
