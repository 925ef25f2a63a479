"""Whole command lines of gst-launch-1.0. $RUN, $READ, $IN, $OUT, $MADE stand for what each has; all are spelt out below."""

from pathlib import Path

import pytest
from tests.unit.media.command_lines import GENERATE, SOURCE, VIDEO, changed, spec

from ffrtmp.domain import errors
from ffrtmp.domain.spec import (
    Audio,
    AudioCodec,
    Codec,
    Container,
    Limits,
    PixelFormat,
    Preset,
    Rate,
    RateMode,
)
from ffrtmp.domain.units import Resolution
from ffrtmp.media import gst_probe, gstreamer
from ffrtmp.media.tools import Tools

QUEUE = "queue max-size-buffers=0 max-size-time=0 max-size-bytes=67108864"
PARTS = {
    "$RUN": "/gst -q -f",
    "$READ": f"filesrc location=source ! qtdemux name=in in.video_0 ! {QUEUE} ! h264parse ! avdec_h264",
    "$IN": "! progressreport name=frames-in-1 update-freq=1 do-query=false format=buffers",
    "$OUT": "! progressreport name=frames-out-1 update-freq=1 do-query=false format=buffers ! out.",
    "$COPY": f"in.audio_0 ! {QUEUE} ! aacparse ! queue ! out.",
    "$HEAR": f"in.audio_0 ! {QUEUE} ! aacparse ! avdec_aac ! audioconvert ! audioresample",
    "$MADE": "name=out ! filesink location=made",
    "$STEADY": "! videorate skip-to-first=true ! video/x-raw,framerate=25/1 ! videoconvert",
    "$MP4": "mp4mux faststart=true faststart-file=faststart name=out ! filesink location=made",
}
CBR = Rate(mode=RateMode.BITRATE, bitrate_bps=2_000_000, max_bitrate_bps=2_000_000)
CAPPED = Rate(mode=RateMode.CRF, crf=21.5, max_bitrate_bps=3_000_000)

