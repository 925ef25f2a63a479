"""Which engine is chosen, and what is said of it."""

from pathlib import Path

import msgspec
import pytest

from ffrtmp.agent import engines
from ffrtmp.agent.gpus import Gpus
from ffrtmp.agent.inspector import Inspector
from ffrtmp.agent.kit import Kit
from ffrtmp.agent.workdir import WorkDir
from ffrtmp.domain import streaming
from ffrtmp.domain.errors import Code, TaskError
from ffrtmp.domain.node import Encoder, Muxer
from ffrtmp.domain.spec import (
    Audio,
    AudioCodec,
    Codec,
    Container,
    Deinterlace,
    Engine,
    Hdr,
    Hwaccel,
    Input,
    InputKind,
    Loudness,
    Pick,
    Queue,
    Rate,
    RateMode,
    Requires,
    Spec,
    Tracks,
)
from ffrtmp.media.inspection import Attachment, AudioStream, Colour, Inspection, SubtitleStream, VideoStream
from ffrtmp.media.tools import Tools

MP4 = Muxer(container=Container.MP4, engine=Engine.GSTREAMER, video=[Codec.H264], audio=[AudioCodec.AAC])
VIDEO = VideoStream(
    index=0,
    codec="h264",
    width=160,
    height=90,
    pixel_format="yuv420p",
    time_base="1/25",
    frames=50,
    first_pts=0.0,
    last_pts=1.96,
    last_duration=0.04,
    rate="25",
    constant_rate=True,
)
SOURCE = Inspection(container="mov,mp4,m4a,3gp,3g2,mj2", size_bytes=1, video=[VIDEO])


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(
        tools=Tools(ffmpeg="/ff", version="9.0.2", gst_launch="/gst", gst_version="1.22.0"),
        encoders=[
            Encoder(name="libx264", codec=Codec.H264, engine=Engine.FFMPEG, works=True),
            Encoder(name="x264enc", codec=Codec.H264, engine=Engine.GSTREAMER, works=True),
            Encoder(name="nvh264enc", codec=Codec.H264, engine=Engine.GSTREAMER, works=True, hwaccel=Hwaccel.NVENC),
        ],
        muxers=[MP4, msgspec.structs.replace(MP4, container=Container.MKV)],
        gpus=Gpus(),
        roots=(tmp_path,),
        work=WorkDir(tmp_path),
        inspector=Inspector(),
        master=None,  # type: ignore[arg-type]
    )


def spec(**parts: object) -> Spec:
    usual = {
        "input": Input(kind=InputKind.FILE, path="in.mp4"),
        "codec": Codec.H264,
        "container": Container.MP4,
        "rate": Rate(mode=RateMode.CRF, crf=23.0),
    }
    return Spec(**{**usual, **parts})  # type: ignore[arg-type]


NAMED = Requires(engine=Engine.GSTREAMER)


@pytest.mark.parametrize(
    ("parts", "engine", "reason"),
    [
        ({}, Engine.FFMPEG, "auto: files and generated clips are for ffmpeg"),
        ({"queue": Queue.BATCH}, Engine.FFMPEG, "auto: files and generated clips are for ffmpeg"),
        ({"requires": Requires(engine=Engine.FFMPEG), "queue": Queue.LIVE}, Engine.FFMPEG, "named by the job"),
        ({"requires": NAMED}, Engine.GSTREAMER, "named by the job"),
        ({"queue": Queue.LIVE}, Engine.GSTREAMER, "auto: the live queue prefers GStreamer"),
        (
            {"requires": Requires(encoder="x264enc")},
            Engine.GSTREAMER,
            "auto: x264enc is an encoder of GStreamer",
        ),
    ],
)
def test_the_choice_and_its_reason(kit: Kit, parts: dict[str, object], engine: Engine, reason: str) -> None:
    chosen = engines.choose(spec(**parts), SOURCE, kit)
    assert (chosen.engine, chosen.reason) == (engine, reason)
    assert chosen.version == ("1.22.0" if engine is Engine.GSTREAMER else "9.0.2")


