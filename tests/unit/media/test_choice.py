"""Which encoder, on which GPU, and what comes after it."""

import msgspec
import pytest

from ffrtmp.domain import errors, hardware, node
from ffrtmp.domain.spec import (
    HARDWARE,
    Codec,
    Container,
    Engine,
    Hwaccel,
    Input,
    InputKind,
    PixelFormat,
    Rate,
    RateMode,
    Requires,
    Spec,
)
from ffrtmp.media import choice
from ffrtmp.media import hardware as table
from ffrtmp.media.inspection import VideoStream

SOFTWARE = [
    node.Encoder(name=one.name, codec=one.codec, engine=Engine.FFMPEG, works=True)
    for one in choice.ENCODERS
    if one.hwaccel is None
]
GPUS = [
    node.Encoder(
        name=one.name, codec=one.codec, engine=Engine.FFMPEG, works=True, hwaccel=one.hwaccel, devices=["0", "1"]
    )
    for one in table.ENCODERS
]
DECODERS = [
    node.Decoder(hwaccel=family, codec=codec, works=True, devices=["0"])
    for family in HARDWARE
    for codec in table.DECODABLE.values()
]
SOURCE = VideoStream(index=0, codec="h264", width=64, height=64, pixel_format="yuv420p", time_base="1/25", frames=25)


def spec(codec: Codec, **parts) -> Spec:
    return Spec(
        **{
            "input": Input(kind=InputKind.GENERATE),
            "codec": codec,
            "container": Container.MKV,
            "rate": Rate(mode=RateMode.CRF, crf=30),
            **parts,
        }
    )


def names(spec: Spec, source=SOURCE, **offer) -> list[str]:
    given = {"encoders": [*SOFTWARE, *GPUS], "decoders": DECODERS, **offer}
    return [one.name for one in choice.candidates(spec, source, choice.Offer(**given))]


@pytest.mark.parametrize("codec", Codec)
def test_the_first_software_encoder_that_works_is_chosen(codec):
    [one] = choice.candidates(spec(codec), None, choice.Offer(encoders=SOFTWARE))
    assert one.encoder.codec is codec
    gpu = "" if codec in (Codec.VP8, Codec.VP9) else "; no GPU here encodes it"
    assert one.why == f"best that works for {codec}{gpu}"


def test_the_next_one_is_taken_with_the_reason():
    offer = choice.Offer(encoders=[one for one in SOFTWARE if one.name == "libaom-av1"])
    [one] = choice.candidates(spec(Codec.AV1), None, offer)
    assert one.name == "libaom-av1"
    assert one.why == "best that works for av1; no GPU here encodes it, libsvtav1 does not work here"


def test_a_gpu_is_preferred_and_what_is_safer_comes_after():
    assert names(spec(Codec.H264)) == ["h264_nvenc on 0, which decodes too", "h264_nvenc on 0", "libx264"]
    assert names(spec(Codec.H265), None) == ["hevc_nvenc on 0", "libx265"]
    one = choice.candidates(spec(Codec.H264), None, choice.Offer(encoders=[*SOFTWARE, *GPUS]))[-1]
    assert one.why == "best that works for h264; h264_nvenc failed"


def test_the_gpu_with_the_least_to_do_is_taken():
    assert names(spec(Codec.H264), load={"0": 2, "1": 1}) == ["h264_nvenc on 1", "libx264"]


def test_without_a_free_session_it_is_software():
    offer = choice.Offer(encoders=[*SOFTWARE, *GPUS], full=True)
    [one] = choice.candidates(spec(Codec.AV1), None, offer)
    assert one.name == "libsvtav1"
    assert "av1_nvenc: all of this node's GPU sessions are in use" in one.why


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"rate": Rate(mode=RateMode.TWO_PASS, bitrate_bps=1)}, "nvenc has no two passes"),
        ({"tune": "film"}, "nvenc has no tune film"),
        ({"profile": "high10"}, "nvenc has no profile high10 of h264"),
        ({"pixel_format": PixelFormat.YUV422P}, "nvenc does not take yuv422p for h264"),
    ],
)
def test_what_no_gpu_can_do_software_does(parts, why):
    [one] = choice.candidates(spec(Codec.H264, **parts), None, choice.Offer(encoders=[*SOFTWARE, *GPUS]))
    assert one.name == "libx264"
    assert why in one.why


def test_a_source_that_a_gpu_does_not_decode_is_decoded_in_software():
    deep = msgspec.structs.replace(SOURCE, pixel_format="yuv422p")
    assert names(spec(Codec.H264, pixel_format=PixelFormat.YUV420P), deep) == ["h264_nvenc on 0", "libx264"]
    assert names(spec(Codec.H264), msgspec.structs.replace(SOURCE, codec="mpeg4")) == ["h264_nvenc on 0", "libx264"]


def test_what_was_named_is_never_replaced():
    qsv = spec(Codec.H264, hwaccel=Hwaccel.QSV, requires=Requires(hwaccel=Hwaccel.QSV))
    assert names(qsv) == ["h264_qsv on 0, which decodes too", "h264_qsv on 0"]
    assert names(spec(Codec.H264, hwaccel=Hwaccel.NONE)) == ["libx264"]
    named = spec(Codec.AV1, requires=Requires(encoder="libaom-av1"))
    assert names(named) == ["libaom-av1"]
    with pytest.raises(errors.TaskError, match="of libaom-av1: libaom-av1 does not work here"):
        names(named, encoders=GPUS)
    with pytest.raises(errors.TaskError, match="h264_qsv does not work here"):
        names(qsv, encoders=SOFTWARE)
    with pytest.raises(errors.TaskError, match="there is none for it"):
        names(spec(Codec.AV1, requires=Requires(encoder="libx264")))


def test_without_any_encoder_it_is_told_what_was_tried():
    with pytest.raises(errors.TaskError, match="libsvtav1 does not work here; libaom-av1 does not") as caught:
        names(spec(Codec.AV1), encoders=[])
    assert caught.value.failure.code is errors.Code.ENCODER_UNAVAILABLE


def test_what_a_family_has_is_what_ffmpeg_is_told():
    for encoder in table.ENCODERS:
        assert encoder.hwaccel is not None
        rules = hardware.RULES[encoder.hwaccel, encoder.codec]
        assert set(encoder.profiles or ()) == rules.profiles
        assert set(encoder.tunes or ()) == rules.tunes
        assert set(encoder.pixel_formats or ()) == rules.pixel_formats
