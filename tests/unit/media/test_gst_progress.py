"""Lines as GStreamer 1.22 printed them."""

from ffrtmp.media.gst_progress import GstreamerProgress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def fed(parser: GstreamerProgress, clock: Clock, now: float, line: str):
    clock.now = now
    return parser.feed(line)


def test_frames_behind_the_encoder_are_what_counts():
    clock = Clock()
    parser = GstreamerProgress(250, 10.0, clock=clock)
    before = fed(parser, clock, 101.0, "frames-in-1 (00:00:01): 60 buffers")
    assert (before.frame, before.percent, before.fps, before.eta_seconds) == (0, 0.0, None, None)
    after = fed(parser, clock, 102.0, "frames-out-1 (00:00:02): 50 buffers")
    assert (after.frame, after.percent, after.fps, after.speed) == (50, 20.0, 25.0, 1.0)
    assert (after.out_seconds, after.eta_seconds, after.phase) == (2.0, 8.0, "encode")


def test_a_first_pass_has_nothing_behind_its_encoder():
    clock = Clock()
    parser = GstreamerProgress(100, 4.0, passes=2, clock=clock)
    first = fed(parser, clock, 102.0, "frames-in-1 (00:00:02): 50 buffers")
    assert (first.percent, first.phase, first.eta_seconds) == (25.0, "pass 1", 6.0)
    waiting = fed(parser, clock, 104.0, "frames-in-2 (00:00:00): 30 buffers")
    assert (waiting.percent, waiting.phase, waiting.frame) == (50.0, "pass 2", 0)
    second = fed(parser, clock, 105.0, "frames-out-2 (00:00:01): 20 buffers")
    assert (second.percent, second.fps, second.eta_seconds) == (60.0, 20.0, 4.0)


def test_all_frames_are_not_yet_a_hundred_percent():
    clock = Clock()
    parser = GstreamerProgress(50, 2.0, clock=clock)
    assert fed(parser, clock, 101.0, "frames-out-1 (00:00:01): 50 buffers").percent == 99.9


def test_what_cannot_be_counted_is_told_as_frames_only():
    clock = Clock()
    parser = GstreamerProgress(None, None, clock=clock)
    told = fed(parser, clock, 101.0, "frames-out-1 (00:00:01): 50 buffers")
    assert (told.frame, told.percent, told.eta_seconds, told.speed) == (50, None, None, None)


def test_other_lines_are_passed_over():
    parser = GstreamerProgress(50, 2.0)
    for line in (
        "",
        "frames-out-1 (00:00:03): Could not query position and/or duration",
        "progressreport0 (00:00:03): 3 buffers",
        "Redistribute latency...",
    ):
        assert parser.feed(line) is None
