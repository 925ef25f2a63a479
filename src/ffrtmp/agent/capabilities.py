"""What this node offers: the machine, ffmpeg, and the encoders that really encode here."""

import asyncio
import hashlib
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from ffrtmp import __version__
from ffrtmp.agent import machine
from ffrtmp.agent.settings import AgentSettings
from ffrtmp.domain import errors, node
from ffrtmp.domain.command import Command
from ffrtmp.domain.spec import Engine, Metric
from ffrtmp.media import comparison, gst_probe, probe, tools
from ffrtmp.process import cgroups, confine, energy, run
from ffrtmp.protocol import agent
from ffrtmp.telemetry import logs

_log = logs.get("capabilities")
#: encoders tried at the same time
_PROBES_AT_ONCE = 2
_CACHE = "encoders.json"
_End = Callable[[Command], Awaitable[probe.Ended]]


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried on this machine, with what came of it."""

    encoders: list[node.Encoder]
    decoders: list[node.Decoder] = []
    muxers: list[node.Muxer] = []


class Found(msgspec.Struct, frozen=True, kw_only=True):
    machine: machine.Machine
    tools: tools.Tools
    tried: Tried
    metrics: list[Metric] = []
    limits: confine.Means
    energy: list[str]  #: devices that measure it


class _Cache(msgspec.Struct, frozen=True):
    """Valid for this ffmpeg and this GStreamer with this driver and this version of the probes."""

    key: str
    tried: Tried


async def detect(settings: AgentSettings, work: Path) -> Found:
    """Raises TaskError(encoder_unavailable) when there is no ffmpeg. The encoders are probed once, then remembered in `work`."""
    here = await asyncio.to_thread(machine.detect)
    program = await with_gstreamer(await _with_version(tools.find(settings.ffmpeg)), settings.gst_launch)
    key = await asyncio.to_thread(_key, program, here)
    tried = await asyncio.to_thread(_read, work / _CACHE, key)
    if tried is None:
        _log.info("trying the encoders", ffmpeg=program.ffmpeg, version=program.version)
        tried = await try_all(program, here)
        if _settled(tried, here):
            await asyncio.to_thread(_remember, work / _CACHE, _Cache(key, tried))
    return Found(
        machine=here,
        tools=program,
        tried=tried,
        metrics=await try_metrics(program),
        limits=confine.means(*await asyncio.to_thread(cgroups.find)),
        energy=[source.name for source in await asyncio.to_thread(energy.sources)],
    )


def _settled(tried: Tried, here: machine.Machine) -> bool:
    """Whether the next start would find the same. What failed on a loaded machine, or beside a GPU that was busy, may work then."""
    return all(
        one.works or one.detail.endswith(gst_probe.NOT_INSTALLED) or (one.hardware and not here.has_gpu)
        for one in tried.encoders
    )


async def _with_version(program: tools.Tools) -> tools.Tools:
    outcome = await run.to_end(tools.version_command(program))
    version = tools.version_of(outcome.log)
    if not outcome.ok or not version:
        raise errors.TaskError(
            errors.Code.ENCODER_UNAVAILABLE,
            f"{program.ffmpeg} is no ffmpeg that works here: {outcome.log.strip()[-300:] or 'it says nothing'}",
        )
    return msgspec.structs.replace(program, version=version)


async def with_gstreamer(program: tools.Tools, named: str | None) -> tools.Tools:
    """GStreamer is optional: one that does not work is left out. Raises TaskError(encoder_unavailable) where it was named."""
    launch = tools.find_gstreamer(named)
    if launch is None:
        return program
    outcome = await run.to_end(tools.gst_version_command(launch))
    version = tools.gst_version_of(outcome.log)
    if outcome.ok and version:
        return msgspec.structs.replace(program, gst_launch=launch, gst_version=version)
    why = f"{launch} is no gst-launch-1.0 that works here: {outcome.log.strip()[-300:] or 'it says nothing'}"
    if named is not None:
        raise errors.TaskError(errors.Code.ENCODER_UNAVAILABLE, f"--gst-launch {named}: {why}")
    _log.warning("GStreamer is left out", why=why)
    return program


async def try_all(program: tools.Tools, here: machine.Machine) -> Tried:
    """Let each encoder of each engine really encode a few frames, on each GPU, then each GPU really decode some, and
    GStreamer's muxers write some."""
    end = _ender()
    devices = probe.Devices(here.nvidia, here.render_nodes)

    async def encodes(candidate: probe.Probe) -> list[tuple[probe.Probe, probe.Ended]]:
        first = await end(candidate.command)
        other = None if first.ok else probe.again(program, candidate)
        return [(candidate, first)] + ([] if other is None else [(other, await end(other.command))])

    async def decodes(candidate: probe.DecoderProbe) -> tuple[probe.DecoderProbe, probe.Ended]:
        return candidate, await end(candidate.command)

    tried = await asyncio.gather(*(encodes(one) for one in probe.probes(program, devices)))
    encoders = probe.interpret([one for each in tried for one in each])
    other = await try_gstreamer(program, end)
    encoders, muxers = encoders + other.encoders, other.muxers
    if not (devices.nvidia or devices.render_nodes):
        return Tried(encoders=encoders, muxers=muxers)
    with tempfile.TemporaryDirectory(prefix="ffrtmp-probe-") as folder:
        samples = probe.samples(program, Path(folder), encoders)
        made = {codec: path for codec, (path, command) in samples.items() if (await end(command)).ok}
        decoded = await asyncio.gather(*(decodes(one) for one in probe.decoder_probes(program, devices, made)))
    return Tried(encoders=encoders, decoders=probe.interpret_decoders(decoded), muxers=muxers)


