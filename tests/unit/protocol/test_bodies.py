import pytest

from ffrtmp.domain import errors
from ffrtmp.protocol import bodies


def _faults(raw: bytes) -> list[tuple[str, str]]:
    with pytest.raises(errors.InvalidInput) as raised:
        bodies.parse(bodies.SubmitBody, raw)
    return [(fault.path, fault.code) for fault in raised.value.faults]


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", ("", "invalid_value")),
        (b"{", ("", "invalid_json")),
        (b"[]", ("", "invalid_value")),
        (b'{"scenrio": "x"}', ("scenrio", "unknown_field")),
        (b'{"parameters": {"crff": 1}}', ("parameters.crff", "unknown_field")),
        (b'{"parameters": {"duration": -5}}', ("parameters.duration", "invalid_value")),
        (b'{"parameters": {"duration": 0}}', ("parameters.duration", "invalid_value")),
        (b'{"parameters": {"bitrate": "abc"}}', ("parameters.bitrate", "invalid_value")),
        (b'{"parameters": {"input": "a\\u0000b"}}', ("parameters.input", "invalid_value")),
        (b'{"priority": "urgent"}', ("priority", "invalid_value")),
        (b'{"parameters": {"requires": {"encoder": "-x; y"}}}', ("parameters.requires.encoder", "invalid_value")),
    ],
)
def test_a_wrong_body_names_the_field(raw: bytes, fault: tuple[str, str]) -> None:
    assert _faults(raw) == [fault]


def test_an_unknown_field_offers_the_nearest() -> None:
    with pytest.raises(errors.InvalidInput, match="did you mean crf"):
        bodies.parse(bodies.SubmitBody, b'{"parameters": {"crff": 1}}')


def test_every_fault_of_a_body_comes_at_once() -> None:
    assert len(_faults(b'{"x": 1, "queue": "y", "parameters": {"fps": 0, "resolution": "big"}}')) == 4


def test_the_references_submission_is_understood() -> None:
    body = bodies.parse(
        bodies.SubmitBody,
        b'{"scenario": "720p30-h264", "confidence": "auto", "engine": "ffmpeg", "queue": "default", "priority": "medium",'
        b' "parameters": {"duration": 120, "bitrate": "2M", "engine": "ffmpeg"}}',
    )
    assert body.parameters.bitrate == 2_000_000
