"""An encoder that was named, against the codec and the engine of its job."""

from ffrtmp.domain import encoders, errors, gstreamer, spec
from ffrtmp.planning.faults import Faults


def check(name: str | None, codec: spec.Codec, engine: spec.Engine, faults: Faults) -> None:
    if name is None:
        return
    able = ", ".join(known for known, (makes, _) in encoders.NAMED.items() if makes is codec)
    if name not in encoders.NAMED:
        faults.add("requires.encoder", f"{name!r} is no encoder that jobs can name; for {codec} there are {able}")
        return
    makes, whose = encoders.NAMED[name]
    if makes is not codec:
        message = f"{name} makes {makes}, not {codec}; for {codec} there are {able}"
        faults.add("requires.encoder", message, "conflicting_fields")
    elif engine not in (spec.Engine.AUTO, whose):
        message = f"{name} is an encoder of {whose}, not of {engine}; leave it out, or let engine be auto"
        faults.add("requires.encoder", message, "conflicting_fields")


def refusals(made: spec.Spec) -> list[errors.Fault]:
    """What GStreamer cannot do of a job that names it, or an encoder of it."""
    if made.requires.engine is spec.Engine.GSTREAMER:
        return gstreamer.refusals(made)
    name = made.requires.encoder
    if name is None or encoders.NAMED[name][1] is not spec.Engine.GSTREAMER:
        return []
    return [
        errors.Fault(fault.path, f"{fault.message} (GStreamer is asked for by requires.encoder {name})", fault.code)
        for fault in gstreamer.refusals(made)
    ]