#: name → (spec, encoder, threads, source, the command line)
ONE_PASS = {
    "h264 in mp4": (
        spec(),
        "x264enc",
        None,
        SOURCE,
        "$RUN $READ $STEADY ! video/x-raw,format=I420 $IN ! x264enc speed-preset=medium pass=qual quantizer=23"
        " vbv-buf-capacity=0 key-int-max=250 ! h264parse $OUT $COPY $MP4",
    ),
    "h265 in mp4 with threads": (
        spec(codec=Codec.H265, rate=CAPPED, preset=Preset.SLOW, tune="grain", profile="main10"),
        "x265enc",
        3,
        SOURCE,
        "$RUN $READ max-threads=3 $STEADY ! video/x-raw,format=I420_10LE $IN"
        " ! x265enc speed-preset=slow tune=grain key-int-max=250"
        " option-string=crf=21.5:vbv-maxrate=3000:vbv-bufsize=6000:pools=3 ! video/x-h265,profile=main-10 ! h265parse"
        " ! video/x-h265,stream-format=hvc1 $OUT $COPY $MP4",
    ),
    "h264 by bitrate in ts": (
        spec(
            container=Container.TS,
            rate=CBR,
            gop_seconds=2.0,
            pixel_format=PixelFormat.YUV422P,
            profile="high422",
        ),
        "x264enc",
        2,
        SOURCE,
        "$RUN $READ max-threads=2 $STEADY ! video/x-raw,format=Y42B $IN ! x264enc speed-preset=medium pass=cbr bitrate=2000"
        " vbv-buf-capacity=2000 key-int-max=50 threads=2 ! h264parse $OUT $COPY mpegtsmux $MADE",
    ),
    "vp8 by crf in webm": (
        spec(codec=Codec.VP8, container=Container.WEBM, rate=Rate(mode=RateMode.CRF, crf=10.0)),
        "vp8enc",
        None,
        SOURCE,
        "$RUN $READ $STEADY ! video/x-raw,format=I420 $IN ! vp8enc deadline=1000000 cpu-used=3 end-usage=vbr"
        " target-bitrate=100000000 min-quantizer=10 max-quantizer=10 keyframe-max-dist=250 $OUT $HEAR"
        " ! audio/x-raw,channels=2 ! opusenc bitrate=96000 ! opusparse ! queue ! out. webmmux $MADE",
    ),
    "vp9 by capped crf at another rate": (
        spec(
            codec=Codec.VP9,
            container=Container.MKV,
            rate=Rate(mode=RateMode.CRF, crf=32.0, max_bitrate_bps=1_000_000),
            preset=Preset.ULTRAFAST,
            fps="30000/1001",
        ),
        "vp9enc",
        2,
        SOURCE,
        "$RUN $READ max-threads=2 ! videorate skip-to-first=true ! video/x-raw,framerate=30000/1001 ! videoconvert"
        " ! video/x-raw,format=I420 $IN ! vp9enc deadline=1 cpu-used=8 end-usage=cq cq-level=32 target-bitrate=1000000"
        " row-mt=true lag-in-frames=0 keyframe-max-dist=250 threads=2 ! vp9parse $OUT $COPY matroskamux $MADE",
    ),
    "av1 by crf, smaller": (
        spec(codec=Codec.AV1, rate=Rate(mode=RateMode.CRF, crf=35.0), resolution=Resolution(None, 360)),
        "av1enc",
        None,
        SOURCE,
        "$RUN $READ ! videoscale method=catrom add-borders=false $STEADY"
        " ! video/x-raw,format=I420,colorimetry=bt709,width=640,height=360,pixel-aspect-ratio=1/1"
        " $IN ! av1enc cpu-used=5 end-usage=q"
        " min-quantizer=35 max-quantizer=35 keyframe-max-dist=250 ! av1parse $OUT $COPY $MP4",
    ),
    "av1 by SVT, silent": (
        spec(codec=Codec.AV1, rate=Rate(mode=RateMode.CRF, crf=35.0), audio=Audio(codec=AudioCodec.NONE)),
        "svtav1enc",
        2,
        SOURCE,
        "$RUN $READ max-threads=2 $STEADY ! video/x-raw,format=I420 $IN ! svtav1enc preset=8 crf=35"
        " intra-period-length=249 logical-processors=2 ! av1parse $OUT $MP4",
    ),
    "generated, with surround sound": (
        spec(
            **GENERATE,
            duration=2.0,
            resolution=Resolution(192, 108),
            audio=Audio(codec=AudioCodec.OPUS, channels=6),
            container=Container.MKV,
        ),
        "x264enc",
        None,
        None,
        "$RUN videotestsrc num-buffers=60 horizontal-speed=2 ! video/x-raw,format=I420,width=192,height=108,framerate=30/1"
        " $IN ! x264enc speed-preset=medium pass=qual quantizer=23 vbv-buf-capacity=0 key-int-max=250 ! h264parse $OUT"
        " audiotestsrc num-buffers=200 samplesperbuffer=480 freq=440 ! audio/x-raw,rate=48000 ! audioconvert"
        " ! audioresample ! audio/x-raw,channels=6,channel-mask=(bitmask)0x3f ! opusenc bitrate=288000 ! opusparse"
        " ! queue ! out. matroskamux $MADE",
    ),
    "turned, odd, of variable rate, in ts": (
        spec(audio=Audio(codec=AudioCodec.AAC, channels=1, bitrate_bps=64_000)),
        "x264enc",
        None,
        changed(
            SOURCE,
            container="mpegts",
            video=[changed(VIDEO, rotation=90, width=641, height=361, constant_rate=False)],
        ),
        f"$RUN filesrc location=source ! tsdemux name=in in. ! video/x-h264 ! {QUEUE} ! h264parse ! avdec_h264"
        " ! videoflip video-direction=auto ! videocrop right=1 bottom=1 ! videoconvert"
        " ! video/x-raw,format=I420,colorimetry=bt601 $IN"
        " ! x264enc speed-preset=medium pass=qual quantizer=23 vbv-buf-capacity=0 key-int-max=250 ! h264parse $OUT"
        f" in. ! audio/mpeg ! {QUEUE} ! aacparse ! avdec_aac ! audioconvert ! audioresample ! audio/x-raw,channels=1"
        " ! avenc_aac bitrate=64000 ! aacparse ! queue ! out. $MP4",
    ),
}


def whole(text: str) -> list[str]:
    for name, part in PARTS.items():
        text = text.replace(name, part)
    return text.split()


def built(spec, source=SOURCE, *, encoder="x264enc", threads=None):
    return gstreamer.build(
        spec,
        source,
        tools=Tools(ffmpeg="/ff", gst_launch="/gst", gst_version="1.22.0"),
        input_path=Path("/in/in.mp4") if source else None,
        output_path=Path("/out/.stage"),
        scratch=Path("/scratch"),
        encoder=encoder,
        threads=threads,
    )


@pytest.mark.parametrize(("spec", "encoder", "threads", "source", "line"), ONE_PASS.values(), ids=ONE_PASS)
def test_one_pass(spec, encoder, threads, source, line):
    [command] = built(spec, source, encoder=encoder, threads=threads)
    assert list(command.argv) == whole(line)