async def try_gstreamer(program: tools.Tools, end: _End | None = None) -> Tried:
    """Let each encoder and each muxer of GStreamer do a few frames; nothing where there is none."""
    if not program.gst_version:
        return Tried(encoders=[])
    end = end or _ender()

    async def one(candidate: gst_probe.Probe) -> node.Encoder:
        return gst_probe.interpret(candidate, await end(candidate.command))

    encoders = list(await asyncio.gather(*(one(each) for each in gst_probe.encoders(program))))
    pairs = gst_probe.muxers(program, encoders)
    ended = await asyncio.gather(*(end(each.command) for each in pairs))
    muxers = gst_probe.pairs([(each, how.ok) for each, how in zip(pairs, ended, strict=True)])
    return Tried(encoders=encoders, muxers=muxers)


def _ender() -> _End:
    """What runs probes to their end, a few at the same time."""
    turns = asyncio.Semaphore(_PROBES_AT_ONCE)

    async def end(command: Command) -> probe.Ended:
        async with turns:
            outcome = await run.to_end(command)
        return probe.Ended(
            ok=outcome.ok,
            how=outcome.ended.value,
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            log=outcome.log,
        )

    return end


async def try_metrics(program: tools.Tools) -> list[Metric]:
    """Which ones this FFmpeg can measure: some are built without libvmaf."""
    outcomes = await asyncio.gather(*(run.to_end(comparison.probe(program, metric)) for metric in Metric))
    return [metric for metric, outcome in zip(Metric, outcomes, strict=True) if outcome.ok]


def _key(program: tools.Tools, here: machine.Machine) -> str:
    binaries = [Path(path).stat() for path in (program.ffmpeg, program.gst_launch) if path]
    files = [(binary.st_size, binary.st_mtime_ns) for binary in binaries]
    gpus = here.driver, here.nvidia, here.render_nodes
    plugins = tools.gst_plugins() if program.gst_launch else []
    parts = (__version__, program, files, gpus, plugins)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _remember(path: Path, found: _Cache) -> None:
    try:
        path.write_bytes(msgspec.json.encode(found))
    except OSError as error:  # a full disk: the next start tries again
        _log.warning("what the encoders did could not be kept", why=error.strerror, path=str(path))


