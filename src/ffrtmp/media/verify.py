"""Is this output what the spec makes of that input? Pure: both inspections are data. Level `standard`.

The expectation comes from the input's index and the same plans that made the command. Success is never taken from an exit code.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import msgspec

from ffrtmp.domain import languages
from ffrtmp.domain.job import Verdict
from ffrtmp.domain.spec import Codec, Container, InputKind, PixelFormat, Spec
from ffrtmp.media import audio, codecs, extras, interlace, loudness, picture, subtitles, timing
from ffrtmp.media.inspection import CODECS, AudioStream, Colour, Inspection, LightLevel, Mastering, VideoStream

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


#: events at the ends of a cut may or may not come along
TEXTS_TOLERANCE = 1
#: one matrix under two numbers (ITU-T H.273: 6 is functionally the same as 5), of which GStreamer knows one
_BT601 = {"bt470bg", "smpte170m"}
#: layers of one format, which some files call by another's name and mpegts calls by one (ISO/IEC 13818-1, stream types 3 and 4)
_MPEG_AUDIO = {"mp1", "mp2", "mp3"}


class Sound(msgspec.Struct, frozen=True, kw_only=True):
    """One audio track that must come out."""

    codec: str  #: libav's name
    copied: bool = False
    channels: int | None = None
    seconds: float | None = None
    lost: float = 0.0  #: what the input's decoder may swallow at its start, in seconds
    offset: float | None = None  #: how much later than the picture the sound begins, in seconds
    language: str = ""  #: not checked when empty


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What must come out. None: cannot be known without decoding the input."""

    codec: Codec
    container: Container
    width: int
    height: int
    pixel_format: PixelFormat
    colour: Colour = Colour()  #: an empty field is not checked
    mastering: Mastering | None = None
    light_level: LightLevel | None = None
    frames: int | None
    frames_tolerance: int
    video_seconds: float | None
    rate: float | None  #: frames per second, about
    steady: str | None = None  #: the exact rate, a fraction, when there is one frame on each of its ticks
    progressive: bool = True  #: no frame may be marked as interlaced
    notes: list[str] = []  #: what was decided, and why: for the attempt's log
    sounds: list[Sound] = []
    texts: list[subtitles.SubtitlePlan] = []
    texts_tolerance: int = 0  #: events at the ends of a cut, of each track
    covers: int = 0
    attachments: int = 0
    chapters: int = 0
    pictures: bool = True  #: False: a file of sound alone


def expect(spec: Spec, source: Inspection | None) -> Expectation:
    """Raises TaskError when this input cannot become that output: no_video_stream, no_audio_stream, input_invalid, …

    Ask before the encode: `frames` and `video_seconds` are also what progress is measured against.
    """
    generated = spec.input.kind is InputKind.GENERATE or source is None
    planned = timing.plan(spec, source)
    video = None if generated or source is None else source.main_video
    shown = picture.plan(spec, video)
    fields = interlace.plan(spec, video)
    texts, beside = subtitles.plan(spec, source), extras.plan(spec, source)
    tracks = audio.plan(spec, None if generated else source)
    return Expectation(
        codec=spec.codec,
        container=spec.container,
        width=shown.width,
        height=shown.height,
        pixel_format=shown.pixel_format,
        colour=shown.coloured.colour,
        mastering=shown.coloured.mastering,
        light_level=shown.coloured.light_level,
        notes=[
            *picture.notes(video, shown.pixel_format, spec.pixel_format),
            *shown.coloured.notes,
            *(note for note in (planned.note, fields.note) if note),
            *texts.notes,
            *beside.notes,
        ],
        progressive=not fields.fields_kept,
        frames=planned.frames,
        frames_tolerance=planned.frames_tolerance,
        video_seconds=planned.video_seconds,
        rate=float(planned.rate) if planned.rate else None,
        steady=str(planned.rate) if planned.steady and planned.rate else None,
        sounds=[_sound(planned, track) for track in tracks],
        texts=list(texts.tracks),
        texts_tolerance=TEXTS_TOLERANCE if texts.cut else 0,
        covers=len(beside.covers),
        attachments=len(beside.attachments),
        chapters=beside.chapters,
    )


