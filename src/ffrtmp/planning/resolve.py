"""What a submission becomes: scenario, then parameters over it, then defaults. One typed Spec, or every fault at once."""

import msgspec

from ffrtmp.domain import codecs, errors, spec
from ffrtmp.planning import (
    accelerators,
    encoder,
    formats,
    ladders,
    limits,
    locations,
    pictures,
    presets,
    quality,
    rates,
    reference,
    scenarios,
    sound,
    streams,
    unsupported,
)
from ffrtmp.planning.faults import Faults
from ffrtmp.protocol import bodies

#: a synthetic input without a duration lasts this long
GENERATED_SECONDS = 10.0
_SUMMARY = "Several fields are wrong; each is listed under `errors`."


def resolve(body: bodies.SubmitBody, book: presets.Book = presets.NONE) -> spec.Work:
    """Raises InvalidInput with every fault of the body. `book`: the presets that its scenario may name."""
    preset = book.get(body.scenario)
    if preset is None:
        return _resolve(body, book)
    whole, told = book.applied(body)
    try:
        found = _resolve(whole, book)
    except errors.InvalidInput as error:
        raise _from_preset(error, preset, body) from None
    return msgspec.structs.replace(found, decisions=[*told, *found.decisions])


def _from_preset(error: errors.InvalidInput, preset: presets.Preset, body: bodies.SubmitBody) -> errors.InvalidInput:
    """A field that the user did not write is told with where it comes from."""
    theirs = {f"parameters.{name}" for name in set(preset.given) - body.parameters.model_fields_set}
    faults = [
        errors.Fault(fault.path, f"{fault.message} (the preset {preset.name} says it)", fault.code)
        if ".".join(fault.path.split(".")[:2]) in theirs
        else fault
        for fault in error.faults
    ]
    return errors.InvalidInput(_SUMMARY if len(faults) > 1 else None, faults=faults)


def _resolve(body: bodies.SubmitBody, book: presets.Book) -> spec.Work:
    given = body.parameters
    if given.measure is not None:
        return quality.measurement(body, given.measure, engine(body))
    return _encode(body, given, book)


def _encode(body: bodies.SubmitBody, given: bodies.ParametersBody, book: presets.Book) -> spec.Spec:
    faults = Faults()
    faults.found += unsupported.faults(given)
    scenario = None
    if body.scenario and book.get(body.scenario) is None:
        scenario = faults.catch(lambda: scenarios.parse(body.scenario, book.names))
    source = locations.source(given.input, "input", faults)
    output = locations.output(given, faults)
    target = streams.target(given, faults)
    streamed = streams.is_asked(given)
    choose = streams.formats if streamed else formats.choose
    codec, container, decisions = choose(given, scenario, output, faults, named=bool(body.scenario))
    if codec is None or container is None:
        raise errors.InvalidInput(_SUMMARY if len(faults.found) > 1 else None, faults=faults.found)
    if streamed:
        streams.check(given, source, faults)
    rate = rates.choose(given, codec, source, faults, decisions)
    ladder = ladders.choose(given, codec, container, faults, decisions)
    pictures.check(given, codec, source.kind, faults)
    encoder.check(given.requires.encoder, codec, engine(body), faults)
    family = accelerators.check(given, codec, rate, faults)
    audio = sound.choose(given, container, source.kind, faults)
    vmaf_min, vmaf_every, metrics = quality.floor(given.verify, source, faults, decisions)
    if faults.found:
        raise errors.InvalidInput(_SUMMARY if len(faults.found) > 1 else None, faults=faults.found)

    resolution = given.resolution or (scenario.resolution if scenario else None)
    if ladder is not None and resolution is not None:
        decisions.append(f"resolution: not the scenario's {resolution}, as the ladder has sizes of its own")
        resolution = None
    fps = given.fps or (scenario.fps if scenario else None)
    if streamed:
        rate = streams.rate(rate, resolution, float(fps) if fps else None, given, decisions)
    generated = source.kind is spec.InputKind.GENERATE
    duration = given.duration
    if generated and duration is None:
        duration = GENERATED_SECONDS
        decisions.append(f"duration: {GENERATED_SECONDS:g} s, because the input is generated and none was given")
    live = streamed or (scenario is not None and scenario.live)
    zero_latency = scenarios.LIVE_TUNE in codecs.RULES[codec].tunes
    decisions.append("chunking: off, " + ("as asked" if given.chunking == "off" else "files are encoded whole"))
    made = spec.Spec(
        input=source,
        codec=codec,
        container=container,
        rate=rate,
        output=output,
        target=target,
        overwrite=given.overwrite,
        start=given.start,
        duration=duration,
        preset=given.preset or (scenarios.LIVE_PRESET if live else spec.Preset.MEDIUM),
        tune=given.tune or (scenarios.LIVE_TUNE if live and not streamed and zero_latency else None),
        profile=given.profile,
        pixel_format=given.pixel_format,
        resolution=resolution,
        fps=str(fps) if fps else None,
        gop_seconds=given.gop_seconds or (scenarios.LIVE_GOP_SECONDS if live else None),
        hwaccel=given.hwaccel,
        deinterlace=given.deinterlace,
        hdr=given.hdr,
        audio=audio,
        subtitles=given.subtitles,
        keep_metadata=given.metadata == "keep",
        verify=given.verify.level,
        vmaf_min=vmaf_min,
        vmaf_every=vmaf_every,
        limits=limits.limits(given.resource_limits),
        requires=spec.Requires(
            engine=engine(body),
            codec=codec,
            container=container,
            audio=_named_audio(body),
            encoder=given.requires.encoder,
            hwaccel=family,
            metrics=[spec.Metric.VMAF] if rate.target_vmaf is not None else metrics,
            labels=dict(given.requires.labels),
            min_threads=given.requires.min_threads,
            min_memory_bytes=given.requires.min_memory_mb * 1024 * 1024,
            generates_input=generated,
            local_path=source.kind is spec.InputKind.FILE or output is not None,
            beyond_reference=reference.is_beyond(given),
        ),
        queue=body.queue,
        output_mode=spec.OutputMode.RTMP if streamed else given.output_mode,
        ladder=ladder,
        segment_seconds=given.segment_seconds or ladders.SEGMENT_SECONDS,
        segments=given.segments,
        thumbnails=ladders.thumbnails(given),
        decisions=decisions,
    )
    if refused := encoder.refusals(made):
        raise errors.InvalidInput(_SUMMARY if len(refused) > 1 else None, faults=refused)
    return made


def _named_audio(body: bodies.SubmitBody) -> spec.AudioCodec | None:
    """FFmpeg has every audio encoder; with GStreamer it is a matter of the node."""
    asked = body.parameters.audio.codec if body.parameters.audio else None
    named = engine(body) is spec.Engine.GSTREAMER and asked in (spec.AudioCodec.AAC, spec.AudioCodec.OPUS)
    return asked if named else None


def engine(body: bodies.SubmitBody) -> spec.Engine:
    """The reference's CLI sends `parameters.engine` beside `engine`; the outer one counts unless it says nothing."""
    return body.engine if body.engine is not spec.Engine.AUTO else body.parameters.engine or spec.Engine.AUTO