def without(kit: Kit, what: str) -> Kit:
    if what == "GStreamer":
        return msgspec.structs.replace(kit, tools=Tools(ffmpeg="/ff", version="9.0.2"))
    if what == "encoder":
        return msgspec.structs.replace(kit, encoders=kit.encoders[:1])
    return msgspec.structs.replace(kit, muxers=[])


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ("GStreamer", "no GStreamer that works"),
        ("encoder", "x264enc does not work here"),
        ("muxer", "cannot put h264 into mp4"),
    ],
)
def test_what_a_node_lacks_is_said_and_a_named_engine_is_never_replaced(kit: Kit, lacks: str, says: str) -> None:
    less = without(kit, lacks)
    chosen = engines.choose(spec(queue=Queue.LIVE), SOURCE, less)
    assert chosen.engine is Engine.FFMPEG
    assert chosen.reason.startswith("auto: the live queue prefers GStreamer, but: ")
    assert says in chosen.reason
    with pytest.raises(TaskError, match=says) as caught:
        engines.choose(spec(requires=NAMED), SOURCE, less)
    assert caught.value.failure.code is Code.ENCODER_UNAVAILABLE


def with_video(**changes: object) -> Inspection:
    return msgspec.structs.replace(SOURCE, video=[msgspec.structs.replace(VIDEO, **changes)])


INTERLACED = with_video(interlaced_frames=5, looked_at=50)
HLG = with_video(pixel_format="yuv420p10le", bits=10, colour=Colour(transfer="arib-std-b67"))
SOUND = AudioStream(index=1, codec="aac", sample_rate=48000, channels=2, first_pts=0.0, end_pts=2.0)
MANY = msgspec.structs.replace(SOURCE, audio=[SOUND, msgspec.structs.replace(SOUND, index=2, language="eng")])
TEXT = SubtitleStream(index=3, codec="subrip", events=2)
PICTURE = Attachment(index=4, codec="png")
UNABLE = {
    "interlaced": (INTERLACED, {}, "does not deinterlace"),
    "interlaced, kept": (INTERLACED, {"deinterlace": Deinterlace.OFF}, "interlaced pictures as they are"),
    "deinterlace on": (SOURCE, {"deinterlace": Deinterlace.ON}, "deinterlace on is nothing that GStreamer does"),
    "hdr": (HLG, {}, "tone-maps HDR, and the input is HLG"),
    "hdr, tone-mapped": (HLG, {"hdr": Hdr.TONEMAP}, "tone-maps HDR"),
    "labels": (with_video(pixel_format="gbrp"), {}, "does not label colours anew"),
    "several tracks": (MANY, {"audio": Audio(tracks=Tracks(pick=Pick.ALL))}, "one audio track, not 2"),
    "named tracks": (MANY, {"audio": Audio(tracks=Tracks(pick=Pick.NAMED, named=[1, 2]))}, "makes one track, not 2"),
    "loudness": (MANY, {"audio": Audio(loudness=Loudness())}, "audio.loudness is not measured"),
    "subtitles": (msgspec.structs.replace(SOURCE, subtitles=[TEXT]), {}, "set subtitles to none"),
    "a cover": (msgspec.structs.replace(SOURCE, covers=[PICTURE]), {}, "no covers, and the input has 1"),
    "chapters": (msgspec.structs.replace(SOURCE, chapters=2), {}, "no chapters, and the input has 2"),
    "a font": (
        msgspec.structs.replace(SOURCE, attachments=[PICTURE]),
        {"container": Container.MKV},
        "no attached files, and the input has 1",
    ),
    "no metadata": (SOURCE, {"keep_metadata": False}, "metadata cannot be dropped"),
    "a format": (msgspec.structs.replace(SOURCE, container="mxf"), {}, "reads no mxf files"),
    "a decoder": (
        msgspec.structs.replace(SOURCE, video=[msgspec.structs.replace(VIDEO, codec="vc1")]),
        {},
        "no decoder here for vc1 video",
    ),
    "a jump": (msgspec.structs.replace(SOURCE, steady_until=3.0), {}, "clock that jumps"),
    "no times": (
        msgspec.structs.replace(SOURCE, video=[msgspec.structs.replace(VIDEO, first_pts=None, last_pts=None)]),
        {},
        "raw stream",
    ),
    "tilted": (
        msgspec.structs.replace(SOURCE, video=[msgspec.structs.replace(VIDEO, rotation=45)]),
        {},
        "not by 45 degrees",
    ),
    "a size": (SOURCE, {"rate": Rate(mode=RateMode.TWO_PASS, target_bytes=9000)}, "9000 bytes are not aimed at"),
    "a vmaf": (SOURCE, {"rate": Rate(mode=RateMode.CRF, target_vmaf=93.0)}, "93 is not searched for"),
    "a fraction": (SOURCE, {"rate": Rate(mode=RateMode.CRF, crf=21.5)}, "21.5 is not a whole number"),
}


