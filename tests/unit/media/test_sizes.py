"""A size becomes a bitrate, and what came out becomes the next one. No ffmpeg."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.media.command_lines import SOUND, SOURCE, VIDEO, changed, spec

from ffrtmp.domain import errors
from ffrtmp.domain.errors import Code
from ffrtmp.domain.job import Pass
from ffrtmp.domain.spec import Audio, AudioCodec, Codec, Container, Input, InputKind, Rate, RateMode
from ffrtmp.media import sizes

SILENT = Audio(codec=AudioCodec.NONE)


def aimed(target: int, **parts):
    return spec(
        rate=Rate(mode=RateMode.TWO_PASS, target_bytes=target, max_bitrate_bps=parts.pop("most", None)), **parts
    )


def test_what_is_beside_the_picture_is_taken_off():
    fit = sizes.plan(aimed(1_000_000, audio=Audio(codec=AudioCodec.AAC, bitrate_bps=128_000)), SOURCE)
    sound, overhead = 128_000 * 5.28 / 8, 1500 + 11 * (132 + 264)
    assert fit.beside_bytes == pytest.approx(sound + overhead, abs=1)
    assert fit.seconds == 5.28
    [one] = fit.encodes
    assert one.bitrate_bps == pytest.approx((985_000 - fit.beside_bytes) * 8 / 5.28, abs=2)
    assert sizes.rate(aimed(1_000_000).rate, fit).bitrate_bps == one.bitrate_bps


def test_copied_sound_counts_with_its_packets():
    source = changed(SOURCE, audio=[changed(SOUND, size_bytes=80_000)])
    assert sizes.plan(aimed(1_000_000), source).beside_bytes == 80_000 + 1500 + 11 * (132 + 249)


def test_a_part_a_generated_clip_and_a_cap():
    fit = sizes.plan(aimed(1_000_000, input=Input(kind=InputKind.GENERATE), duration=4.0, audio=SILENT), None)
    assert fit.encodes[0].bitrate_bps == pytest.approx(1_965_000, rel=0.01)
    fit = sizes.plan(aimed(1_000_000, audio=SILENT, most=300_000), SOURCE)
    assert fit.encodes[0].bitrate_bps == 300_000


def test_mpegts_takes_more():
    in_ts, in_mp4 = (
        sizes.plan(aimed(1_000_000, container=container), SOURCE).beside_bytes
        for container in (Container.TS, Container.MP4)
    )
    assert in_ts > in_mp4 + 132 * 60


def test_a_raw_stream_has_no_duration():
    raw = changed(
        SOURCE, duration_seconds=None, audio=[], video=[changed(VIDEO, first_pts=None, last_pts=None, frames=0)]
    )
    with pytest.raises(errors.TaskError, match="needs the duration of the input") as raised:
        sizes.plan(aimed(1_000_000), raw)
    assert raised.value.failure.code is Code.RATE_UNREACHABLE


@given(target=st.integers(1_000, 400_000), container=st.sampled_from([Container.MP4, Container.MKV, Container.TS]))
def test_the_size_that_is_said_to_do_does(target, container):
    asked = aimed(target, container=container, audio=Audio(codec=AudioCodec.AAC, bitrate_bps=96_000))
    try:
        assert sizes.plan(asked, SOURCE).encodes[0].bitrate_bps > 0
    except errors.TaskError as error:
        able = int(error.failure.message.split("b/s; ")[1].split(" bytes")[0])
        assert able > target
        assert sizes.plan(aimed(able, container=container, audio=asked.audio), SOURCE).encodes[0].bitrate_bps > 0


@given(factor=st.floats(1.03, 3), target=st.integers(100_000, 10_000_000))
def test_an_encoder_that_is_off_by_a_factor_is_brought_back(factor, target):
    """The same factor again lands below the target."""
    fit = sizes.plan(aimed(target, audio=SILENT), SOURCE)

    def came_out(asked_bps: int) -> int:
        return round(asked_bps * factor * fit.seconds / 8) + fit.beside_bytes

    first = sizes.judged(fit, came_out(fit.encodes[0].bitrate_bps))
    second = sizes.corrected(first)
    assert len(second.encodes) == 2
    assert 0.97 * target < came_out(second.encodes[1].bitrate_bps) <= target
    third = sizes.corrected(sizes.judged(second, target + 1))
    with pytest.raises(errors.TaskError) as raised:
        sizes.corrected(sizes.judged(third, target + 1))
    assert f"the output has {target + 1} bytes at " in raised.value.failure.message


def test_an_encoder_that_does_not_answer_in_proportion_is_met_by_the_third():
    """As 1 s by x264 came out: 104649 bytes at 704960 b/s, 100058 at 658977."""
    fit = sizes.plan(aimed(100_000, audio=SILENT), SOURCE)

    def came_out(asked_bps: int) -> int:
        return round(104_649 - 0.0998 * (704_960 - asked_bps))

    first = msgspec.structs.replace(fit, beside_bytes=10_380, encodes=[Pass(bitrate_bps=704_960, size_bytes=104_649)])
    second = sizes.corrected(first)
    over = came_out(second.encodes[-1].bitrate_bps)
    assert over > 100_000
    third = sizes.corrected(sizes.judged(second, over))
    assert 0.98 * 100_000 < came_out(third.encodes[-1].bitrate_bps) <= 100_000


def test_one_that_does_not_answer_at_all_is_told():
    fit = sizes.judged(sizes.plan(aimed(100_000, audio=SILENT), SOURCE), 120_000)
    with pytest.raises(errors.TaskError, match="120000 bytes"):
        sizes.corrected(sizes.judged(sizes.corrected(fit), 120_000))


@pytest.mark.parametrize(("codec", "most"), [(Codec.AV1, 100_000_000), (Codec.H264, 1_000_000_000)])
def test_a_size_beyond_all_use_is_not_filled(codec, most):
    [one] = sizes.plan(aimed(10**12, codec=codec, audio=SILENT), SOURCE).encodes
    assert one.bitrate_bps == most
