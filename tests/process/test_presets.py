"""Each preset that comes along makes a file that is what it says; in a small picture, quickly."""

import json

import msgspec
import pytest

from ffrtmp.domain.spec import Preset
from ffrtmp.domain.units import Resolution
from ffrtmp.planning import library, resolve
from ffrtmp.protocol import bodies


@pytest.mark.parametrize("name", library.shipped().names)
async def test_a_preset_makes_what_it_says(transcode, sources, name):
    path = sources("bframes.mp4")
    body = json.dumps({"scenario": name, "parameters": {"input": str(path)}}).encode()
    spec = resolve.resolve(bodies.parse(bodies.SubmitBody, body), library.shipped())
    small = msgspec.structs.replace(spec, resolution=spec.resolution and Resolution(None, 90), preset=Preset.ULTRAFAST)
    made = await transcode(path, **{field: getattr(small, field) for field in small.__struct_fields__})
    assert made.verdict.passed, made.verdict.problems
    assert made.found.main_video.codec == {"h265": "hevc"}.get(spec.codec, spec.codec)
    assert made.found.main_audio is not None