@pytest.mark.parametrize(("source", "parts", "says"), UNABLE.values(), ids=UNABLE)
def test_what_gstreamer_cannot_do_is_said_with_what_can(
    kit: Kit, source: Inspection, parts: dict[str, object], says: str
) -> None:
    assert says in engines.choose(spec(queue=Queue.LIVE, **parts), source, kit).reason
    with pytest.raises(TaskError, match=says) as caught:
        engines.choose(spec(requires=NAMED, **parts), source, kit)
    assert caught.value.failure.code is Code.ENGINE_FAILED
    assert "engine ffmpeg" in caught.value.failure.message


def test_hardware_that_is_named_is_for_ffmpeg(kit: Kit) -> None:
    asked = {"hwaccel": Hwaccel.NVENC, "requires": Requires(hwaccel=Hwaccel.NVENC), "queue": Queue.LIVE}
    chosen = engines.choose(spec(**asked), SOURCE, kit)
    assert chosen.engine is Engine.FFMPEG
    assert "what the job asks of nvenc" in chosen.reason


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (msgspec.structs.replace(SOURCE, subtitles=[TEXT]), {"subtitles": Tracks(pick=Pick.NONE)}),
        (MANY, {"audio": Audio(tracks=Tracks(pick=Pick.NAMED, named=["eng"]))}),
        (MANY, {}),
        (msgspec.structs.replace(SOURCE, subtitles=[TEXT], chapters=2), {"container": Container.TS}),
    ],
)
def test_what_is_left_out_or_singled_out_is_no_hindrance(
    kit: Kit, source: Inspection, parts: dict[str, object]
) -> None:
    kit = msgspec.structs.replace(kit, muxers=[*kit.muxers, msgspec.structs.replace(MP4, container=Container.TS)])
    assert engines.choose(spec(requires=NAMED, **parts), source, kit).engine is Engine.GSTREAMER


TARGET = streaming.parse("rtmp://live.example/app/key", None)
NVENC = Encoder(
    name="h264_nvenc", codec=Codec.H264, engine=Engine.FFMPEG, works=True, hwaccel=Hwaccel.NVENC, devices=["0"]
)
CBR = Rate(mode=RateMode.BITRATE, bitrate_bps=2_000_000, max_bitrate_bps=2_000_000)


def streamed(**parts: object) -> Spec:
    return spec(**{"container": Container.FLV, "target": TARGET, "rate": CBR, **parts})


def test_a_stream_prefers_gstreamer_unless_a_gpu_encodes_it(kit: Kit) -> None:
    kit = msgspec.structs.replace(kit, muxers=[msgspec.structs.replace(MP4, container=Container.FLV)])
    chosen = engines.choose(streamed(), SOURCE, kit)
    assert (chosen.engine, chosen.reason) == (Engine.GSTREAMER, "auto: an RTMP output prefers GStreamer")
    cut = engines.choose(streamed(start=1.0), SOURCE, kit)
    assert cut.engine is Engine.FFMPEG
    assert "cannot be cut exactly by GStreamer" in cut.reason
    with_gpu = msgspec.structs.replace(kit, encoders=[*kit.encoders, NVENC])
    chosen = engines.choose(streamed(), SOURCE, with_gpu)
    assert chosen.engine is Engine.FFMPEG
    assert "h264_nvenc works here, and GStreamer's jobs are encoded in software" in chosen.reason
    assert engines.choose(streamed(hwaccel=Hwaccel.NONE), SOURCE, with_gpu).engine is Engine.GSTREAMER
    assert engines.choose(streamed(requires=NAMED), SOURCE, with_gpu).engine is Engine.GSTREAMER
    only = msgspec.structs.replace(kit, encoders=kit.encoders[1:])
    assert engines.choose(streamed(), SOURCE, only).engine is Engine.GSTREAMER
