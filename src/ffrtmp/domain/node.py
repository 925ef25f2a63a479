"""Nodes: machines, what they offer, and whether that satisfies a class of jobs."""

import enum

import msgspec

from ffrtmp.domain.spec import AudioCodec, Codec, Container, Engine, Hwaccel, Metric, Requires


class NodeStatus(enum.StrEnum):
    AVAILABLE = "available"
    BUSY = "busy"
    DRAINING = "draining"
    OFFLINE = "offline"


class NodeType(enum.StrEnum):
    SERVER = "server"
    DESKTOP = "desktop"
    LAPTOP = "laptop"


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True): ...


class Encoder(_Record, frozen=True, forbid_unknown_fields=True):
    """An encoder that was tried, with what came of it."""

    name: str
    codec: Codec
    engine: Engine
    works: bool
    hwaccel: Hwaccel | None = None  #: the family of hardware; None: software
    devices: list[str] = []  #: on which it works: an index for nvenc, a render node for qsv and vaapi
    low_power: bool = False  #: it works in its low-power mode only (some of Intel's)
    detail: str = ""  #: why it does not work

    @property
    def hardware(self) -> bool:
        return self.hwaccel is not None


class Decoder(_Record, frozen=True, forbid_unknown_fields=True):
    """A hardware decoder that was tried, with what came of it."""

    hwaccel: Hwaccel
    codec: Codec
    works: bool
    devices: list[str] = []
    detail: str = ""


class Muxer(_Record, frozen=True, forbid_unknown_fields=True):
    """A container that an engine was seen to write, with what it put into it."""

    container: Container
    engine: Engine
    video: list[Codec]
    audio: list[AudioCodec] = []


class Capabilities(_Record, frozen=True, forbid_unknown_fields=True):
    """What an agent found on its node."""

    engines: dict[str, str] = {}  #: engine → version, only those that work
    encoders: list[Encoder] = []
    decoders: list[Decoder] = []
    muxers: list[Muxer] = []  #: of engines that cannot write all that a job may ask; FFmpeg can
    gpu_sessions: int | None = None  #: hardware encodes at the same time; None: as many as the driver lets
    metrics: list[Metric] = []  #: that its FFmpeg can measure
    generates_input: bool = True
    media_roots: list[str] = []
    limits: dict[str, str] = {}  #: cpu, memory → how a job's limit is held; why
    energy: list[str] = []  #: devices that measure theirs
    reference_protocol: bool = False  #: an agent of the reference: whole files, local paths, plain values

    def working(self) -> list[Encoder]:
        """Those that jobs may use: GStreamer's elements for hardware are only shown."""
        return [
            encoder
            for encoder in self.encoders
            if encoder.works and not (encoder.hardware and encoder.engine is Engine.GSTREAMER)
        ]


class Node(_Record, frozen=True):
    id: str
    name: str
    address: str
    type: NodeType
    status: NodeStatus
    cpu_threads: int
    cpu_model: str
    has_gpu: bool
    gpu_type: str
    ram_total_bytes: int
    labels: dict[str, str]
    capabilities: Capabilities
    slots: int
    active_attempts: int
    draining: bool
    incarnation: str
    version: str
    registered_at: int
    last_heartbeat: int
    ttl_us: int = 30_000_000  #: lease time of its attempts, as it was told when it registered


def unmet(requires: Requires, node: Node) -> list[str]:
    """What `requires` asks that `node` does not offer, as sentences; empty when the node will do."""
    missing: list[str] = []
    offered = node.capabilities
    if requires.engine is not Engine.AUTO and requires.engine.value not in offered.engines:
        missing.append(f"it has no working {requires.engine.value} engine")
    engines = set(offered.engines) if requires.engine is Engine.AUTO else {requires.engine.value}
    if requires.codec is not None and not any(
        encoder.codec is requires.codec and encoder.engine.value in engines for encoder in offered.working()
    ):
        missing.append(f"it has no working {requires.codec.value} encoder")
    if requires.encoder is not None and not any(
        encoder.name == requires.encoder and encoder.engine.value in engines for encoder in offered.working()
    ):
        missing.append(f"its {requires.encoder} encoder does not work or is missing")
    if requires.hwaccel is not None and not any(
        encoder.hwaccel is requires.hwaccel and encoder.codec is requires.codec and encoder.engine.value in engines
        for encoder in offered.working()
    ):
        missing.append(f"it has no working {requires.hwaccel.value} encoder for {requires.codec}")
    if requires.engine is Engine.GSTREAMER and not missing:
        missing += _unmuxed(requires, offered)
    missing += [f"its FFmpeg cannot measure {metric}" for metric in requires.metrics if metric not in offered.metrics]
    missing += [
        f"its label {name} is {node.labels.get(name)!r}, not {value!r}"
        if name in node.labels
        else f"it has no label {name}={value}"
        for name, value in sorted(requires.labels.items())
        if node.labels.get(name) != value
    ]
    if node.cpu_threads < requires.min_threads:
        missing.append(f"it has {node.cpu_threads} CPU threads, fewer than {requires.min_threads}")
    if node.ram_total_bytes < requires.min_memory_bytes:
        missing.append(f"it has {node.ram_total_bytes} bytes of memory, less than {requires.min_memory_bytes}")
    if requires.generates_input and not offered.generates_input:
        missing.append("it was started with --no-generate-input")
    if requires.local_path and not offered.media_roots and not offered.reference_protocol:
        missing.append("it has no --media-root")
    if offered.reference_protocol and not requires.local_path and not requires.generates_input:
        missing.append("it is a reference agent: it takes only whole-file jobs with local paths")
    if offered.reference_protocol and requires.container not in (None, Container.MP4):
        missing.append("it is a reference agent: it takes only mp4 outputs")
    if offered.reference_protocol and requires.beyond_reference:
        missing.append("it is a reference agent: it reads only input, output, duration, bitrate, codec and preset")
    return missing


def _unmuxed(requires: Requires, offered: Capabilities) -> list[str]:
    """What the node's own engine was not seen to put into the container."""
    if requires.container is None:
        return []
    engine, container = requires.engine.value, requires.container.value
    muxer = next((one for one in offered.muxers if (one.engine, one.container) == (engine, container)), None)
    if muxer is None:
        return [f"its {engine} writes no {container}"]
    lacking: list[str] = []
    if requires.codec is not None and requires.codec not in muxer.video:
        lacking.append(requires.codec.value)
    if requires.audio is not None and requires.audio not in muxer.audio:
        lacking.append(requires.audio.value)
    return [f"its {engine} cannot put {codec} into {container}" for codec in lacking]
