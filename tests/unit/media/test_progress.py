"""Literal lines of FFmpeg 5.1, 8.1 and 9.0."""

import pytest

from ffrtmp.domain.job import Progress
from ffrtmp.media.progress import FfmpegProgress, SignsOfLife

FIRST = """frame=0
fps=0.00
stream_0_0_q=0.0
bitrate=N/A
total_size=0
out_time_us=N/A
out_time_ms=N/A
out_time=N/A
dup_frames=0
drop_frames=0
speed=N/A
progress=continue
"""
MIDDLE = """frame=66
fps=32.50
stream_0_0_q=29.0
bitrate= 1570.3kbits/s
total_size=524336
out_time_us=2640000
out_time_ms=2640000
out_time=00:00:02.640000
dup_frames=0
drop_frames=3
speed=1.32x
progress=continue
"""
LAST = MIDDLE.replace("frame=66", "frame=132").replace("2640000", "5280000").replace("continue", "end")
AUDIO_ONLY = """bitrate= 128.5kbits/s
total_size=64000
out_time_us=4000000
out_time_ms=4000000
out_time=00:00:04.000000
dup_frames=0
drop_frames=0
speed=80.5x
progress=continue
"""
#: 5.1 says 0 where 9.0 says N/A, and a time before the start
OLD_FIRST = "frame=    0\nfps=0.0\nout_time_ms=-9223372036854775807\nspeed=   0x\nprogress=continue\n"


def feed(progress: FfmpegProgress, text: str):
    made = [progress.feed(line) for line in text.splitlines()]
    assert [one for one in made[:-1] if one is not None] == []
    return made[-1]


def test_before_the_first_packet_nothing_is_known():
    found = feed(FfmpegProgress(132, 5.28), FIRST)
    assert (found.percent, found.frame, found.out_seconds, found.speed, found.bitrate_bps) == (0.0, 0, None, None, None)


def test_all_fields_in_the_middle():
    found = feed(FfmpegProgress(132, 5.28), MIDDLE)
    assert found.percent == 50.0
    assert found.frame == 66
    assert found.fps == 32.5
    assert found.speed == 1.3  # 32.5 of 25 frames a second
    assert found.bitrate_bps == 1_570_300
    assert found.out_seconds == 2.64
    assert found.dropped_frames == 3
    assert found.eta_seconds == pytest.approx(66 / 32.5, abs=0.01)
    assert found.phase == "encode"


def test_sound_that_runs_ahead_does_not_count_as_speed():
    found = feed(
        FfmpegProgress(300, 10.0), MIDDLE.replace("fps=32.50", "fps=9.4").replace("speed=1.32x", "speed=0.58x")
    )
    assert (found.fps, found.speed) == (9.4, 0.313)
    assert found.eta_seconds == pytest.approx(234 / 9.4, abs=0.01)


def test_the_speed_of_ffmpeg_counts_where_the_frames_are_unknown():
    assert feed(FfmpegProgress(None, 5.28), MIDDLE.replace("1.32x", "1.5x")).speed == 1.5


@pytest.mark.parametrize("frames", [132, None])
def test_while_the_encoder_reads_ahead_there_is_neither_speed_nor_an_end(frames):
    ahead = MIDDLE.replace("frame=66", "frame=0").replace("fps=32.50", "fps=0.00").replace("1.32x", "4.24x")
    found = feed(FfmpegProgress(frames, 5.28), ahead)
    assert (found.percent, found.speed, found.eta_seconds, found.bitrate_bps) == (0.0, None, None, None)
    assert found.phase == "encode"


def test_the_end_is_not_said_here():
    progress = FfmpegProgress(132, 5.28)
    assert feed(progress, LAST).percent == 99.9


def test_more_frames_than_expected_stay_below_the_end():
    assert feed(FfmpegProgress(50, 2.0), LAST).percent == 99.9


def test_without_a_frame_count_time_is_used():
    assert feed(FfmpegProgress(None, 5.28), MIDDLE).percent == 50.0


def test_audio_only_has_no_frames():
    found = feed(FfmpegProgress(None, 8.0), AUDIO_ONLY)
    assert (found.percent, found.frame) == (50.0, None)
    assert found.eta_seconds == pytest.approx(4 / 80.5, abs=0.01)


def test_without_any_total_there_is_no_percentage():
    found = feed(FfmpegProgress(None, None), MIDDLE)
    assert (found.percent, found.eta_seconds, found.frame) == (None, None, 66)


def test_ffmpeg_5_before_its_first_packet():
    found = feed(FfmpegProgress(132, 5.28), OLD_FIRST)
    assert (found.percent, found.frame, found.out_seconds) == (0.0, 0, 0.0)


def test_two_passes_share_the_percentage():
    progress = FfmpegProgress(132, 5.28, passes=2)
    assert feed(progress, MIDDLE).percent == 25.0
    first = feed(progress, LAST)
    assert (first.percent, first.phase) == (50.0, "pass 1")
    second = feed(progress, MIDDLE)
    assert (second.percent, second.phase) == (75.0, "pass 2")
    assert feed(progress, LAST).percent == 99.9


def test_other_lines_are_passed_over():
    progress = FfmpegProgress(132, 5.28)
    assert progress.feed("") is None
    assert progress.feed("Press [q] to stop") is None
    assert feed(progress, MIDDLE).frame == 66


def test_before_the_first_packet_every_report_is_a_sign_of_life_for_a_while():
    signs = SignsOfLife(10.0)
    none, first, second = Progress(), Progress(frame=1, out_seconds=0.04), Progress(frame=2, out_seconds=0.08)
    assert [signs.shows(none, now) for now in (0.0, 50.0, 99.0)] == [True] * 3
    assert not signs.shows(none, 101.0)
    assert [signs.shows(one, 102.0) for one in (first, first, second, second)] == [True, False, True, False]
