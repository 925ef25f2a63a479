"""What this node offers: the machine, ffmpeg, and the encoders that really encode here."""

import asyncio
import hashlib
import socket
from pathlib import Path

import msgspec

from ffrtmp import __version__
from ffrtmp.agent import machine
from ffrtmp.agent.settings import AgentSettings
from ffrtmp.domain import errors, node
from ffrtmp.media import probe, tools
from ffrtmp.process import run
from ffrtmp.protocol import agent
from ffrtmp.telemetry import logs

_log = logs.get("capabilities")
#: encoders tried at the same time
_PROBES_AT_ONCE = 2
_CACHE = "encoders.json"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    machine: machine.Machine
    tools: tools.Tools
    encoders: list[node.Encoder]

    @property
    def working(self) -> frozenset[str]:
        return frozenset(encoder.name for encoder in self.encoders if encoder.works)


class _Cache(msgspec.Struct, frozen=True):
    """Valid for this ffmpeg with this driver and this version of the probes."""

    key: str
    encoders: list[node.Encoder]


async def detect(settings: AgentSettings, work: Path) -> Found:
    """Raises TaskError(encoder_unavailable) when there is no ffmpeg. The encoders are probed once, then remembered in `work`."""
    here = await asyncio.to_thread(machine.detect)
    program = await _with_version(tools.find(settings.ffmpeg))
    key = await asyncio.to_thread(_key, program, here)
    encoders = await asyncio.to_thread(_read, work / _CACHE, key)
    if encoders is None:
        encoders = await try_encoders(program)
        if _settled(encoders, here):
            await asyncio.to_thread((work / _CACHE).write_bytes, msgspec.json.encode(_Cache(key, encoders)))
    return Found(machine=here, tools=program, encoders=encoders)


def _settled(encoders: list[node.Encoder], here: machine.Machine) -> bool:
    """Whether the next start would find the same. What failed on a loaded machine, or beside a GPU that was busy, may work then."""
    return all(encoder.works or (encoder.hardware and not here.has_gpu) for encoder in encoders)


async def _with_version(program: tools.Tools) -> tools.Tools:
    outcome = await run.to_end(tools.version_command(program))
    version = tools.version_of(outcome.log)
    if not outcome.ok or not version:
        raise errors.TaskError(
            errors.Code.ENCODER_UNAVAILABLE,
            f"{program.ffmpeg} is no ffmpeg that works here: {outcome.log.strip()[-300:] or 'it says nothing'}",
        )
    return msgspec.structs.replace(program, version=version)


async def try_encoders(program: tools.Tools) -> list[node.Encoder]:
    """Let each encoder really encode a few frames."""
    turns = asyncio.Semaphore(_PROBES_AT_ONCE)

    async def one(candidate: probe.Probe) -> node.Encoder:
        async with turns:
            outcome = await run.to_end(candidate.command)
        return probe.interpret(
            candidate,
            ok=outcome.ok,
            ended=outcome.ended.value,
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            log=outcome.log,
        )

    _log.info("trying the encoders", ffmpeg=program.ffmpeg, version=program.version)
    return list(await asyncio.gather(*(one(candidate) for candidate in probe.probes(program))))


def _key(program: tools.Tools, here: machine.Machine) -> str:
    binary = Path(program.ffmpeg).stat()
    devices = sorted(str(device) for device in Path("/dev/dri").glob("renderD*"))
    parts = (__version__, program.ffmpeg, program.version, binary.st_size, binary.st_mtime_ns, here.driver, devices)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _read(path: Path, key: str) -> list[node.Encoder] | None:
    try:
        cached = msgspec.json.decode(path.read_bytes(), type=_Cache)
    except (OSError, msgspec.DecodeError):
        return None
    return cached.encoders if cached.key == key else None


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
        gpu_capabilities=sorted(encoder.name for encoder in found.encoders if encoder.works and encoder.hardware),
        ram_total_bytes=here.ram_total_bytes,
        labels=settings.labels,
        capabilities=node.Capabilities(
            engines={"ffmpeg": found.tools.version},
            encoders=found.encoders,
            generates_input=settings.generate_input,
            media_roots=[str(root) for root in settings.roots],
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
        f"slots         {register.slots}",
        f"media roots   {', '.join(offered.media_roots)}",
        f"labels        {', '.join(f'{name}={value}' for name, value in sorted(register.labels.items())) or 'none'}",
        "encoders",
    ]
    for encoder in offered.encoders:
        kind = "hardware" if encoder.hardware else "software"
        lines.append(
            f"  {encoder.name:<12}{encoder.codec.value:<6}{kind:<10}{'works' if encoder.works else encoder.detail}"
        )
    lines.append("")
    lines.append("Join a master with: ffrtmp agent --register --master URL")
    return "\n".join(lines)
