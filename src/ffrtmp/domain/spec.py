"""The job spec: what a submission became. Typed, frozen, definite; this is what an agent gets.

`protocol.bodies` reads what a user wrote, `planning.resolve` makes a Spec of it. No field holds text that could reach an
argv flag or a filter graph: there are enums, bounded numbers, and paths.
"""

import enum
from fractions import Fraction

import msgspec

from ffrtmp.domain import streaming, units


class Engine(enum.StrEnum):
    AUTO = "auto"
    FFMPEG = "ffmpeg"
    GSTREAMER = "gstreamer"


class Queue(enum.StrEnum):
    LIVE = "live"
    DEFAULT = "default"
    BATCH = "batch"


class Priority(enum.StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Codec(enum.StrEnum):
    H264 = "h264"
    H265 = "h265"
    VP8 = "vp8"
    VP9 = "vp9"
    AV1 = "av1"


class Container(enum.StrEnum):
    MP4 = "mp4"
    MKV = "mkv"
    WEBM = "webm"
    TS = "ts"
    FLV = "flv"  # what RTMP carries; no file is made in it


class AudioCodec(enum.StrEnum):
    AUTO = "auto"  # copied where the container takes it, else encoded anew; no audio where the input has none
    COPY = "copy"
    AAC = "aac"
    OPUS = "opus"
    NONE = "none"


class RateMode(enum.StrEnum):
    CRF = "crf"  # constant quality, optionally capped by max_bitrate
    BITRATE = "bitrate"  # one pass to an average
    TWO_PASS = "two_pass"  # noqa: S105 - not a password


class Preset(enum.StrEnum):
    """Speed steps under x264's names; `media.codecs` maps them to each encoder's own scale."""

    ULTRAFAST = "ultrafast"
    SUPERFAST = "superfast"
    VERYFAST = "veryfast"
    FASTER = "faster"
    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"
    SLOWER = "slower"
    VERYSLOW = "veryslow"


class Hwaccel(enum.StrEnum):
    """Which hardware encodes. A family that is named is a requirement."""

    AUTO = "auto"  # the best encoder that works, hardware first, falling back to software
    NONE = "none"
    NVENC = "nvenc"
    QSV = "qsv"
    VAAPI = "vaapi"


#: whose work is a GPU's
HARDWARE = (Hwaccel.NVENC, Hwaccel.QSV, Hwaccel.VAAPI)


class InputKind(enum.StrEnum):
    FILE = "file"  # a path on the node, under a media root
    UPLOAD = "upload"  # a finished upload in the artifact store
    GENERATE = "generate"  # a synthetic clip


class PixelFormat(enum.StrEnum):
    YUV420P = "yuv420p"
    YUV422P = "yuv422p"
    YUV444P = "yuv444p"
    YUV420P10 = "yuv420p10le"
    YUV422P10 = "yuv422p10le"
    YUV444P10 = "yuv444p10le"

    @property
    def bits(self) -> int:
        return 10 if self.endswith("10le") else 8


class Deinterlace(enum.StrEnum):
    AUTO = "auto"  # where the source is interlaced
    ON = "on"  # always: for sources that do not say what they are
    OFF = "off"
    FIELD = "field"  # always, and one frame for each field: twice the frame rate, all of the motion


class Hdr(enum.StrEnum):
    AUTO = "auto"  # kept where codec and pixel format can hold it, else tone-mapped
    KEEP = "keep"
    TONEMAP = "tonemap"  # to SDR BT.709


class Pick(enum.StrEnum):
    """Which of several tracks."""

    AUTO = "auto"  # of the sound the default one, of the subtitles all that can be carried
    ALL = "all"
    NAMED = "named"
    NONE = "none"


class OutputMode(enum.StrEnum):
    FILE = "file"  # plain files
    RTMP = "rtmp"  # no file: it is streamed to a server
    HLS = "hls"  # CMAF media with an HLS playlist and a DASH manifest over it
    DASH = "dash"  # the same; which of the two is named first is all that differs


class Segments(enum.StrEnum):
    """How the segments of a package lie on the disk."""

    AUTO = "auto"  # files in a directory of a node, ranges in the artifact store
    RANGES = "ranges"  # one file per rendition, which playlists cut into byte ranges
    FILES = "files"  # a file for each segment


class VerifyLevel(enum.StrEnum):
    NONE = "none"  # only for commands that cannot be verified (the reference's worker protocol)
    STANDARD = "standard"
    FULL = "full"  # and black, frozen and silent parts, repeated frames, sound and picture at the end
    QUALITY = "quality"  # and a floor for VMAF


class Metric(enum.StrEnum):
    """How near a picture is to the one it was made from."""

    VMAF = "vmaf"
    PSNR = "psnr"
    SSIM = "ssim"


#: which video codecs and audio codecs a container takes (ISO/IEC 14496-12 registrations, WebM guidelines, MPEG-TS stream types)
CONTAINER_VIDEO: dict[Container, frozenset[Codec]] = {
    Container.MP4: frozenset({Codec.H264, Codec.H265, Codec.VP9, Codec.AV1}),
    Container.MKV: frozenset(Codec),
    Container.WEBM: frozenset({Codec.VP8, Codec.VP9, Codec.AV1}),
    Container.TS: frozenset({Codec.H264, Codec.H265}),
    Container.FLV: frozenset({Codec.H264}),
}
CONTAINER_AUDIO: dict[Container, frozenset[AudioCodec]] = {
    Container.MP4: frozenset({AudioCodec.AAC, AudioCodec.OPUS}),
    Container.MKV: frozenset({AudioCodec.AAC, AudioCodec.OPUS}),
    Container.WEBM: frozenset({AudioCodec.OPUS}),
    Container.TS: frozenset({AudioCodec.AAC, AudioCodec.OPUS}),
    Container.FLV: frozenset({AudioCodec.AAC}),
}
#: how many channels of sound that we encode a container takes
CONTAINER_CHANNELS: dict[Container, int] = {
    Container.MP4: 8,
    Container.MKV: 8,
    Container.WEBM: 8,
    Container.TS: 6,
    Container.FLV: 2,
}
#: file name extension → container
EXTENSIONS: dict[str, Container] = {
    ".mp4": Container.MP4,
    ".m4v": Container.MP4,
    ".mov": Container.MP4,
    ".mkv": Container.MKV,
    ".webm": Container.WEBM,
    ".ts": Container.TS,
    ".m2ts": Container.TS,
}


class _Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True): ...


