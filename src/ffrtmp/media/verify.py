"""Is this output what the spec makes of that input? Pure: both inspections are data. Level `standard`.

The expectation comes from the input's index and the same plans that made the command. Success is never taken from an exit code.
"""

from fractions import Fraction
from typing import Any

import msgspec

from ffrtmp.domain.job import Verdict
from ffrtmp.domain.spec import Codec, Container, InputKind, PixelFormat, Spec
from ffrtmp.media import audio, codecs, picture, timing
from ffrtmp.media.inspection import CODECS, AudioStream, Inspection, VideoStream

#: containers with millisecond clocks round each end of an interval, and a muxer may guess the last frame's duration
_LEAST_TOLERANCE_SECONDS = 0.05
#: an encoder pads the last frame and may keep its delay: 2048 samples of AAC at 44.1 kHz are 46 ms
_AUDIO_TOLERANCE_SECONDS = 0.15
#: WMA's decoders give nothing for the first frame of up to 4096 samples
_SWALLOWED_SECONDS = 0.093
#: of one packet: what an encoder's delay is counted in where the sample rate is low and the container cannot hide it
_AAC_SAMPLES = 1024
#: copied sound ends with a whole packet, and begins with one
_COPIED_TOLERANCE_SECONDS = 0.25
#: a player shows more than this as sound out of step (ITU-R BT.1359: 45 ms early is detectable)
_OFFSET_TOLERANCE_SECONDS = 0.06


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What must come out. None: cannot be known without decoding the input."""

    codec: Codec
    container: Container
    width: int
    height: int
    pixel_format: PixelFormat
    frames: int | None
    frames_tolerance: int
    video_seconds: float | None
    rate: float | None  #: frames per second, about
    steady: str | None = None  #: the exact rate, a fraction, when there is one frame on each of its ticks
    audio_codec: str | None  #: libav's name; None: no audio
    audio_copied: bool = False
    audio_channels: int | None = None
    audio_seconds: float | None = None
    audio_lost: float = 0.0  #: what the input's decoder may swallow at its start, in seconds
    audio_offset: float | None = None  #: how much later than the picture the sound begins, in seconds


def expect(spec: Spec, source: Inspection | None) -> Expectation:
    """Raises TaskError when this input cannot become that output: no_video_stream, no_audio_stream, input_invalid, …

    Ask before the encode: `frames` and `video_seconds` are also what progress is measured against.
    """
    generated = spec.input.kind is InputKind.GENERATE or source is None
    planned = timing.plan(spec, source)
    video = None if generated or source is None else source.main_video
    heard = None if generated or source is None else source.main_audio
    shown = picture.plan(spec, video)
    sound = audio.plan(spec, None if generated else source)
    seconds, offset = (planned.video_seconds, 0.0) if generated else _sound(planned, source, video, heard)
    return Expectation(
        codec=spec.codec,
        container=spec.container,
        width=shown.width,
        height=shown.height,
        pixel_format=shown.pixel_format,
        frames=planned.frames,
        frames_tolerance=planned.frames_tolerance,
        video_seconds=planned.video_seconds,
        rate=float(planned.rate) if planned.rate else None,
        steady=str(planned.rate) if planned.steady and planned.rate else None,
        audio_codec=sound.codec,
        audio_copied=sound.copied,
        audio_channels=sound.channels,
        audio_seconds=seconds if sound.codec else None,
        audio_lost=_SWALLOWED_SECONDS if heard and heard.codec.startswith("wma") and not sound.copied else 0.0,
        audio_offset=offset if sound.codec else None,
    )


def _sound(
    planned: timing.Timing, source: Inspection | None, video: VideoStream | None, heard: AudioStream | None
) -> tuple[float | None, float | None]:
    """How long the taken part of the sound is, and how much later than the picture it begins."""
    if source is None or video is None or heard is None or heard.first_pts is None or heard.end_pts is None:
        return None, None
    begin, end = planned.interval
    first = max(heard.first_pts, begin)
    last = heard.end_pts if end is None else min(heard.end_pts, end)
    window = source.window
    if window is not None and window.sound_first is not None and window.sound_end is not None:
        first, last = window.sound_first, window.sound_end  # the sound may have a hole where the part begins or ends
    seen = planned.picture_start
    return max(last - first, 0.0), None if seen is None else first - seen


class _Checks:
    """Collects what was found beside what was expected, and what does not agree."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.problems: list[str] = []

    def same(self, name: str, found: object, expected: object, what: str) -> None:
        self.found[name] = found
        self.found[f"{name}_expected"] = expected
        if found != expected:
            self.problems.append(f"{what} is {found}, not {expected}")

    def near(self, name: str, found: float | None, expected: float | None, tolerance: float, what: str) -> None:
        """`expected` None: recorded only."""
        self.found[name] = None if found is None else round(found, 4)
        if expected is None:
            return
        self.found[f"{name}_expected"] = round(expected, 4)
        if found is None or abs(found - expected) > tolerance:
            shown = "unknown" if found is None else f"{found:.3f} s"
            self.problems.append(f"{what} is {shown}, not {expected:.3f} s (± {tolerance:.3f})")


