"""What was found in a media file, as data: the wire between `media.inspect` (a sandboxed child) and us. Times are seconds."""

from fractions import Fraction

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import Codec

#: libav's name of a codec → ours
CODECS = {"h264": Codec.H264, "hevc": Codec.H265, "vp8": Codec.VP8, "vp9": Codec.VP9, "av1": Codec.AV1}


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True): ...


class Window(_Record, frozen=True):
    """The frames of the main video stream whose time lies in [start, start + duration) of the file's own clock."""

    start: float  #: after the format's start
    duration: float | None
    frames: int
    first_pts: float | None = None  #: None when there are no frames
    last_pts: float | None = None
    last_duration: float = 0.0
    keyframe_pts: float | None = None  #: the last keyframe that is not after `first_pts`
    sound_first: float | None = None  #: of the main audio stream; None: it has nothing here
    sound_end: float | None = None


class VideoStream(_Record, frozen=True):
    index: int  #: in the file
    codec: str  #: libav's name
    width: int  #: as coded; `display_size` turns it
    height: int
    pixel_format: str
    time_base: str
    frames: int  #: that come out of a decoder: from the packet table, or counted when the inspection decoded
    keyframes: int = 0
    first_pts: float | None = None  #: None: the container has no times (raw streams)
    last_pts: float | None = None
    last_duration: float = 0.0
    rate: str | None = None  #: average frames per second, a fraction
    constant_rate: bool = False  #: every time is a multiple of 1/rate after the first, none is missing
    b_frames: bool = False
    rotation: int = 0  #: degrees clockwise that a player turns the picture
    sample_aspect: str = "1/1"
    profile: str = ""
    bits: int = 8
    codec_tag: str = ""

    @property
    def duration_seconds(self) -> float | None:
        """From the first frame's time to the end of the last one."""
        if self.first_pts is None or self.last_pts is None:
            return None
        return self.last_pts + self.last_duration - self.first_pts

    @property
    def frame_rate(self) -> Fraction | None:
        return Fraction(self.rate) if self.rate else None

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height after rotation, in pixels."""
        return (self.height, self.width) if self._lies else (self.width, self.height)

    @property
    def shown_aspect(self) -> Fraction:
        """The shape of one pixel after rotation."""
        aspect = Fraction(self.sample_aspect)
        return 1 / aspect if self._lies else aspect

    @property
    def _lies(self) -> bool:
        """A quarter turn exchanges the sides. FFmpeg turns by other angles too, within the picture's own size."""
        return abs(self.rotation % 180 - 90) < 1


class AudioStream(_Record, frozen=True):
    index: int
    codec: str
    sample_rate: int
    channels: int
    default: bool = False
    packets: int = 0
    hidden_seconds: float = 0.0  #: of packets that an edit list hides: a copy would bring them back
    first_pts: float | None = None
    end_pts: float | None = None  #: end of the last packet or decoded sample

    @property
    def duration_seconds(self) -> float | None:
        if self.first_pts is None or self.end_pts is None:
            return None
        return self.end_pts - self.first_pts


class Inspection(_Record, frozen=True):
    """`video` and `audio` are in the file's order; the *main* ones are those that a job takes."""

    container: str  #: libav's demuxer, e.g. "mov,mp4,m4a,3gp,3g2,mj2"
    size_bytes: int
    start_seconds: float = 0.0  #: the format's start: the earliest stream's
    duration_seconds: float | None = None  #: as its header or its packets say
    video: list[VideoStream] = []
    audio: list[AudioStream] = []
    chapters: int = 0
    window: Window | None = None  #: when the request named one
    steady_until: float | None = (
        None  #: seconds after the start, when the clock jumps there; streams' times are as if it did not
    )
    decoded: bool = False  #: everything was decoded; `frames` and times are what came out
    problems: list[str] = []  #: what went wrong while decoding, at most a few
    seconds: float = 0.0  #: wall time of the inspection
    cpu_seconds: float = 0.0

    @property
    def main_video(self) -> VideoStream | None:
        return self.video[0] if self.video else None

    @property
    def main_audio(self) -> AudioStream | None:
        """The stream marked as default, else the first."""
        return next((stream for stream in self.audio if stream.default), self.audio[0] if self.audio else None)


class Request(_Record, frozen=True):
    """What the inspector is asked."""

    id: int
    path: str
    decode: bool = False
    window_start: float | None = None  #: seconds after the format's start
    window_duration: float | None = None
    rate: str | None = None  #: does the video follow this rate, a fraction? Tried before those that the file names
    threads: int = 1
    timeout_seconds: float = 3600.0


class Reply(_Record, frozen=True):
    """Either an inspection or a code and a message."""

    id: int
    inspection: Inspection | None = None
    code: Code | None = None
    message: str = ""


def request(
    path: str,
    *,
    decode: bool = False,
    start: float = 0.0,
    duration: float | None = None,
    rate: str | None = None,
    threads: int = 1,
    timeout_seconds: float = 3600.0,
) -> dict[str, object]:
    """The body of a request for `process.service.Service.request`; the service adds the id."""
    window = start > 0 or duration is not None
    made = Request(
        id=0,
        path=path,
        decode=decode,
        window_start=start if window else None,
        window_duration=duration,
        rate=rate,
        threads=threads,
        timeout_seconds=timeout_seconds,
    )
    body: dict[str, object] = msgspec.to_builtins(made)
    return body


def read(reply: dict[str, object]) -> Inspection:
    """What the inspector found. Raises TaskError with the code that it gave."""
    told = msgspec.convert(reply, Reply)
    if told.inspection is None:
        raise errors.TaskError(told.code or Code.INTERNAL, told.message or "the inspector gave no answer")
    return told.inspection
