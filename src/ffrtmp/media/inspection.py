"""What was found in a media file, as data: the wire between `media.inspect` (a sandboxed child) and us. Times are seconds."""

from fractions import Fraction

import msgspec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.spec import Codec

#: libav's name of a codec → ours
CODECS = {"h264": Codec.H264, "hevc": Codec.H265, "vp8": Codec.VP8, "vp9": Codec.VP9, "av1": Codec.AV1}
#: decoders that mark each frame as interlaced or not: what they say counts, not the file's header
_MARKED = frozenset(
    {
        *("h264", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3", "prores", "dnxhd", "dvvideo", "ffv1", "mjpeg"),
        *("hevc", "av1", "vp8", "vp9", "theora"),
    }
)


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


class Colour(_Record, frozen=True):
    """What the numbers of a picture mean: code points of ITU-T H.273, by FFmpeg's names. Empty: the file does not say."""

    primaries: str = ""
    transfer: str = ""
    matrix: str = ""
    range: str = ""  #: tv (limited) or pc (full)

    @property
    def hdr(self) -> str | None:
        """Its HDR transfer, by the name that people use; None for SDR."""
        return {"smpte2084": "PQ", "arib-std-b67": "HLG"}.get(self.transfer)


class Mastering(_Record, frozen=True):
    """The display that HDR was graded on (SMPTE ST 2086): x and y in 0.00002, luminance in 0.0001 cd/m²."""

    red: tuple[int, int]
    green: tuple[int, int]
    blue: tuple[int, int]
    white: tuple[int, int]
    max_luminance: int
    min_luminance: int


class LightLevel(_Record, frozen=True):
    """The brightest pixel and the brightest frame's average (CTA-861.3: MaxCLL, MaxFALL), in cd/m²."""

    max_content: int
    max_average: int


class VideoStream(_Record, frozen=True):
    index: int  #: in the file
    codec: str  #: libav's name
    width: int  #: as coded; `display_size` turns it
    height: int
    pixel_format: str
    time_base: str
    frames: int  #: that come out of a decoder: from the packet table, or counted when the inspection decoded
    keyframes: int = 0
    keyframe_times: list[float] = []  #: of the main stream, in seconds as `first_pts`; of many every 2nd, 4th …
    first_pts: float | None = None  #: None: the container has no times (raw streams)
    last_pts: float | None = None
    last_duration: float = 0.0
    rate: str | None = None  #: average frames per second, a fraction
    constant_rate: bool = False  #: every time is a multiple of 1/rate after the first, none is missing
    b_frames: bool = False
    disordered: int = (
        0  #: decoded frames whose time is not after the one before: the file's times are not those of its pictures
    )
    rotation: int = 0  #: degrees clockwise that a player turns the picture
    sample_aspect: str = "1/1"
    profile: str = ""
    bits: int = 8
    codec_tag: str = ""
    field_order: str = ""  #: as the header says: progressive, or tt, bb, tb, bt (first field coded, first field shown)
    looked_at: int = 0  #: frames that were decoded, and how many of them are marked as interlaced
    interlaced_frames: int = 0
    colour: Colour = Colour()
    mastering: Mastering | None = None
    light_level: LightLevel | None = None
    dolby_vision: int | None = None  #: its profile; None: none

    @property
    def interlaced(self) -> bool:
        """Frames say it; of codecs whose frames say nothing, the header."""
        header = self.codec not in _MARKED and self.field_order not in ("", "progressive")
        return self.interlaced_frames > 0 or header

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
    layout: str = ""  #: e.g. 5.1(side)
    default: bool = False
    language: str = ""  #: two or three letters
    title: str = ""
    marks: list[str] = []  #: its dispositions but `default`, e.g. hearing_impaired
    packets: int = 0
    size_bytes: int = 0  #: of its packets; 0 when the inspection decoded
    hidden_seconds: float = 0.0  #: of packets that an edit list hides: a copy would bring them back
    first_pts: float | None = None
    end_pts: float | None = None  #: end of the last packet or decoded sample
    window: tuple[float, float] | None = (
        None  #: its first and last moment within the window; None: it has nothing there
    )

    @property
    def duration_seconds(self) -> float | None:
        if self.first_pts is None or self.end_pts is None:
            return None
        return self.end_pts - self.first_pts


class SubtitleStream(_Record, frozen=True):
    index: int
    codec: str
    default: bool = False
    language: str = ""
    title: str = ""
    marks: list[str] = []
    events: int = 0  #: packets that show something
    size_bytes: int = 0
    window_events: int = 0  #: of these, begin within the window


class Attachment(_Record, frozen=True):
    """A cover picture, or a file (a font) that a Matroska file brings along."""

    index: int
    codec: str  #: mjpeg, png; empty for a file
    name: str = ""


class Inspection(_Record, frozen=True):
    """`video` and `audio` are in the file's order; the *main* ones are those that a job takes."""

    container: str  #: libav's demuxer, e.g. "mov,mp4,m4a,3gp,3g2,mj2"
    size_bytes: int
    stamped: bool = (
        False  #: a ts with a time before each packet (192 bytes), as Blu-ray discs and AVCHD cameras have it
    )
    start_seconds: float = 0.0  #: the format's start: the earliest stream's
    duration_seconds: float | None = None  #: as its header or its packets say
    video: list[VideoStream] = []
    audio: list[AudioStream] = []
    subtitles: list[SubtitleStream] = []
    covers: list[Attachment] = []
    attachments: list[Attachment] = []
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
