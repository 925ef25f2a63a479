"""Each profile and pixel format that a submission may name is really encoded, and comes out as it was named."""

import json
from pathlib import Path

import pytest

from ffrtmp.domain import codecs as rules
from ffrtmp.domain import errors
from ffrtmp.domain.spec import Codec, Hdr, PixelFormat
from ffrtmp.media import codecs, ffmpeg, inspection
from ffrtmp.planning import resolve
from ffrtmp.process import run
from ffrtmp.protocol import bodies


@pytest.mark.parametrize("codec", Codec)
async def test_what_is_taken_is_encoded(codec: Codec, found_tools, look, tmp_path: Path) -> None:
    encoder = next(one.name for one in codecs.ENCODERS if one.codec is codec)
    encoded = 0
    for profile in (None, *sorted(rules.RULES[codec].profiles)):
        for pixels in (None, *PixelFormat):
            wanted = {"profile": profile, "pixel_format": pixels}
            named = {field: value for field, value in wanted.items() if value is not None}
            size = {"duration": 0.1, "resolution": "64x64", "preset": "ultrafast", "audio": "none"}
            body = {"parameters": {"codec": codec, **size, **named}}
            try:
                spec = resolve.resolve(bodies.parse(bodies.SubmitBody, json.dumps(body).encode()))
            except errors.InvalidInput:
                continue
            made = tmp_path / "made"
            [command] = ffmpeg.build(
                spec,
                None,
                tools=found_tools,
                input_path=None,
                output_path=made,
                scratch=tmp_path,
                encoder=encoder,
                threads=1,
            )
            outcome = await run.to_end(command)
            assert outcome.ok, f"{named}: {outcome.log}"
            [video] = (await look(made)).video
            assert video.pixel_format.replace("yuvj", "yuv") == (pixels or codecs.pixel_format(spec, 8)), named
            encoded += 1
    assert encoded >= 1 + len(rules.RULES[codec].profiles)


async def test_ten_bits_in_422_keep_hdr(transcode, sources) -> None:
    for asked, codec in ((PixelFormat.YUV422P10, Codec.H265), (PixelFormat.YUV444P10, Codec.VP9)):
        made = await transcode(sources("hdr10.mkv"), codec=codec, pixel_format=asked, hdr=Hdr.KEEP)
        assert made.verdict.problems == []
        [video] = made.found.video
        assert (video.pixel_format, video.colour.hdr) == (asked, "PQ")
        assert isinstance(video.mastering, inspection.Mastering)


async def test_ten_bits_are_kept_by_a_profile_that_has_them(transcode, sources) -> None:
    made = await transcode(sources("deep.mkv"), codec=Codec.H265, profile="main422-10")
    assert made.verdict.problems == []
    assert made.found.video[0].pixel_format == "yuv422p10le"
