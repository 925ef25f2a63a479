import pytest

from ffrtmp.domain import codecs as rules
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


def test_a_buffer_is_no_larger_than_ffmpeg_takes() -> None:
    """x264 ended with "Error setting option bufsize to value 3000000000"."""
    assert codecs.cap(1_500_000_000) == ["-maxrate", "1500000000", "-bufsize", "2147483647"]