def silence(spec: Spec, source: Inspection | None) -> float:
    """Seconds that are put before a sound with a file of its own, which begins with the picture's clock. Copied sound gets
    none: nothing can be put before it."""
    sounds, planned = expect(spec, source).sounds, timing.plan(spec, source)
    if not sounds or sounds[0].copied or sounds[0].offset is None or planned.picture_start is None:
        return 0.0
    return max(0.0, sounds[0].offset + planned.picture_start - planned.interval[0])


def expect_sound(spec: Spec, source: Inspection | None) -> Expectation:
    """Of a file of sound alone, with silence in front where the sound begins late."""
    alone = expect(spec, source)
    [sound] = alone.sounds
    if sound.seconds is not None:
        sound = msgspec.structs.replace(sound, seconds=sound.seconds + silence(spec, source))
    return msgspec.structs.replace(alone, pictures=False, sounds=[sound])


def _sound(planned: timing.Timing, track: audio.AudioPlan) -> Sound:
    heard = track.source
    seconds, offset = (planned.video_seconds, 0.0) if heard is None else _interval(planned, heard)
    return Sound(
        codec=track.codec,
        copied=track.copied,
        channels=track.channels,
        seconds=seconds,
        lost=_SWALLOWED_SECONDS if heard and heard.codec.startswith("wma") and not track.copied else 0.0,
        offset=offset,
        language=languages.three_letters(track.language) or "",
    )


def _interval(planned: timing.Timing, heard: AudioStream) -> tuple[float | None, float | None]:
    """How long the taken part of the sound is, and how much later than the picture it begins."""
    if heard.first_pts is None or heard.end_pts is None:
        return None, None
    begin, end = planned.interval
    first = max(heard.first_pts, begin)
    last = heard.end_pts if end is None else min(heard.end_pts, end)
    if heard.window is not None:
        first, last = heard.window  # the sound may have a hole where the part begins or ends
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


def judge(
    expectation: Expectation,
    spec: Spec,
    found: Inspection,
    loudnesses: Sequence[tuple[loudness.Measured, loudness.Measured]] = (),
) -> Verdict:
    """`found` is the output's inspection, made with `decode` and with `rate` as it is expected to be steady; `loudnesses` is
    what each audio track was measured with before and after."""
    checks = _Checks()
    checks.problems += [f"decoding: {problem}" for problem in found.problems]
    if not found.decoded:
        checks.problems.append("the output was not decoded")
    demuxer = codecs.DEMUXERS[expectation.container]
    kind = expectation.container if demuxer in found.container.split(",") else found.container
    checks.same("container", kind, expectation.container, "the container")
    video = found.main_video
    checks.same("video_streams", len(found.video), int(expectation.pictures), "the number of video streams")
    if video is not None:
        _picture(checks, expectation, video)
    _audio(checks, expectation, found, video)
    _beside(checks, expectation, found)
    if spec.audio.loudness is not None:
        checks.found["loudness"] = [loudness.told(after) for _, after in loudnesses]
        checks.problems += loudness.problems(spec.audio.loudness, loudnesses)
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
    _colour(checks, expected, video)
    checks.found["frames"] = video.frames
    checks.found["frames_expected"] = expected.frames
    if video.frames == 0:
        checks.problems.append("no frame can be decoded")
    elif expected.frames is not None and abs(video.frames - expected.frames) > expected.frames_tolerance:
        missing = expected.frames - video.frames
        wrong = f"{missing} are missing" if missing > 0 else f"{-missing} too many"
        checks.problems.append(f"{video.frames} frames came out, not {expected.frames}: {wrong}")
    if video.disordered:
        checks.found["disordered_frames"] = video.disordered
        checks.problems.append(f"{video.disordered} frames do not come after the one before")
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


