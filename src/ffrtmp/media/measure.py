"""What is kept while a stream goes by: a few numbers, however long the file is."""

from fractions import Fraction


class Grid:
    """Whether all times lie on a constant rate, within one tick of the container's clock. Whole numbers only: it is asked of
    each packet of a file."""

    def __init__(self, rate: Fraction, time_base: Fraction) -> None:
        self.rate = rate
        interval = 1 / (rate * time_base)  # ticks per frame
        self._numerator, self._denominator = interval.numerator, interval.denominator
        self._origin: int | None = None
        self._holds = True

    def add(self, pts: int) -> None:
        if not self._holds:
            return
        if self._origin is None:
            self._origin = pts
        distance = (pts - self._origin) * self._denominator
        off = distance % self._numerator
        self._holds = min(off, self._numerator - off) <= self._denominator

    def constant(self, first: int, last: int, frames: int) -> bool:
        """True when no frame between the first and the last one is missing or doubled either."""
        distance = (last - first) * self._denominator
        return self._holds and (2 * distance + self._numerator) // (2 * self._numerator) == frames - 1


class Window:
    """Counts the frames whose time lies in [start, end), and finds the keyframe to start decoding from. In ticks."""

    def __init__(self, start: int, end: int | None) -> None:
        self._start = start
        self._end = end
        self.frames = 0
        self.first: int | None = None
        self.last: int | None = None
        self.last_duration = 0
        self.keyframe: int | None = None  # the last one that is not after the start

    def add(self, pts: int, duration: int, keyframe: bool) -> None:
        if keyframe and pts <= self._start:
            self.keyframe = pts if self.keyframe is None else max(self.keyframe, pts)
        if pts < self._start or (self._end is not None and pts >= self._end):
            return
        self.frames += 1
        if self.first is None or pts < self.first:
            self.first = pts
        if self.last is None or pts > self.last:
            self.last, self.last_duration = pts, duration


class Marks:
    """Times, thinned out evenly where there are many."""

    MOST = 4096

    def __init__(self) -> None:
        self.times: list[int] = []
        self._every = 1
        self._count = 0

    def add(self, pts: int) -> None:
        if self._count % self._every == 0:
            if len(self.times) == self.MOST:
                del self.times[1::2]
                self._every *= 2
            self.times.append(pts)
        self._count += 1


class Order:
    """Counts the decoded frames whose time is not after that of the frame before."""

    def __init__(self) -> None:
        self.broken = 0
        self._previous: int | None = None

    def begin(self) -> None:
        """What comes now is of another place of the file."""
        self._previous = None

    def add(self, pts: int | None) -> None:
        if pts is None:
            return
        self.broken += self._previous is not None and pts <= self._previous
        self._previous = pts


class Track:
    """One stream's frames or packets: count, first and last time."""

    def __init__(self, grids: list[Grid], window: Window | None = None) -> None:
        self.count = 0
        self.untimed = 0
        self.keyframes = 0
        self.keyframe_marks = Marks()
        self.first: int | None = None
        self.last: int | None = None
        self.last_duration = 0
        self.out_of_order = False
        self.doubled = 0
        self.window_closed = False  #: nothing that comes now lies in it
        self._previous: int | None = None
        self._grids = grids
        self.window = window

    def add(self, pts: int | None, duration: int, keyframe: bool, shift: int = 0) -> None:
        """`shift` makes the times of a clock that jumped steady; the window is of the file's own."""
        self.count += 1
        self.keyframes += keyframe
        if pts is None:
            self.untimed += 1
            return
        if self.window is not None and not self.window_closed:
            self.window.add(pts, duration, keyframe)
        pts += shift
        if self.first is None or pts < self.first:
            self.first = pts
        if self.last is None or pts > self.last:
            self.last, self.last_duration = pts, duration
        if self._previous is not None:
            self.out_of_order |= pts < self._previous
            self.doubled += pts == self._previous
        self._previous = pts
        if keyframe:
            self.keyframe_marks.add(pts)
        for grid in self._grids:
            grid.add(pts)

    def constant_rate(self) -> Fraction | None:
        """The rate that all times follow, if there is one."""
        if self.untimed or self.first is None or self.last is None or self.count < 2:
            return None
        for grid in self._grids:
            if grid.constant(self.first, self.last, self.count):
                return grid.rate
        return None
