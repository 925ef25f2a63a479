"""What a submission that measures becomes, and the floor of a verification."""

import json

import msgspec
import pytest

from ffrtmp.domain import errors, job, node, spec
from ffrtmp.planning import graph, quality, resolve
from ffrtmp.protocol import bodies
from ffrtmp.testing import factories


def _resolve(parameters: dict[str, object], **outer: object) -> spec.Work:
    body = json.dumps({**outer, "parameters": parameters}).encode()
    return resolve.resolve(bodies.parse(bodies.SubmitBody, body))


def _faults(parameters: dict[str, object], **outer: object) -> dict[str, str]:
    with pytest.raises(errors.InvalidInput) as raised:
        _resolve(parameters, **outer)
    return {fault.path: fault.code for fault in raised.value.faults}


def test_a_measurement_with_everything() -> None:
    what = _resolve(
        {
            "measure": {
                "reference": "upload:u1",
                "metrics": ["SSIM", "vmaf"],
                "reference_start": "1:30",
                "subsample": 5,
                "frames": True,
            },
            "input": "a/b.mp4",
            "start": 2,
            "duration": "10s",
            "output": "a/report.json",
            "overwrite": True,
            "resource_limits": {"timeout_sec": 60, "max_disk_mb": 10},
            "requires": {"labels": {"zone": "a"}},
        }
    )
    assert what == spec.Measurement(
        input=spec.Input(kind=spec.InputKind.FILE, path="a/b.mp4"),
        reference=spec.Input(kind=spec.InputKind.UPLOAD, upload_id="u1"),
        metrics=[spec.Metric.VMAF, spec.Metric.SSIM],
        output="a/report.json",
        overwrite=True,
        start=2.0,
        reference_start=90.0,
        duration=10.0,
        every=5,
        frames=True,
        limits=spec.Limits(timeout_seconds=60.0, max_disk_bytes=10 * 1024 * 1024),
        requires=spec.Requires(metrics=[spec.Metric.VMAF, spec.Metric.SSIM], labels={"zone": "a"}, local_path=True),
    )
    assert what.output_name == "report.json"


def test_what_is_not_said_is_decided_and_told() -> None:
    what = _resolve({"measure": {"reference": "a.mkv"}, "input": "b.mp4", "start": 4})
    assert isinstance(what, spec.Measurement)
    assert (what.metrics, what.reference_start) == ([*spec.Metric], 4.0)
    assert what.decisions == ["metrics: all, as none was named", "reference_start: 4 s, as start"]
    assert what.output_name == "b.json"