class Input(_Frozen, frozen=True):
    kind: InputKind
    path: str | None = None  #: for FILE: as the user wrote it, without `file://`
    upload_id: str | None = None  #: for UPLOAD
    name: str | None = None  #: for UPLOAD: the file's name on the user's machine


class Rate(_Frozen, frozen=True):
    mode: RateMode
    crf: float | None = None
    bitrate_bps: int | None = None
    max_bitrate_bps: int | None = None
    target_bytes: int | None = None  #: of the whole file, at most: the node works the bitrate out
    target_vmaf: float | None = None  #: of the picture, about: the node looks for the crf


class Tracks(_Frozen, frozen=True):
    pick: Pick = Pick.AUTO
    named: list[int | str] = []  #: for NAMED: numbers from 1 among the tracks of their kind, or languages


class Loudness(_Frozen, frozen=True):
    """A target of EBU R128."""

    integrated_lufs: float = -23.0
    true_peak_db: float = -1.0
    range_lu: float | None = None  #: None: the programme's own


class Audio(_Frozen, frozen=True):
    codec: AudioCodec = AudioCodec.AUTO
    bitrate_bps: int | None = None
    channels: int | None = None
    tracks: Tracks = Tracks()
    loudness: Loudness | None = None


class Rung(_Frozen, frozen=True):
    """One picture size of a ladder."""

    resolution: units.Resolution
    rate: Rate | None = None  #: None: the job's quality below a cap for this size


class Ladder(_Frozen, frozen=True):
    """Several sizes of one source."""

    rungs: list[Rung] = []  #: none: chosen on the node, from the source's size, rate and content

    @property
    def auto(self) -> bool:
        return not self.rungs


class Thumbnails(_Frozen, frozen=True):
    """Small pictures for a player's seek bar."""

    interval_seconds: float = 10.0
    width: int = 160


class Limits(_Frozen, frozen=True):
    timeout_seconds: float | None = None  #: wall time of one attempt
    stall_seconds: float = 120.0  #: longest time without progress
    max_disk_bytes: int | None = None  #: size of the output and everything beside it in scratch
    max_cpu_percent: int | None = None  #: 100: one core
    max_memory_bytes: int | None = None  #: of the engine's processes together