def judge(expectation: Expectation, spec: Spec, found: Inspection) -> Verdict:
    """`found` is the output's inspection, made with `decode` and with `rate` as it is expected to be steady."""
    checks = _Checks()
    checks.problems += [f"decoding: {problem}" for problem in found.problems]
    if not found.decoded:
        checks.problems.append("the output was not decoded")
    demuxer = codecs.DEMUXERS[expectation.container]
    kind = expectation.container if demuxer in found.container.split(",") else found.container
    checks.same("container", kind, expectation.container, "the container")
    video = found.main_video
    checks.same("video_streams", len(found.video), 1, "the number of video streams")
    if video is not None:
        _picture(checks, expectation, video)
    _audio(checks, expectation, found, video)
    return Verdict(
        level=spec.verify.value,
        passed=not checks.problems,
        checks=checks.found,
        problems=checks.problems,
        seconds=found.seconds,
    )


def _picture(checks: _Checks, expected: Expectation, video: VideoStream) -> None:
    checks.same("codec", CODECS.get(video.codec, video.codec), expected.codec, "the video codec")
    checks.same("size", _size(*video.display_size), _size(expected.width, expected.height), "the picture size")
    # full-range 4:2:0 has a name of its own in libav
    checks.same(
        "pixel_format", video.pixel_format.replace("yuvj", "yuv"), expected.pixel_format.value, "the pixel format"
    )
    checks.found["frames"] = video.frames
    checks.found["frames_expected"] = expected.frames
    if video.frames == 0:
        checks.problems.append("no frame can be decoded")
    elif expected.frames is not None and abs(video.frames - expected.frames) > expected.frames_tolerance:
        missing = expected.frames - video.frames
        wrong = f"{missing} are missing" if missing > 0 else f"{-missing} too many"
        checks.problems.append(f"{video.frames} frames came out, not {expected.frames}: {wrong}")
    frame = 1 / expected.rate if expected.rate else 0.0
    if expected.steady is not None and video.frames > 1:
        checks.found["rate"] = video.rate
        checks.found["rate_expected"] = expected.steady
        if not video.constant_rate or video.frame_rate != Fraction(expected.steady):
            checks.problems.append(
                f"the frames do not come at a steady {float(Fraction(expected.steady)):.5g} per second"
            )
    checks.near(
        "video_seconds",
        video.duration_seconds,
        expected.video_seconds,
        max(frame * (1 + expected.frames_tolerance), _LEAST_TOLERANCE_SECONDS),
        "the video's duration",
    )


def _size(width: int, height: int) -> str:
    return f"{width}x{height}"


def _audio(checks: _Checks, expected: Expectation, found: Inspection, video: VideoStream | None) -> None:
    checks.same("audio_streams", len(found.audio), 1 if expected.audio_codec else 0, "the number of audio streams")
    heard = found.main_audio
    if heard is None or expected.audio_codec is None:
        return
    checks.same("audio_codec", heard.codec, expected.audio_codec, "the audio codec")
    if expected.audio_channels is not None and not expected.audio_copied:
        checks.same("audio_channels", heard.channels, expected.audio_channels, "the number of audio channels")
    packet = 0.0
    if not expected.audio_copied and heard.codec == "aac" and heard.sample_rate:
        packet = _AAC_SAMPLES / heard.sample_rate
    tolerance = _COPIED_TOLERANCE_SECONDS if expected.audio_copied else max(_AUDIO_TOLERANCE_SECONDS, 2.5 * packet)
    checks.near("audio_seconds", heard.duration_seconds, expected.audio_seconds, tolerance, "the audio's duration")
    if video is not None and video.first_pts is not None and heard.first_pts is not None:
        frame = 1 / expected.rate if expected.rate else 0.0
        checks.near(
            "audio_offset_seconds",
            heard.first_pts - video.first_pts,
            expected.audio_offset,
            max(_OFFSET_TOLERANCE_SECONDS, 1.1 * packet) + expected.audio_lost + frame,
            "the sound's start after the picture's",
        )