#: codec → (encoder, what the first pass is told, the second)
TWO_PASSES = {
    Codec.H264: (
        "x264enc",
        "speed-preset=medium pass=pass1 bitrate=2000 vbv-buf-capacity=0 multipass-cache-file=passes key-int-max=250",
        "speed-preset=medium pass=pass2 bitrate=2000 vbv-buf-capacity=0 multipass-cache-file=passes key-int-max=250"
        " ! h264parse",
    ),
    Codec.H265: (
        "x265enc",
        "speed-preset=medium bitrate=2000 key-int-max=250 option-string=pass=1:stats=passes",
        "speed-preset=medium bitrate=2000 key-int-max=250 option-string=pass=2:stats=passes ! h265parse",
    ),
    Codec.VP9: (
        "vp9enc",
        "deadline=1000000 cpu-used=3 end-usage=vbr target-bitrate=2000000 multipass-mode=first-pass"
        " multipass-cache-file=passes row-mt=true lag-in-frames=0 keyframe-max-dist=250",
        "deadline=1000000 cpu-used=3 end-usage=vbr target-bitrate=2000000 multipass-mode=last-pass"
        " multipass-cache-file=passes row-mt=true lag-in-frames=0 keyframe-max-dist=250 ! vp9parse",
    ),
}


@pytest.mark.parametrize(("codec", "parts"), TWO_PASSES.items())
def test_two_passes(codec, parts):
    encoder, first, second = parts
    rate = Rate(mode=RateMode.TWO_PASS, bitrate_bps=2_000_000)
    one, two = built(spec(codec=codec, container=Container.MKV, rate=rate), encoder=encoder)
    begin = "$RUN $READ $STEADY ! video/x-raw,format=I420"
    assert list(one.argv) == whole(f"{begin} $IN ! {encoder} {first} ! fakesink sync=false")
    assert " ".join(two.argv) == " ".join(
        whole(f"{begin} $IN ! {encoder} {second} $OUT $COPY matroskamux $MADE")
    ).replace("frames-in-1", "frames-in-2").replace("frames-out-1", "frames-out-2")
    assert (one.name, two.name) == ("gstreamer pass 1", "gstreamer pass 2")


def test_limits_and_places():
    limits = Limits(timeout_seconds=60.0, max_disk_bytes=1000, max_cpu_percent=150, max_memory_bytes=5000)
    [command] = built(spec(limits=limits))
    assert (command.limits.cpu_percent, command.limits.memory_bytes) == (150, 5000)
    assert (command.limits.wall_seconds, command.limits.disk_bytes, command.limits.stall_seconds) == (60.0, 1000, 120.0)
    assert command.cwd == Path("/scratch")
    assert command.reads == (Path("/in/in.mp4"),)
    assert gstreamer.links(Path("/scratch"), Path("/in/in.mp4"), Path("/out/.stage")) == {
        Path("/scratch/source"): Path("/in/in.mp4"),
        Path("/scratch/made"): Path("/out/.stage"),
    }
    assert list(gstreamer.links(Path("/scratch"), None, Path("/out/.stage"))) == [Path("/scratch/made")]


def test_the_second_audio_stream_is_reached_where_pads_have_names():
    second = changed(SOURCE.audio[0], index=2, default=True)
    source = changed(SOURCE, audio=[SOURCE.audio[0], second])
    [command] = built(spec(), source)
    assert "in.audio_1" in command.argv
    with pytest.raises(errors.TaskError, match="only the first audio stream of tsdemux, not stream 2"):
        built(spec(container=Container.TS), changed(source, container="mpegts"))


def test_probes():
    tools = Tools(ffmpeg="/ff", gst_launch="/gst", gst_version="1.22.0")
    probes = {one.name: " ".join(one.command.argv) for one in gst_probe.encoders(tools)}
    assert probes["x264enc"] == (
        "/gst -q -f videotestsrc num-buffers=4 ! video/x-raw,format=I420,width=256,height=256,framerate=25/1"
        " ! x264enc speed-preset=ultrafast pass=cbr bitrate=500 vbv-buf-capacity=0 key-int-max=25 ! fakesink"
    )
    for name in ("nvh264enc", "nvh265enc", "qsvh264enc", "qsvh265enc", "vah264enc", "vah265enc", "vaav1enc"):
        assert probes[name] == (
            "/gst -q -f videotestsrc num-buffers=4 ! video/x-raw,format=NV12,width=256,height=256,framerate=25/1"
            f" ! {name} ! fakesink"
        )