class Requires(_Frozen, frozen=True):
    """What a node must offer. Two jobs with equal requirements are of one class."""

    engine: Engine = Engine.AUTO
    codec: Codec | None = None
    container: Container | None = None
    audio: AudioCodec | None = None  #: that must be encoded; asked only where the engine is named and may lack it
    encoder: str | None = None  #: the encoder by name, e.g. libsvtav1
    hwaccel: Hwaccel | None = None  #: a family of hardware that was named
    metrics: list[Metric] = []  #: that its FFmpeg can measure, in order
    labels: dict[str, str] = {}
    min_threads: int = 0
    min_memory_bytes: int = 0
    generates_input: bool = False
    local_path: bool = False  #: reads or writes local files: not for a node without media roots
    beyond_reference: bool = False  #: says what agents of the reference do not read

    def key(self) -> str:
        """The same text for equal requirements: the name of the class."""
        return msgspec.json.encode(self, order="deterministic").decode()


class Spec(_Frozen, frozen=True, tag_field="kind", tag="encode"):
    input: Input
    codec: Codec
    container: Container
    rate: Rate
    output: str | None = None  #: a path on the node; None: the artifact store
    target: streaming.Target | None = None  #: it is streamed there in real time, and no file is made
    overwrite: bool = False
    start: float = 0.0
    duration: float | None = None
    preset: Preset = Preset.MEDIUM
    tune: str | None = None
    profile: str | None = None
    pixel_format: PixelFormat | None = None
    resolution: units.Resolution | None = None
    fps: str | None = None  #: an exact fraction such as 30000/1001
    gop_seconds: float | None = None
    hwaccel: Hwaccel = Hwaccel.AUTO
    deinterlace: Deinterlace = Deinterlace.AUTO
    hdr: Hdr = Hdr.AUTO
    audio: Audio = Audio()
    subtitles: Tracks = Tracks()
    verify: VerifyLevel = VerifyLevel.STANDARD
    vmaf_min: float | None = None  #: for QUALITY: the lowest mean that passes
    vmaf_every: int = 1  #: for QUALITY: of so many frames one is looked at
    limits: Limits = Limits()
    requires: Requires = Requires()
    queue: Queue = Queue.DEFAULT  #: `live` prefers another engine
    keep_metadata: bool = True
    output_mode: OutputMode = OutputMode.FILE
    ladder: Ladder | None = None
    segment_seconds: float = 4.0
    segments: Segments = Segments.AUTO
    thumbnails: Thumbnails | None = None
    decisions: list[str] = []  #: what was chosen for the user, and why

    @property
    def frame_rate(self) -> Fraction | None:
        return Fraction(self.fps) if self.fps else None

    @property
    def packaged(self) -> bool:
        """Whether playlists and their media come out."""
        return self.output_mode in (OutputMode.HLS, OutputMode.DASH)

    @property
    def many(self) -> bool:
        """Whether several files come out: `output` is a directory then."""
        return self.packaged or self.ladder is not None

    @property
    def output_name(self) -> str:
        """The file name under which an artifact is offered for download."""
        return f"{_stem(self.output, self.input)}.{self.container}"


class Measurement(_Frozen, frozen=True, tag_field="kind", tag="measure"):
    """How near a video is to its reference: what a job of the kind `measure` became. Its output is a report in JSON."""

    input: Input  #: the video that is measured
    reference: Input
    metrics: list[Metric]
    output: str | None = None  #: of the report: a path on the node; None: the artifact store
    overwrite: bool = False
    start: float = 0.0  #: in the video that is measured
    reference_start: float = 0.0
    duration: float | None = None  #: of both
    every: int = 1  #: VMAF looks at one of so many frames
    frames: bool = False  #: the report has the values of each frame
    limits: Limits = Limits()
    requires: Requires = Requires()
    decisions: list[str] = []

    @property
    def many(self) -> bool:
        """Whether several files come out."""
        return False

    @property
    def output_name(self) -> str:
        return f"{_stem(self.output, self.input)}.json"


#: what a task may be asked to do
Work = Spec | Measurement


def shown(work: Work) -> Work:
    """As people may see it: without the stream key."""
    if isinstance(work, Measurement) or work.target is None:
        return work
    return msgspec.structs.replace(work, target=work.target.hidden)


def _stem(output: str | None, source: Input) -> str:
    generated = "generated" if source.kind is InputKind.GENERATE else "output"
    name = output or source.name or source.path or generated
    return name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0] or "output"
