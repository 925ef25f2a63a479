"""What of a stream is judged, and as what it fails."""

from typing import Any

import msgspec
import pytest

from ffrtmp.agent.stream_verdict import judge
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Pushed
from ffrtmp.domain.spec import Codec, Container, PixelFormat
from ffrtmp.media.verify import Expectation, Sound
from ffrtmp.transfer import amf, flv

EXPECTED = Expectation(
    codec=Codec.H264,
    container=Container.FLV,
    width=640,
    height=360,
    pixel_format=PixelFormat.YUV420P,
    frames=100,
    frames_tolerance=1,
    video_seconds=4.0,
    rate=25.0,
    sounds=[Sound(codec="aac")],
)
SETUP = [
    flv.Tag(flv.DATA, 0, amf.encode("onMetaData", {"width": 640.0, "height": 360.0})),
    flv.Tag(flv.VIDEO, 0, b"\x17\x00\0\0\0x"),
    flv.Tag(flv.AUDIO, 0, b"\xaf\x00\x11\x90"),
]
PUSHED = Pushed(target="rtmp://h/a/***", seconds=3.96, frames=100)


@pytest.mark.parametrize(
    ("changes", "setup", "made", "problem", "code"),
    [
        ({}, SETUP, 100, None, None),
        ({"frames": 60, "dropped_frames": 40, "reconnects": 2, "away_seconds": 1.6}, SETUP, 101, None, None),
        ({"behind_seconds": 0.15}, SETUP, 100, None, None),
        ({"behind_seconds": 1.0}, SETUP, 100, "0.80 times real time", Code.TOO_SLOW),
        ({"seconds": 3.0}, SETUP, 100, "it ended after 3.000 s, not 4.000 s", Code.OUTPUT_INVALID),
        ({}, SETUP, 90, "90 frames came out, not 100", Code.OUTPUT_INVALID),
        ({"frames": 0, "dropped_frames": 100}, SETUP, 100, "no frame was sent", Code.OUTPUT_INVALID),
        ({}, SETUP[:2], 100, "it has no sound", Code.OUTPUT_INVALID),
        ({}, [SETUP[0], SETUP[2]], 100, "it has no H.264 video", Code.OUTPUT_INVALID),
        ({}, [msgspec.structs.replace(SETUP[0], body=amf.encode("onMetaData", {"width": 64.0, "height": 36.0})),
              *SETUP[1:]], 100, "the picture size is 64x36, not 640x360", Code.OUTPUT_INVALID),
    ],
)  # fmt: skip
def test_what_was_sent_is_judged(
    changes: dict[str, Any], setup: list[flv.Tag], made: int, problem: str | None, code: Code | None
) -> None:
    verdict, found = judge(EXPECTED, setup, made, msgspec.structs.replace(PUSHED, **changes))
    assert verdict.passed is (problem is None)
    assert verdict.checks["read_back"].startswith("no")
    if problem is not None:
        assert any(problem in one for one in verdict.problems)
        assert found is code


def test_a_single_frame_is_not_slow() -> None:
    one = msgspec.structs.replace(EXPECTED, frames=1, video_seconds=0.04)
    verdict, _ = judge(one, SETUP, 1, msgspec.structs.replace(PUSHED, seconds=0.0, frames=1))
    assert verdict.problems == []
    assert verdict.checks["speed"] == 1.0
