"""Logs as FFmpeg 9.0 printed them."""

import pytest

from ffrtmp.domain.errors import Code
from ffrtmp.media import failures

NO_CUDA = """[h264_nvenc @ 0x5581] Cannot load libcuda.so.1
[vost#0:0/h264_nvenc @ 0x5582] [enc:h264_nvenc @ 0x5583] Error while opening encoder - maybe incorrect parameters such as …
[vf#0:0 @ 0x5584] Error sending frames to consumers: Operation not permitted
[vf#0:0 @ 0x5584] Task finished with error code: -1 (Operation not permitted)
"""
BAD_PROFILE = """x264 [error]: baseline profile doesn't support 4:2:2
[libx264 @ 0x55] Error setting profile baseline.
[vf#0:0 @ 0x5584] Task finished with error code: -22 (Invalid argument)
"""
#: GStreamer 1.22
GST_MISSING = """ERROR: from element /GstPipeline:pipeline0/GstFileSrc:filesrc0: Resource not found.
Additional debug info:
../plugins/elements/gstfilesrc.c(553): gst_file_src_start (): /GstPipeline:pipeline0/GstFileSrc:filesrc0:
No such file "source"
ERROR: pipeline doesn't want to preroll.
ERROR: from element /GstPipeline:pipeline0/GstFileSrc:filesrc0: some element failed to post a proper error message …
Additional debug info:
../libs/gst/base/gstbasesrc.c(3561): gst_base_src_start (): /GstPipeline:pipeline0/GstFileSrc:filesrc0:
Failed to start
Failed to set pipeline to PAUSED.
"""
GST_TEXT = """ERROR: from element /GstPipeline:pipeline0/GstQTDemux:in: This file is invalid and cannot be played.
Additional debug info:
../gst/isomp4/qtdemux.c(555): gst_qtdemux_pull_atom (): /GstPipeline:pipeline0/GstQTDemux:in:
atom has bogus size 591747156
ERROR: pipeline doesn't want to preroll.
"""
GST_FULL = """ERROR: from element /GstPipeline:pipeline0/GstFileSink:filesink0: No space left on the resource.
Additional debug info:
../plugins/elements/gstelements_private.c(338): gst_writev_iovecs (): /GstPipeline:pipeline0/GstFileSink:filesink0
"""


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        ("av_interleaved_write_frame(): No space left on device", Code.DISK_FULL, "No space left"),
        ("[aost] Error submitting a packet to the muxer: Disk quota exceeded", Code.DISK_FULL, "quota"),
        (NO_CUDA, Code.ENCODER_UNAVAILABLE, "Cannot load libcuda.so.1"),
        ("[vost#0:0 @ 0x55] Unknown encoder 'libx266'", Code.ENCODER_UNAVAILABLE, "libx266"),
        ("[mov,mp4 @ 0x55] moov atom not found", Code.INPUT_TRUNCATED, "moov"),
        (
            "[in#0 @ 0x55] Error opening input: Invalid data found when processing input",
            Code.INPUT_INVALID,
            "Error opening input",
        ),
        (BAD_PROFILE, Code.ENGINE_FAILED, "baseline profile doesn't support 4:2:2"),
        (GST_MISSING, Code.INPUT_MISSING, 'No such file "source"'),
        (GST_TEXT, Code.INPUT_INVALID, "This file is invalid"),
        ('WARNING: erroneous pipeline: no element "x265enc"', Code.ENCODER_UNAVAILABLE, "x265enc"),
        (GST_FULL, Code.DISK_FULL, "No space left on the resource"),
        ("", Code.ENGINE_FAILED, "ffmpeg ended with exit code 1"),
    ],
)
def test_the_cause_is_read_from_the_log(log, code, words):
    failure = failures.from_exit(1, None, log)
    assert failure.code is code
    assert words in failure.message
    assert "Task finished" not in failure.message
    assert "preroll" not in failure.message


def outcome(ended: str, **parts):
    told = {"exit_code": None, "signal": 15, "log": "", "wall_seconds": 12.3, **parts}
    return failures.from_outcome(ended, **told)


def test_success_is_no_failure():
    assert outcome("exited", exit_code=0, signal=None) is None


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ("timed_out", Code.TIMED_OUT),
        ("stalled", Code.STALLED),
        ("disk_limit", Code.DISK_LIMIT),
        ("disk_full", Code.DISK_FULL),
        ("memory_limit", Code.MEMORY_LIMIT),
        ("stopped", Code.CANCELED),
    ],
)
def test_what_we_ended_is_told_with_the_reason(ended, code):
    failure = outcome(ended)
    assert failure.code is code
    assert "after 12.3 s" in failure.message


def test_the_memory_limit_is_told_with_what_was_used():
    failure = outcome("memory_limit", memory_limit_bytes=256 << 20, peak_memory_bytes=250 << 20)
    assert (
        "needs more memory than the job's 256 MiB (resident at last, its program included: 250 MiB)" in failure.message
    )


def test_an_engine_that_said_its_error_and_stayed_has_that_errors_code():
    failure = outcome("failed", log=GST_TEXT)
    assert failure.code is Code.INPUT_INVALID
    assert "failed and was ended after 12.3 s: " in failure.message


@pytest.mark.parametrize(
    "line",
    [
        "[libx264 @ 0x55d] malloc of size 4194304 failed",
        "Error while opening encoder: Cannot allocate memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
    ],
)
def test_an_engine_that_is_refused_memory_within_a_limit(line):
    limited = outcome("exited", exit_code=1, signal=None, log=line, memory_limit_bytes=64 << 20)
    assert limited.code is Code.MEMORY_LIMIT
    free = outcome("exited", exit_code=1, signal=None, log=line)
    assert free.code is Code.ENGINE_FAILED


def test_a_crash_names_the_signal_and_the_last_lines():
    failure = outcome("exited", signal=11, log="one\ntwo\nthree\nfour\nfive\n")
    assert failure.code is Code.ENGINE_CRASHED
    assert failure.message == "ffmpeg was killed by signal 11: two / three / four / five"
