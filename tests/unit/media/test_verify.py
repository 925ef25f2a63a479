"""The verdict, from two inspections that are data."""

import pytest
from tests.unit.media.command_lines import SOUND, SOURCE, VIDEO, changed, spec

from ffrtmp.domain.spec import Audio, AudioCodec, Codec, Input, InputKind
from ffrtmp.domain.units import Resolution
from ffrtmp.media import verify
from ffrtmp.media.inspection import Colour, Inspection, Window

MADE = changed(SOURCE, decoded=True, seconds=0.2)


def verdict(found: Inspection, source: Inspection | None = SOURCE, **parts):
    made = spec(**parts)
    return verify.judge(verify.expect(made, source), made, found)


def test_a_faithful_output_passes_and_what_was_found_is_told():
    told = verdict(MADE)
    assert told.passed
    assert told.problems == []
    assert told.level == "standard"
    assert told.seconds == 0.2
    assert (told.checks["frames"], told.checks["frames_expected"]) == (132, 132)
    assert (told.checks["codec"], told.checks["size"]) == (Codec.H264, "1280x720")
    assert told.checks["audio_offset_seconds"] == 0.0


def video(**changes) -> Inspection:
    return changed(MADE, video=[changed(VIDEO, **changes)])


def audio(**changes) -> Inspection:
    return changed(MADE, audio=[changed(SOUND, **changes)])


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (changed(MADE, decoded=False), "the output was not decoded"),
        (changed(MADE, problems=["video: a frame is damaged"]), "decoding: video: a frame is damaged"),
        (changed(MADE, container="matroska,webm"), "the container is matroska,webm, not mp4"),
        (changed(MADE, video=[]), "the number of video streams is 0, not 1"),
        (changed(MADE, video=[VIDEO, VIDEO]), "the number of video streams is 2, not 1"),
        (video(codec="hevc"), "the video codec is h265, not h264"),
        (video(width=640), "the picture size is 640x720, not 1280x720"),
        (video(pixel_format="yuv444p"), "the pixel format is yuv444p, not yuv420p"),
        (video(frames=131), "131 frames came out, not 132: 1 are missing"),
        (video(frames=133), "133 frames came out, not 132: 1 too many"),
        (video(frames=0), "no frame can be decoded"),
        (video(last_pts=4.24), "the video's duration is 4.280 s, not 5.280 s (± 0.050)"),
        (video(first_pts=None), "the video's duration is unknown, not 5.280 s (± 0.050)"),
        (changed(MADE, audio=[]), "the number of audio streams is 0, not 1"),
        (audio(codec="opus"), "the audio codec is opus, not aac"),
        (audio(end_pts=3.0), "the audio's duration is 3.000 s, not 5.312 s (± 0.250)"),
        (
            audio(first_pts=0.2, end_pts=5.512),
            "the sound's start after the picture's is 0.200 s, not 0.000 s (± 0.100)",
        ),
    ],
)
def test_what_is_wrong_is_told(found, problem):
    told = verdict(found)
    assert not told.passed
    assert problem in told.problems


def test_full_range_pictures_have_another_name_in_libav():
    assert verdict(video(pixel_format="yuvj420p")).passed


def test_a_cut_is_expected_to_have_the_frames_of_its_window():
    window = Window(
        start=2.0,
        duration=1.5,
        frames=38,
        first_pts=2.0,
        last_pts=3.48,
        last_duration=0.04,
        keyframe_pts=2.0,
    )
    source = changed(SOURCE, window=window, audio=[changed(SOUND, window=(2.0, 3.5))])
    good = changed(
        MADE,
        video=[changed(VIDEO, frames=38, last_pts=1.48)],
        audio=[changed(SOUND, end_pts=1.52)],
    )
    assert verdict(good, source, start=2.0, duration=1.5).passed
    late = changed(good, video=[changed(VIDEO, frames=37, last_pts=1.44)])
    assert "37 frames came out, not 38: 1 are missing" in verdict(late, source, start=2.0, duration=1.5).problems


@pytest.mark.parametrize(("frames", "passed"), [(156, False), (157, True), (158, True), (159, True), (160, False)])
def test_a_converted_rate_may_differ_by_one_frame(frames, passed):
    found = video(frames=frames, last_pts=(frames - 1) / 30, last_duration=1 / 30, rate="30")
    told = verdict(found, fps="30")
    assert told.checks["frames_expected"] == 158  # 5.28 s at 30 fps
    assert told.passed is passed


@pytest.mark.parametrize("wrong", [{"constant_rate": False}, {"rate": "24"}])
def test_frames_that_do_not_come_at_a_steady_rate(wrong):
    told = verdict(video(**wrong))
    assert told.problems == ["the frames do not come at a steady 25 per second"]
    loose = changed(SOURCE, video=[changed(VIDEO, constant_rate=False)])
    assert verdict(video(**wrong), loose).passed


def test_one_side_of_the_size_keeps_the_aspect():
    labelled = Colour(primaries="bt709", transfer="bt709", matrix="bt709")
    assert verdict(video(width=640, height=360, colour=labelled), resolution=Resolution(None, 360)).passed


def test_a_turned_picture_is_expected_turned():
    source = changed(SOURCE, video=[changed(VIDEO, rotation=90)])
    assert verdict(video(width=720, height=1280), source).passed
    assert not verdict(MADE, source).passed


def test_a_generated_input_has_the_frames_that_were_asked():
    parts = {"input": Input(kind=InputKind.GENERATE), "duration": 2.0, "audio": Audio(codec=AudioCodec.NONE)}
    good = changed(MADE, video=[changed(VIDEO, frames=60, last_pts=59 / 30, last_duration=1 / 30)], audio=[])
    assert verdict(good, None, **parts).passed
    short = changed(good, video=[changed(VIDEO, frames=30, last_pts=29 / 30, last_duration=1 / 30)])
    assert not verdict(short, None, **parts).passed


def test_without_times_in_the_input_frames_are_still_counted():
    source = changed(SOURCE, video=[changed(VIDEO, first_pts=None, last_pts=None)], audio=[])
    found = changed(MADE, audio=[])
    assert verdict(found, source).passed
    assert not verdict(changed(found, video=[changed(VIDEO, frames=5)]), source).passed
