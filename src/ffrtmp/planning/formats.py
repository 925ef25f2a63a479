"""Codec and container: what was named, else what follows from the other."""

import os
from collections.abc import Sequence

from ffrtmp.domain import codecs, spec
from ffrtmp.planning import ladders, scenarios
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies


def choose(
    given: bodies.ParametersBody,
    scenario: scenarios.Scenario | None,
    output: str | None,
    faults: Faults,
    *,
    named: bool,
) -> tuple[spec.Codec | None, spec.Container | None, list[str]]:
    """Codec and container: what was named, else what follows from the other."""
    decisions: list[str] = []
    codec = given.codec or (scenario.codec if scenario else None)
    container = given.container
    if container is spec.Container.FLV:
        faults.add("container", "flv is only what RTMP carries", "unsupported_combination", container=None)
        container = None
    if output is not None and not ladders.many(given):  # else it is a directory
        extension = os.path.splitext(output)[1].lower()
        implied = spec.EXTENSIONS.get(extension)
        if container is None:
            container = implied
            if implied is None:
                known = ", ".join(spec.EXTENSIONS)
                faults.add("output", f"{output!r} has no known extension; use one of {known}, or set container")
                return codec, None, decisions
            decisions.append(f"container: {implied}, from the extension of the output")
        elif implied not in (None, container):
            holds = codec is None or codec in spec.CONTAINER_VIDEO[implied or container]
            faults.add(
                "container",
                f"{container} does not go with the output's extension {extension}",
                **{"container": implied} if holds else {"output": f"{os.path.splitext(output)[0]}.{container}"},
            )
    if codec is None:
        if not named:
            faults.add("codec", "is missing; give a codec (h264, h265, vp8, vp9, av1) or a scenario", "missing_field")
        return None, container, decisions
    if container is None and ladders.packaged(given):
        container = spec.Container.MP4
    if container is None:
        container = codecs.RULES[codec].container
        decisions.append(f"container: {container}, the usual one for {codec}")
    if codec not in spec.CONTAINER_VIDEO[container] and not ladders.packaged(given):  # which says it itself
        holding = [name for name, taken in spec.CONTAINER_VIDEO.items() if codec in taken]
        able, usual = ", ".join(holding), _nearest(holding, codec, given)
        stem = os.path.splitext(output or "")[0]
        faults.add(
            "output" if given.container is None else "container",  # what named it
            f"{container} cannot hold {codec}; it goes into {able}",
            "unsupported_combination",
            **({} if given.container is None else {"container": usual}),
            **({} if output is None else {"output": f"{stem}.{usual}"}),
        )
    return codec, container, decisions


def _nearest(holding: Sequence[spec.Container], codec: spec.Codec, given: bodies.ParametersBody) -> spec.Container:
    """Of those that hold the codec one that also holds the sound that was named: the usual one first."""
    usual = codecs.RULES[codec].container
    named = given.audio.codec if given.audio else None
    encoded = named in (spec.AudioCodec.AAC, spec.AudioCodec.OPUS)
    return next((one for one in (usual, *holding) if not encoded or named in spec.CONTAINER_AUDIO[one]), usual)
