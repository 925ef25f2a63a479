"""Which of GStreamer's encoders and muxers work on this node: each really encodes and muxes a few frames."""

import re

import msgspec

from ffrtmp.domain import node, spec
from ffrtmp.domain.command import Command, CommandLimits
from ffrtmp.domain.spec import AudioCodec, Codec, Container, Engine, Hwaccel
from ffrtmp.media import failures, gst_encoders, gstreamer
from ffrtmp.media.probe import Ended, reason
from ffrtmp.media.tools import Tools

_WALL_SECONDS = 30.0
_FRAMES = 4
_QUICK = spec.Spec(
    input=spec.Input(kind=spec.InputKind.GENERATE),
    codec=Codec.H264,
    container=Container.MKV,
    rate=spec.Rate(mode=spec.RateMode.BITRATE, bitrate_bps=500_000),
    preset=spec.Preset.ULTRAFAST,
)
#: ends the reason why an element does not work that is not there at all
NOT_INSTALLED = "is not installed"
_MISSING = re.compile(r'no element "([^"]+)"')


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One element to try: run `command`, and give how it ended to `interpret`."""

    name: str
    codec: Codec
    hwaccel: Hwaccel | None = None  #: None: software
    command: Command


class MuxerProbe(msgspec.Struct, frozen=True, kw_only=True):
    """One pair to try: a container with a codec of pictures or of sound."""

    container: Container
    video: Codec | None = None
    audio: AudioCodec | None = None
    command: Command


def encoders(tools: Tools) -> list[Probe]:
    """Software first, then NVENC, QSV and VA-API by their elements' names."""
    made = [
        Probe(
            name=encoder.name,
            codec=encoder.codec,
            command=_command(tools, encoder.name, [*_pictures("I420"), *_encode(encoder), "!", "fakesink"]),
        )
        for encoder in gst_encoders.ENCODERS
    ]
    for name, codec, family in gst_encoders.HARDWARE:
        pipeline = [*_pictures("NV12"), "!", name, "!", "fakesink"]
        made.append(Probe(name=name, codec=codec, hwaccel=family, command=_command(tools, name, pipeline)))
    return made


def muxers(tools: Tools, working: list[node.Encoder]) -> list[MuxerProbe]:
    """Each container with each codec that it takes and that has an encoder here."""
    names = {encoder.name for encoder in working if encoder.works}
    able = {encoder.codec: encoder for encoder in reversed(gst_encoders.ENCODERS) if encoder.name in names}
    made = []
    for container in Container:
        mux = [*gst_encoders.MUXERS[container], "!", "fakesink"]
        for codec in Codec:
            if codec in able and codec in spec.CONTAINER_VIDEO[container]:
                pipeline = [*_pictures("I420"), *_encode(able[codec]), *_parsed(gst_encoders.PARSERS[codec]), "!", *mux]
                command = _command(tools, f"{codec} in {container}", pipeline)
                made.append(MuxerProbe(container=container, video=codec, command=command))
        for heard in sorted(spec.CONTAINER_AUDIO[container]):
            if (heard, container) == (AudioCodec.OPUS, Container.MP4):
                continue  # it ends well, and the sound begins 0.3 s late (see `domain.gstreamer`)
            sound = ["audiotestsrc", "num-buffers=10", "!", "audioconvert", "!", "audioresample"]
            pipeline = [*sound, *_parsed(gstreamer.AUDIO_ENCODERS[heard]), "!", *mux]
            command = _command(tools, f"{heard} in {container}", pipeline)
            made.append(MuxerProbe(container=container, audio=heard, command=command))
    return made


def _pictures(layout: str) -> list[str]:
    return [
        "videotestsrc",
        f"num-buffers={_FRAMES}",
        "!",
        f"video/x-raw,format={layout},width=256,height=256,framerate=25/1",
    ]


def _encode(encoder: gst_encoders.Encoder) -> list[str]:
    quick = msgspec.structs.replace(_QUICK, codec=encoder.codec)
    return ["!", encoder.name, *encoder.options(quick, 25, None, 0)]


def _parsed(elements: tuple[str, ...]) -> list[str]:
    return [part for element in elements for part in ("!", element)]


def _command(tools: Tools, what: str, pipeline: list[str]) -> Command:
    return Command(
        name=f"probe {what}",
        argv=(tools.gst_launch, "-q", "-f", *pipeline),
        limits=CommandLimits(wall_seconds=_WALL_SECONDS),
        last_words=failures.GSTREAMER_FAILED,
    )


def interpret(probe: Probe, ended: Ended) -> node.Encoder:
    """What the node offers, with the reason where it does not work."""
    missing = _MISSING.search(ended.log)
    why = f"{missing[1]} {NOT_INSTALLED}" if missing else reason(ended)
    return node.Encoder(
        name=probe.name,
        codec=probe.codec,
        engine=Engine.GSTREAMER,
        works=ended.ok,
        hwaccel=probe.hwaccel,
        detail="" if ended.ok else why,
    )


def pairs(tried: list[tuple[MuxerProbe, bool]]) -> list[node.Muxer]:
    """What came of the muxers' probes: each container that takes a codec of pictures."""
    found = []
    for container in Container:
        taken = [probe for probe, ok in tried if ok and probe.container is container]
        video = [probe.video for probe in taken if probe.video is not None]
        if video:
            audio = [probe.audio for probe in taken if probe.audio is not None]
            found.append(node.Muxer(container=container, engine=Engine.GSTREAMER, video=video, audio=audio))
    return found
