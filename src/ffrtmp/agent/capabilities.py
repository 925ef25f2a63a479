"""What this node offers: the machine, ffmpeg, and the encoders that really encode here."""

import asyncio
import hashlib
import socket
import tempfile
from pathlib import Path

import msgspec

from ffrtmp import __version__
from ffrtmp.agent import machine
from ffrtmp.agent.settings import AgentSettings
from ffrtmp.domain import errors, node
from ffrtmp.domain.command import Command
from ffrtmp.domain.spec import Metric
from ffrtmp.media import comparison, probe, tools
from ffrtmp.process import cgroups, confine, energy, run
from ffrtmp.protocol import agent
from ffrtmp.telemetry import logs

_log = logs.get("capabilities")
#: encoders tried at the same time
_PROBES_AT_ONCE = 2
_CACHE = "encoders.json"


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried on this machine, with what came of it."""

    encoders: list[node.Encoder]
    decoders: list[node.Decoder] = []


class Found(msgspec.Struct, frozen=True, kw_only=True):
    machine: machine.Machine
    tools: tools.Tools
    tried: Tried
    metrics: list[Metric] = []
    limits: confine.Means
    energy: list[str]  #: devices that measure it


class _Cache(msgspec.Struct, frozen=True):
    """Valid for this ffmpeg with this driver and this version of the probes."""

    key: str
    tried: Tried


async def detect(settings: AgentSettings, work: Path) -> Found:
    """Raises TaskError(encoder_unavailable) when there is no ffmpeg. The encoders are probed once, then remembered in `work`."""
    here = await asyncio.to_thread(machine.detect)
    program = await _with_version(tools.find(settings.ffmpeg))
    key = await asyncio.to_thread(_key, program, here)
    tried = await asyncio.to_thread(_read, work / _CACHE, key)
    if tried is None:
        _log.info("trying the encoders", ffmpeg=program.ffmpeg, version=program.version)
        tried = await try_all(program, here)
        if _settled(tried, here):
            await asyncio.to_thread((work / _CACHE).write_bytes, msgspec.json.encode(_Cache(key, tried)))
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
    return all(one.works or (one.hardware and not here.has_gpu) for one in tried.encoders)


async def _with_version(program: tools.Tools) -> tools.Tools:
    outcome = await run.to_end(tools.version_command(program))
    version = tools.version_of(outcome.log)
    if not outcome.ok or not version:
        raise errors.TaskError(
            errors.Code.ENCODER_UNAVAILABLE,
            f"{program.ffmpeg} is no ffmpeg that works here: {outcome.log.strip()[-300:] or 'it says nothing'}",
        )
    return msgspec.structs.replace(program, version=version)


async def try_all(program: tools.Tools, here: machine.Machine) -> Tried:
    """Let each encoder really encode a few frames, on each GPU, and then each GPU really decode some."""
    turns = asyncio.Semaphore(_PROBES_AT_ONCE)
    devices = probe.Devices(here.nvidia, here.render_nodes)

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

    async def encodes(candidate: probe.Probe) -> list[tuple[probe.Probe, probe.Ended]]:
        first = await end(candidate.command)
        other = None if first.ok else probe.again(program, candidate)
        return [(candidate, first)] + ([] if other is None else [(other, await end(other.command))])

    async def decodes(candidate: probe.DecoderProbe) -> tuple[probe.DecoderProbe, probe.Ended]:
        return candidate, await end(candidate.command)

    tried = await asyncio.gather(*(encodes(one) for one in probe.probes(program, devices)))
    encoders = probe.interpret([one for each in tried for one in each])
    if not (devices.nvidia or devices.render_nodes):
        return Tried(encoders=encoders)
    with tempfile.TemporaryDirectory(prefix="ffrtmp-probe-") as folder:
        samples = probe.samples(program, Path(folder), encoders)
        made = {codec: path for codec, (path, command) in samples.items() if (await end(command)).ok}
        decoded = await asyncio.gather(*(decodes(one) for one in probe.decoder_probes(program, devices, made)))
    return Tried(encoders=encoders, decoders=probe.interpret_decoders(decoded))


async def try_metrics(program: tools.Tools) -> list[Metric]:
    """Which ones this FFmpeg can measure: some are built without libvmaf."""
    outcomes = await asyncio.gather(*(run.to_end(comparison.probe(program, metric)) for metric in Metric))
    return [metric for metric, outcome in zip(Metric, outcomes, strict=True) if outcome.ok]


def _key(program: tools.Tools, here: machine.Machine) -> str:
    binary = Path(program.ffmpeg).stat()
    gpus = here.driver, here.nvidia, here.render_nodes
    parts = (__version__, program.ffmpeg, program.version, binary.st_size, binary.st_mtime_ns, gpus)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


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
            engines={"ffmpeg": found.tools.version},
            encoders=found.tried.encoders,
            decoders=found.tried.decoders,
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
