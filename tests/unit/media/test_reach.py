"""What encoders cannot reach, and files whose times are in no order."""

from pathlib import Path

import pytest
from tests.unit.media.command_lines import SOURCE, VIDEO, changed, spec

from ffrtmp.domain import errors, node
from ffrtmp.domain.spec import Codec, Container, Engine, Rate, RateMode, Requires
from ffrtmp.media import choice, codecs, ffmpeg, reach, tools, verify
from ffrtmp.media.measure import Order

_OFFER = choice.Offer(
    encoders=[node.Encoder(name=one.name, codec=one.codec, engine=Engine.FFMPEG, works=True) for one in codecs.ENCODERS]
)
_FAST = changed(VIDEO, rate="1000", constant_rate=True)
_AV1 = spec(codec=Codec.AV1, container=Container.MKV)


def test_an_encoder_that_cannot_is_followed_by_one_that_can() -> None:
    [one] = choice.candidates(_AV1, _FAST, _OFFER)
    assert one.encoder.name == "libaom-av1"
    assert "libsvtav1 takes at most 240 frames per second, not 1000" in one.why


def test_what_no_encoder_reaches_is_refused_over_the_source() -> None:
    named = changed(_AV1, requires=Requires(encoder="libsvtav1"))
    with pytest.raises(errors.TaskError, match="not 1000: set fps") as caught:
        choice.candidates(named, _FAST, _OFFER)
    assert caught.value.failure.code is errors.Code.STREAM_UNSUITABLE


@pytest.mark.parametrize(
    ("rate", "size", "why"),
    [
        (Rate(mode=RateMode.BITRATE, bitrate_bps=100_000), (64, 48), "needs 64 pixels each way to aim at a bitrate"),
        (Rate(mode=RateMode.TWO_PASS, target_bytes=100_000), (64, 48), "set resolution to 64x64"),
        (Rate(mode=RateMode.CRF, crf=30.0), (64, 48), None),
        (Rate(mode=RateMode.BITRATE, bitrate_bps=200_000_000), (640, 360), "takes at most 100 Mb/s, not 200"),
        (Rate(mode=RateMode.CRF, crf=30.0, max_bitrate_bps=150_000_000), (640, 360), "not 150"),
        (Rate(mode=RateMode.BITRATE, bitrate_bps=100_000_000), (640, 360), None),
    ],
)
def test_what_svt_does_not_do_libaom_does(rate, size, why) -> None:
    """SVT-AV1 of FFmpeg 9.0.2 ends with "bad parameter"."""
    small = changed(VIDEO, width=size[0], height=size[1])
    [one] = choice.candidates(changed(_AV1, rate=rate), small, _OFFER)
    assert one.encoder.name == ("libsvtav1" if why is None else "libaom-av1")
    assert why is None or why in one.why


def test_the_rate_counts_only_where_frames_come_steadily() -> None:
    assert reach.beyond("libsvtav1", _AV1, changed(_FAST, constant_rate=False)) == ""
    assert reach.beyond("libsvtav1", changed(_AV1, fps="300"), VIDEO) != ""


def test_frames_that_do_not_come_after_the_one_before_are_counted() -> None:
    order = Order()
    for pts in (0, 3, 2, None, 4, 4):
        order.add(pts)
    assert order.broken == 2
    order.begin()
    order.add(0)
    assert order.broken == 2


def _disordered_command(**parts: object) -> tuple[str, ...]:
    video = changed(VIDEO, disordered=3, rate="30", first_pts=0.5)
    source = changed(SOURCE, video=[video])
    [command] = ffmpeg.build(
        spec(**parts),
        source,
        tools=tools.Tools(ffmpeg="/ff"),
        input_path=Path("/in"),
        output_path=Path("/out"),
        scratch=Path("/scratch"),
        encoder="libx264",
    )
    return command.argv


def test_pictures_whose_times_are_in_no_order_are_numbered() -> None:
    argv = _disordered_command()
    filters = argv[argv.index("-filter:v") + 1]
    assert filters.startswith("setpts=(0.5+N*1/30)/TB")
    assert argv[argv.index("-enc_time_base:v") + 1] == "1/30"
    expected = verify.expect(spec(), changed(SOURCE, video=[changed(VIDEO, disordered=3, rate="30")]))
    assert expected.steady == "30"
    assert any(note.startswith("times: ") for note in expected.notes)


def test_an_output_whose_frames_are_in_no_order_does_not_pass() -> None:
    found = changed(SOURCE, video=[changed(VIDEO, disordered=2)], decoded=True)
    verdict = verify.judge(verify.expect(spec(), SOURCE), spec(), found)
    assert "2 frames do not come after the one before" in verdict.problems