def _read(path: Path, key: str) -> Tried | None:
    try:
        cached = msgspec.json.decode(path.read_bytes(), type=_Cache)
    except (OSError, msgspec.DecodeError):
        return None
    return cached.tried if cached.key == key else None


def registration(settings: AgentSettings, found: Found, origin: str) -> agent.Register:
    """What the master is told; the session adds the incarnation. `origin`: of the work directory."""
    here = found.machine
    return agent.Register(
        name=settings.node_name,
        address=socket.gethostname(),
        type=here.type,
        cpu_threads=here.cpu_threads,
        cpu_model=here.cpu_model,
        has_gpu=here.has_gpu,
        gpu_type=here.gpu_type,
        gpu_capabilities=sorted(one.name for one in found.tried.encoders if one.works and one.hardware),
        ram_total_bytes=here.ram_total_bytes,
        labels=settings.labels,
        capabilities=node.Capabilities(
            engines={
                Engine.FFMPEG.value: found.tools.version,
                **({Engine.GSTREAMER.value: found.tools.gst_version} if found.tools.gst_version else {}),
            },
            encoders=found.tried.encoders,
            decoders=found.tried.decoders,
            muxers=found.tried.muxers,
            gpu_sessions=settings.gpu_sessions,
            metrics=found.metrics,
            generates_input=settings.generate_input,
            media_roots=[str(root) for root in settings.roots],
            limits=msgspec.structs.asdict(found.limits),
            energy=found.energy,
        ),
        origin=origin,
        slots=settings.slots,
        heartbeat_interval_seconds=settings.heartbeat_interval_seconds,
        version=__version__,
    )


def describe(register: agent.Register) -> str:
    """For people: `ffrtmp agent` without --register."""
    offered = register.capabilities or node.Capabilities()
    lines = [
        f"name          {register.name} ({register.type.value})",
        f"cpu           {register.cpu_model or 'unknown'}, {register.cpu_threads} threads",
        f"memory        {register.ram_total_bytes / 1024**3:.1f} GiB",
        f"gpu           {register.gpu_type or 'none'}",
        f"ffmpeg        {offered.engines.get('ffmpeg', 'none')}",
        f"gstreamer     {offered.engines.get('gstreamer', 'none')}",
        f"measures      {', '.join(offered.metrics) or 'nothing (its FFmpeg has no libvmaf, psnr, ssim)'}",
        f"slots         {register.slots}",
        *([f"gpu sessions  {sessions}"] if (sessions := offered.gpu_sessions) is not None else []),
        f"media roots   {', '.join(offered.media_roots)}",
        f"labels        {', '.join(f'{name}={value}' for name, value in sorted(register.labels.items())) or 'none'}",
        f"cpu limits    {offered.limits.get('cpu', 'none')}",
        f"memory limits {offered.limits.get('memory', 'none')} ({offered.limits.get('why', '')})",
        f"energy        {', '.join(offered.energy) or 'not measured here'}",
        "encoders",
    ]
    for encoder in offered.encoders:
        kind = "hardware" if encoder.hardware else "software"
        found = "works" + (f" on {', '.join(encoder.devices)}" if encoder.devices else "")
        lines.append(
            f"  {encoder.name:<12}{encoder.codec.value:<6}{kind:<10}{found if encoder.works else encoder.detail}"
        )
    lines += ["hardware decoders"] if offered.decoders else []
    for decoder in offered.decoders:
        found = f"works on {', '.join(decoder.devices)}" if decoder.works else decoder.detail
        lines.append(f"  {decoder.hwaccel.value:<12}{decoder.codec.value:<16}{found}")
    lines.append("")
    lines.append("Join a master with: ffrtmp agent --register --master URL")
    return "\n".join(lines)