def _colour(checks: _Checks, expected: Expectation, video: VideoStream) -> None:
    """Labels that are lost or wrong make every player show wrong colours, and no frame is damaged."""
    for field in Colour.__struct_fields__:
        found = getattr(video.colour, field)
        if field == "range":
            found = found or "tv"  # which is what every player takes, where nothing is said
        if wanted := getattr(expected.colour, field):
            if field == "matrix" and {found, wanted} == _BT601:
                found = wanted
            checks.same(f"colour_{field}", found, wanted, f"the colour's {field}")
    if expected.colour.transfer:
        checks.found["hdr"] = video.colour.hdr or "SDR"
        for field, what in (("mastering", "mastering display"), ("light_level", "light level (MaxCLL, MaxFALL)")):
            found, wanted = (msgspec.to_builtins(getattr(side, field)) for side in (video, expected))
            checks.same(field, found, wanted, f"the {what}")
    checks.found["interlaced_frames"] = video.interlaced_frames
    if expected.progressive and video.interlaced_frames:
        checks.problems.append(f"{video.interlaced_frames} frames are marked as interlaced")


def _size(width: int, height: int) -> str:
    return f"{width}x{height}"


def _audio(checks: _Checks, expected: Expectation, found: Inspection, video: VideoStream | None) -> None:
    checks.same("audio_streams", len(found.audio), len(expected.sounds), "the number of audio streams")
    for number, (heard, sound) in enumerate(zip(found.audio, expected.sounds, strict=False), 1):
        _track(checks, expected, (number, sound), heard, video)


def _track(
    checks: _Checks, expected: Expectation, wanted: tuple[int, Sound], heard: AudioStream, video: VideoStream | None
) -> None:
    number, sound = wanted
    name, what = ("audio", "the audio") if number == 1 else (f"audio_{number}", f"audio track {number}")
    codec = heard.codec
    if sound.copied and {codec, sound.codec} <= _MPEG_AUDIO:
        codec = sound.codec
    checks.same(f"{name}_codec", codec, sound.codec, f"{what} codec" if number == 1 else f"the codec of {what}")
    if sound.channels is not None and not sound.copied:
        told = "the number of audio channels" if number == 1 else f"the number of channels of {what}"
        checks.same(f"{name}_channels", heard.channels, sound.channels, told)
    if sound.language:
        found = sound.language if languages.same(heard.language, sound.language) else heard.language
        checks.same(f"{name}_language", found, sound.language, f"the language of audio track {number}")
    packet = 0.0
    if not sound.copied and heard.codec == "aac" and heard.sample_rate:
        packet = _AAC_SAMPLES / heard.sample_rate
    tolerance = _COPIED_TOLERANCE_SECONDS if sound.copied else max(_AUDIO_TOLERANCE_SECONDS, 2.5 * packet)
    checks.near(f"{name}_seconds", heard.duration_seconds, sound.seconds, tolerance, f"{what}'s duration")
    if video is not None and video.first_pts is not None and heard.first_pts is not None:
        frame = 1 / expected.rate if expected.rate else 0.0
        checks.near(
            f"{name}_offset_seconds",
            heard.first_pts - video.first_pts,
            sound.offset,
            max(_OFFSET_TOLERANCE_SECONDS, 1.1 * packet) + sound.lost + frame,
            "the sound's start after the picture's" if number == 1 else f"the start of {what} after the picture's",
        )


def _beside(checks: _Checks, expected: Expectation, found: Inspection) -> None:
    """Subtitles, covers, attached files and chapters."""
    checks.same("subtitle_streams", len(found.subtitles), len(expected.texts), "the number of subtitle streams")
    for number, (track, wanted) in enumerate(zip(found.subtitles, expected.texts, strict=False), 1):
        name, what = f"subtitles_{number}", f"subtitle track {number}"
        checks.same(f"{name}_codec", track.codec, wanted.codec, f"the codec of {what}")
        if wanted.language:
            checks.same(f"{name}_language", track.language, wanted.language, f"the language of {what}")
        checks.found[f"{name}_events"] = track.events
        checks.found[f"{name}_events_expected"] = wanted.events
        most = wanted.events + expected.texts_tolerance
        least = wanted.events - expected.texts_tolerance if wanted.exact else min(wanted.events, 1)
        if not least <= track.events <= most:
            checks.problems.append(f"{what} has {track.events} events, not {wanted.events}")
    checks.same("covers", len(found.covers), expected.covers, "the number of covers")
    checks.same("attachments", len(found.attachments), expected.attachments, "the number of attached files")
    checks.same("chapters", found.chapters, expected.chapters, "the number of chapters")
