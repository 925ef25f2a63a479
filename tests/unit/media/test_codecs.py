import pytest

from ffrtmp.domain import codecs as rules
from ffrtmp.domain import errors
from ffrtmp.domain.spec import (
    CONTAINER_AUDIO,
    AudioCodec,
    Codec,
    Container,
    Input,
    InputKind,
    PixelFormat,
    Preset,
    Rate,
    RateMode,
    Requires,
    Spec,
)
from ffrtmp.media import audio, codecs

ALL = [encoder.name for encoder in codecs.ENCODERS]


def spec(codec: Codec, **parts) -> Spec:
    return Spec(
        input=Input(kind=InputKind.GENERATE),
        codec=codec,
        container=Container.MKV,
        rate=Rate(mode=RateMode.CRF, crf=30),
        **parts,
    )


def test_every_codec_has_an_encoder_and_every_container_its_names():
    assert {encoder.codec for encoder in codecs.ENCODERS} == set(Codec)
    assert set(codecs.MUXERS) == set(codecs.DEMUXERS) == set(audio.COPYABLE) == set(audio.USUAL) == set(Container)
    for container, usual in audio.USUAL.items():
        assert usual in CONTAINER_AUDIO[container]


@pytest.mark.parametrize("encoder", codecs.ENCODERS, ids=ALL)
@pytest.mark.parametrize("two_pass", [False, True])
def test_slower_presets_are_never_faster(encoder, two_pass):
    made = [encoder.preset(preset, two_pass) for preset in Preset]
    assert all(made)
    if encoder.preset(Preset.MEDIUM, False) == ["-preset", "medium"]:
        return
    speeds = [
        int(arguments[arguments.index("-cpu-used" if "-cpu-used" in arguments else "-preset") + 1])
        for arguments in made
    ]
    assert speeds == sorted(speeds, reverse=True)


@pytest.mark.parametrize("codec", Codec)
def test_the_first_encoder_that_works_is_chosen(codec):
    name, reason = codecs.choose(spec(codec), ALL)
    assert codecs.BY_NAME[name].codec is codec
    assert reason == f"best that works for {codec}"


def test_the_next_one_is_taken_with_the_reason():
    name, reason = codecs.choose(spec(Codec.AV1), ["libx264", "libaom-av1"])
    assert name == "libaom-av1"
    assert reason == "best that works for av1 (libsvtav1 does not work here)"


def test_a_named_encoder_is_never_replaced():
    named = spec(Codec.AV1, requires=Requires(encoder="libaom-av1"))
    assert codecs.choose(named, ALL) == ("libaom-av1", "named by the job")
    with pytest.raises(errors.TaskError, match="requires the encoder libaom-av1"):
        codecs.choose(named, ["libsvtav1"])
    with pytest.raises(errors.TaskError, match="libx264"):
        codecs.choose(spec(Codec.AV1, requires=Requires(encoder="libx264")), ALL)


def test_without_any_encoder_it_is_told_what_was_tried():
    with pytest.raises(errors.TaskError, match="tried libsvtav1, libaom-av1") as caught:
        codecs.choose(spec(Codec.AV1), ["libx264"])
    assert caught.value.failure.code is errors.Code.ENCODER_UNAVAILABLE


@pytest.mark.parametrize(
    ("codec", "bits", "parts", "made"),
    [
        (Codec.H264, 8, {}, PixelFormat.YUV420P),
        (Codec.H264, 10, {}, PixelFormat.YUV420P),
        (Codec.H265, 10, {}, PixelFormat.YUV420P10),
        (Codec.VP9, 10, {}, PixelFormat.YUV420P10),
        (Codec.AV1, 12, {"profile": "main"}, PixelFormat.YUV420P10),
        (Codec.VP8, 10, {}, PixelFormat.YUV420P),
        (Codec.H265, 10, {"profile": "main"}, PixelFormat.YUV420P),
        (Codec.H265, 8, {"profile": "main10"}, PixelFormat.YUV420P10),
        (Codec.H265, 8, {"profile": "main444-8"}, PixelFormat.YUV444P),
        (Codec.VP9, 8, {"profile": "1"}, PixelFormat.YUV422P),
        (Codec.VP9, 8, {"profile": "2"}, PixelFormat.YUV420P10),
        (Codec.H264, 8, {"profile": "high422", "pixel_format": PixelFormat.YUV422P}, PixelFormat.YUV422P),
    ],
)
def test_the_pixel_format_follows_the_profile_and_the_source(codec, bits, parts, made):
    assert codecs.pixel_format(spec(codec, **parts), bits) is made


def test_every_profile_carries_a_pixel_format_of_its_codec():
    for codec, rule in rules.RULES.items():
        for profile in rule.profiles:
            assert codecs.pixel_format(spec(codec, profile=profile), 8) in rule.pixel_formats


def test_audio_codecs_that_are_encoded_can_be_named():
    assert {AudioCodec.AAC.value, AudioCodec.OPUS.value} <= audio.COPYABLE[Container.MP4]