@pytest.mark.parametrize(
    ("parameters", "path", "code"),
    [
        ({"measure": {"reference": "a.mkv"}}, "parameters.input", "missing_field"),
        ({"measure": {"reference": "generate"}, "input": "a"}, "parameters.measure.reference", "missing_field"),
        ({"measure": {"reference": "../a"}, "input": "a"}, "parameters.measure.reference", "forbidden_path"),
        ({"measure": {}, "input": "a"}, "parameters.measure.reference", "invalid_value"),
        ({"measure": {"reference": "a", "metrics": ["msssim"]}}, "parameters.measure.metrics.0", "invalid_value"),
        ({"measure": {"reference": "a", "metrics": []}}, "parameters.measure.metrics", "invalid_value"),
        ({"measure": {"reference": "a", "model": "x"}}, "parameters.measure.model", "unknown_field"),
        ({"measure": {"reference": "a"}, "input": "b", "codec": "h264"}, "parameters.codec", "conflicting_fields"),
        ({"measure": {"reference": "a"}, "input": "b", "verify": {}}, "parameters.verify", "conflicting_fields"),
        ({"measure": {"reference": "a"}, "input": "b", "output": "b.mp4"}, "parameters.output", "invalid_value"),
        (
            {"measure": {"reference": "a"}, "input": "b", "requires": {"encoder": "libx264"}},
            "parameters.requires.encoder",
            "conflicting_fields",
        ),
        ({"codec": "h264", "input": "a", "verify": {"vmaf_min": 90}}, "parameters.verify.vmaf_min", "missing_field"),
        ({"codec": "h264", "verify": {"level": "quality"}}, "parameters.verify.level", "unsupported_combination"),
        ({"codec": "h264", "verify": {"level": "none"}}, "parameters.verify.level", "invalid_value"),
        ({"codec": "h264", "verify": {"level": "best"}}, "parameters.verify.level", "invalid_value"),
        (
            {"codec": "h264", "verify": {"level": "quality", "vmaf_min": 101}},
            "parameters.verify.vmaf_min",
            "invalid_value",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_field(parameters: dict[str, object], path: str, code: str) -> None:
    assert _faults(parameters)[path] == code


def test_a_scenario_and_another_engine_do_not_go_with_it() -> None:
    parameters: dict[str, object] = {"measure": {"reference": "a"}, "input": "b"}
    assert _faults(parameters, scenario="720p30-h264", engine="gstreamer") == {
        "scenario": "conflicting_fields",
        "engine": "unsupported_combination",
    }


def test_the_floor_has_a_default_that_is_told() -> None:
    what = _resolve({"codec": "h264", "input": "a.mp4", "verify": {"level": "QUALITY"}})
    assert isinstance(what, spec.Spec)
    assert (what.verify, what.vmaf_min, what.vmaf_every) == (spec.VerifyLevel.QUALITY, quality.VMAF_FLOOR, 1)
    assert what.requires.metrics == [spec.Metric.VMAF]
    assert "verify.vmaf_min: 80, the default floor" in what.decisions
    named = _resolve({"codec": "h264", "input": "a", "verify": {"level": "quality", "vmaf_min": 93, "subsample": 3}})
    assert isinstance(named, spec.Spec)
    assert (named.vmaf_min, named.vmaf_every) == (93.0, 3)


def test_full_asks_nothing_more_of_a_node() -> None:
    what = _resolve({"codec": "h264", "verify": {"level": "full"}})
    assert isinstance(what, spec.Spec)
    assert (what.verify, what.vmaf_min, what.requires.metrics) == (spec.VerifyLevel.FULL, None, [])


def test_it_becomes_one_task_of_its_kind_and_comes_back_as_it_was() -> None:
    what = _resolve({"measure": {"reference": "a"}, "input": "b"})
    payload = graph.payload(what)
    assert payload.kind is job.TaskKind.MEASURE
    assert msgspec.json.decode(payload.spec, type=spec.Work) == what
    encode = factories.a_spec()
    assert graph.payload(encode).kind is job.TaskKind.ENCODE
    assert msgspec.json.decode(graph.payload(encode).spec, type=spec.Work) == encode


def test_a_node_without_the_metric_is_told_so() -> None:
    requires = spec.Requires(metrics=[spec.Metric.VMAF])
    fields = {
        "id": "n1", "name": "n1", "address": "", "type": node.NodeType.SERVER, "status": node.NodeStatus.AVAILABLE,
        "cpu_threads": 1, "cpu_model": "", "has_gpu": False, "gpu_type": "", "ram_total_bytes": 0, "labels": {},
        "slots": 1, "active_attempts": 0, "draining": False, "incarnation": "", "version": "", "registered_at": 0,
        "last_heartbeat": 0,
    }  # fmt: skip
    offers = {"engines": {"ffmpeg": "9"}, "metrics": [spec.Metric.PSNR]}
    without = node.Node(**fields, capabilities=node.Capabilities(**offers))
    assert node.unmet(requires, without) == ["its FFmpeg cannot measure vmaf"]
    able = node.Node(**fields, capabilities=node.Capabilities(**{**offers, "metrics": [*spec.Metric]}))
    assert node.unmet(requires, able) == []
