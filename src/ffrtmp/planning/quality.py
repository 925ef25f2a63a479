"""Measuring how near a video is to another: as a job of its own, and as the floor of a verification."""

from ffrtmp.domain import errors, spec
from ffrtmp.planning import limits, locations
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies

#: Well below what the encoders made of six real clips of 640x360 near their default CRF (libx264 at 22: 95.2, libx265 at 25: 93.4,
#: SVT-AV1 at 35: 94.5, libvpx-vp9 at 34: 93.4): what is below it is surely not what was wanted.
VMAF_FLOOR = 80.0
#: fields of `parameters` that a measurement has
_TAKEN = frozenset(
    {"measure", "input", "start", "duration", "output", "overwrite", "resource_limits", "requires", "tags", "engine"}
)


def measurement(body: bodies.SubmitBody, asked: bodies.MeasureBody, engine: spec.Engine) -> spec.Measurement:
    """What a submission with `measure` becomes. Raises InvalidInput with every fault."""
    given = body.parameters
    faults = Faults()
    for field in sorted(given.model_fields_set - _TAKEN):
        faults.add(field, "does not go with measure, which makes no video; leave it out", "conflicting_fields")
    if body.scenario:
        faults.found.append(
            errors.Fault("scenario", "does not go with parameters.measure; leave it out", "conflicting_fields")
        )
    if engine is spec.Engine.GSTREAMER:
        faults.found.append(
            errors.Fault("engine", "gstreamer cannot measure; `auto` and `ffmpeg` can", "unsupported_combination")
        )
    if given.requires.encoder is not None:
        faults.add("requires.encoder", "does not go with measure, which encodes nothing", "conflicting_fields")
    measured = locations.source(given.input, "input", faults)
    reference = locations.source(asked.reference, "measure.reference", faults)
    for field, found in (("input", measured), ("measure.reference", reference)):
        if found.kind is spec.InputKind.GENERATE:
            faults.add(field, "must be a video: a path on the node, or `upload:ID`", "missing_field")
    output = locations.output(given, faults)
    if output is not None and not output.lower().endswith(".json"):
        faults.add("output", f"{output!r} is where the report goes, which is JSON: name it like {output}.json")
    if faults.found:
        raise errors.InvalidInput(faults=faults.found)
    metrics = [metric for metric in spec.Metric if metric in asked.metrics]
    decisions = [] if "metrics" in asked.model_fields_set else ["metrics: all, as none was named"]
    if asked.reference_start is None and given.start:
        decisions.append(f"reference_start: {given.start:g} s, as start")
    return spec.Measurement(
        input=measured,
        reference=reference,
        metrics=metrics,
        output=output,
        overwrite=given.overwrite,
        start=given.start,
        reference_start=given.start if asked.reference_start is None else asked.reference_start,
        duration=given.duration,
        every=asked.subsample,
        frames=asked.frames,
        limits=limits.limits(given.resource_limits),
        requires=spec.Requires(
            engine=engine,
            metrics=metrics,
            labels=dict(given.requires.labels),
            min_threads=given.requires.min_threads,
            min_memory_bytes=given.requires.min_memory_mb * 1024 * 1024,
            local_path=output is not None or spec.InputKind.FILE in (measured.kind, reference.kind),
        ),
        decisions=decisions,
    )


def floor(
    asked: bodies.VerifyBody, source: spec.Input, faults: Faults, decisions: list[str]
) -> tuple[float | None, int, list[spec.Metric]]:
    """For a verification: the lowest VMAF that passes, of how many frames one is looked at, what the node must measure."""
    if asked.level is not spec.VerifyLevel.QUALITY:
        for field, value in (("vmaf_min", asked.vmaf_min), ("subsample", asked.subsample)):
            if value is not None:
                faults.add(f"verify.{field}", "needs verify.level quality", "missing_field", verify__level="quality")
        return None, 1, []
    if source.kind is spec.InputKind.GENERATE:
        faults.add(
            "verify.level",
            "quality compares with the input, and this one is generated; give an input",
            "unsupported_combination",
            verify__level="full",
        )
    if asked.vmaf_min is None:
        decisions.append(f"verify.vmaf_min: {VMAF_FLOOR:g}, the default floor")
    return VMAF_FLOOR if asked.vmaf_min is None else asked.vmaf_min, asked.subsample or 1, [spec.Metric.VMAF]
