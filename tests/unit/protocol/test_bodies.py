import json

import pytest

from ffrtmp.domain import errors, spec
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


@pytest.mark.parametrize("digits", ["9" * 400, "1" * 100_000, "1e999999999"])
@pytest.mark.parametrize("field", ["bitrate", "duration", "fps", "resolution"])
def test_a_quantity_that_is_no_number_we_can_hold_is_refused(field: str, digits: str) -> None:
    assert _faults(f'{{"parameters": {{"{field}": "{digits}"}}}}'.encode()) == [
        (f"parameters.{field}", "invalid_value")
    ]


@pytest.mark.parametrize(
    "field",
    [
        "requires.min_memory_mb",
        "resource_limits.max_disk_mb",
        "resource_limits.max_memory_mb",
        "resource_limits.max_cpu_percent",
    ],
)
def test_an_amount_has_an_upper_bound(field: str) -> None:
    outer, inner = field.split(".")
    assert _faults(f'{{"parameters": {{"{outer}": {{"{inner}": {"9" * 30}}}}}}}'.encode()) == [
        (f"parameters.{field}", "invalid_value")
    ]


@pytest.mark.parametrize(("field", "value"), [("max_memory_mb", 15), ("max_cpu_percent", 0), ("max_cpu_percent", 12.5)])
def test_a_limit_that_nothing_could_run_in(field: str, value: float) -> None:
    raw = json.dumps({"parameters": {"resource_limits": {field: value}}}).encode()
    assert _faults(raw) == [(f"parameters.resource_limits.{field}", "invalid_value")]


def test_faults_beyond_counting_are_counted() -> None:
    raw = json.dumps({f"scenari{number}": 1 for number in range(30_000)}).encode()
    with pytest.raises(errors.InvalidInput) as raised:
        bodies.parse(bodies.SubmitBody, raw)
    assert len(raised.value.faults) == 51
    assert raised.value.faults[-1].message == "has 29950 more faults"


def test_a_fault_of_the_whole_body_is_a_sentence() -> None:
    with pytest.raises(errors.InvalidInput, match=r"^The body is not JSON: EOF"):
        bodies.parse(bodies.SubmitBody, b"{")


def test_the_references_submission_is_understood() -> None:
    body = bodies.parse(
        bodies.SubmitBody,
        b'{"scenario": "720p30-h264", "confidence": "auto", "engine": "ffmpeg", "queue": "default", "priority": "medium",'
        b' "parameters": {"duration": 120, "bitrate": "2M", "engine": "ffmpeg"}}',
    )
    assert body.parameters.bitrate == 2_000_000


def test_what_is_said_in_one_word() -> None:
    body = bodies.parse(bodies.ParametersBody, b'{"verify": "Full", "audio": "opus"}')
    assert body.verify.level is spec.VerifyLevel.FULL
    assert body.audio is not None
    assert body.audio.codec is spec.AudioCodec.OPUS
    shapes = bodies.ParametersBody.model_json_schema()["properties"]
    for field in ("verify", "audio"):
        assert {"type": "string"} in shapes[field]["anyOf"]
