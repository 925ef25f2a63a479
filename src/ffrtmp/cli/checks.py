"""The checks of `doctor`: each says what it found, and what to do where that is not enough."""

import asyncio
import dataclasses
import enum
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ffrtmp.domain import errors, units
from ffrtmp.domain.spec import Codec

if TYPE_CHECKING:
    from ffrtmp.cli.connection import Connection
    from ffrtmp.client.client import Client
    from ffrtmp.domain.command import Command

_GST_FIX = (
    "Only jobs that ask for it, and live ones, use it: apt install gstreamer1.0-tools gstreamer1.0-libav "
    "gstreamer1.0-plugins-{base,good,bad,ugly}"
)
ORDER = ("ffmpeg", "encoders", "gstreamer", "limits", "disk", "state", "master")
_LITTLE_BYTES, _NO_BYTES = 5_000_000_000, 500_000_000


class Level(enum.StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    INFO = "-"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    group: str
    name: str
    level: Level
    found: str
    fix: str = ""

    @property
    def failed(self) -> bool:
        return self.level is Level.FAIL


async def _version(command: "Command") -> str:
    """The first line that a program prints about itself; "" when it does not run."""
    from ffrtmp.process import run

    lines: list[str] = []
    try:
        ended = await run.to_end(command, on_line=lines.append)
    except OSError:
        return ""
    return (lines or ended.log.splitlines() or [""])[0] if ended.ok else ""


async def programs(ffmpeg: str | None) -> list[Check]:
    """FFmpeg: there and running."""
    from ffrtmp.media import tools

    try:
        found = tools.find(ffmpeg)
    except errors.TaskError as error:
        return [
            Check(group="ffmpeg", name="ffmpeg", level=Level.FAIL, found=str(error), fix="pip install imageio-ffmpeg")
        ]
    line = await _version(tools.version_command(found))
    if version := tools.version_of(line):
        return [Check(group="ffmpeg", name="ffmpeg", level=Level.OK, found=f"{version} at {found.ffmpeg}")]
    return [
        Check(
            group="ffmpeg",
            name="ffmpeg",
            level=Level.FAIL,
            found=f"{found.ffmpeg} does not run",
            fix="Install it again (pip install --force-reinstall imageio-ffmpeg), or name another with --ffmpeg.",
        )
    ]


async def encoders(ffmpeg: str | None) -> list[Check]:
    """Each encoder really encodes some frames; a codec needs one that works, hardware is a gift."""
    from ffrtmp.agent import capabilities, machine
    from ffrtmp.media import tools

    try:
        program = tools.find(ffmpeg)
    except errors.TaskError:
        return []  # `programs` says it
    tried = await capabilities.try_all(program, await asyncio.to_thread(machine.detect))
    found = tried.encoders
    checks = []
    for codec in dict.fromkeys(encoder.codec for encoder in found):
        software = [encoder for encoder in found if encoder.codec is codec and not encoder.hardware]
        working = [encoder.name for encoder in software if encoder.works]
        broken = "; ".join(f"{encoder.name}: {encoder.detail}" for encoder in software if not encoder.works)
        checks.append(
            Check(
                group="encoders",
                name=f"{codec.value} encoder",
                level=Level.OK if working else Level.FAIL,
                found=", ".join(working) or broken,
                fix="" if working else "Use the ffmpeg that comes along (no --ffmpeg), or one built with this encoder.",
            )
        )
    hardware = [encoder for encoder in found if encoder.hardware]
    working = [encoder.name for encoder in hardware if encoder.works]
    why = "; ".join(
        dict.fromkeys(
            f"{encoder.name.rpartition('_')[2]}: {encoder.detail[:60]}"
            for encoder in hardware
            if encoder.codec is Codec.H264
        )
    )
    checks.append(
        Check(
            group="encoders",
            name="hardware encoders",
            level=Level.OK if working else Level.INFO,
            found=", ".join(working) or f"none works here ({why})",
        )
    )
    if tried.decoders:
        able = [f"{one.codec.value} by {one.hwaccel.value}" for one in tried.decoders if one.works]
        why = "; ".join(dict.fromkeys(f"{one.hwaccel.value}: {one.detail[:60]}" for one in tried.decoders))
        checks.append(
            Check(
                group="encoders",
                name="hardware decoders",
                level=Level.OK if able else Level.INFO,
                found=", ".join(able) or f"none works here ({why})",
            )
        )
    return checks


async def gstreamer(named: str | None, *, encoders: bool) -> list[Check]:
    """Optional: only jobs that name it and live ones use it. Each of its encoders really encodes some frames."""
    from ffrtmp.agent import capabilities
    from ffrtmp.media import tools

    try:
        program = await capabilities.with_gstreamer(tools.Tools(ffmpeg=""), named)
    except errors.TaskError as error:
        fix = "Name a gst-launch-1.0 that is there and runs, or leave --gst-launch out."
        return [Check(group="gstreamer", name="gstreamer", level=Level.FAIL, found=str(error), fix=fix)]
    if not program.gst_version:
        broken = tools.find_gstreamer(named)
        level = Level.INFO if broken is None else Level.WARN
        found = "not installed" if broken is None else f"{broken} does not run"
        return [Check(group="gstreamer", name="gstreamer", level=level, found=found, fix=_GST_FIX)]
    found = f"{program.gst_version} at {program.gst_launch}"
    checks = [Check(group="gstreamer", name="gstreamer", level=Level.OK, found=found)]
    if not encoders:
        return checks
    tried = (await capabilities.try_gstreamer(program)).encoders
    working = [encoder.name for encoder in tried if encoder.works]
    lacking = {encoder.codec for encoder in tried} - {encoder.codec for encoder in tried if encoder.works}
    why = "; ".join(f"{one.name}: {one.detail}" for one in tried if one.codec in lacking and not one.hardware)
    checks.append(
        Check(
            group="gstreamer",
            name="gstreamer encoders",
            level=Level.OK if not lacking else Level.INFO,
            found=(", ".join(working) or "none works") + (f" ({why})" if why else ""),
            fix=_GST_FIX if lacking else "",
        )
    )
    return checks


async def places() -> list[Check]:
    """Where ffrtmp writes: room, and rights."""
    return await asyncio.to_thread(_places)


def _places() -> list[Check]:
    from ffrtmp.agent.settings import AgentSettings
    from ffrtmp.client import state

    scratch = AgentSettings().work
    return [
        _room("scratch space", scratch),
        _room("media root", Path.cwd()),
        _state(state.folder()),
        *_key(state.folder()),
    ]


async def limits() -> list[Check]:
    """How a job's limits of CPU and memory would be held here, and whether energy is measured."""
    return await asyncio.to_thread(_limits)


def _limits() -> list[Check]:
    from ffrtmp.process import cgroups, confine, energy

    tree, why = cgroups.find()
    found = confine.means(tree, why)
    whole = tree is not None and tree.cpu is not None and tree.memory is not None
    told = f"CPU: {found.cpu}; memory: {found.memory} ({found.why})"
    fix = (
        ""
        if whole
        else "Run the agent as a service with Delegate=yes (docs/operations.md); limits hold less exactly meanwhile."
    )
    meters = [source.name for source in energy.sources()]
    measured = ", ".join(meters) or "not measured: no readable RAPL counter, no NVIDIA GPU with nvidia-ml-py"
    return [
        Check(group="limits", name="job limits", level=Level.OK if whole else Level.INFO, found=told, fix=fix),
        Check(group="limits", name="energy", level=Level.OK if meters else Level.INFO, found=measured),
    ]


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _room(name: str, path: Path) -> Check:
    free = shutil.disk_usage(_existing(path)).free
    level = Level.FAIL if free < _NO_BYTES else Level.WARN if free < _LITTLE_BYTES else Level.OK
    fix = "" if level is Level.OK else "Free some space, or choose another place (--work-dir, --media-root)."
    return Check(group="disk", name=name, level=level, found=f"{units.human_bytes(free)} free in {path}", fix=fix)


def _state(folder: Path) -> Check:
    if os.access(_existing(folder), os.W_OK):
        return Check(group="state", name="state folder", level=Level.OK, found=str(folder))
    fix = f"Make {folder} writable for you, or name another in FFRTMP_STATE_DIR."
    return Check(group="state", name="state folder", level=Level.FAIL, found=f"{folder} cannot be written", fix=fix)


def _key(folder: Path) -> list[Check]:
    from ffrtmp.client import state

    path = folder / state.API_KEY_FILE
    if not path.exists():
        return []
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        fix = f"Others on this machine can read it: chmod 600 {path}"
        return [Check(group="state", name="key file", level=Level.WARN, found=f"{path} has mode {mode:o}", fix=fix)]
    return [Check(group="state", name="key file", level=Level.OK, found=f"{path}, only yours")]


async def masters(connection: "Connection", *, needed: bool) -> list[Check]:
    """Each of them that was named: one that answers says nothing of the others."""
    from ffrtmp.client import masters

    named = masters.split(connection.master)
    if len(named) < 2:
        return await _look_at(connection, needed=needed)
    alone = [dataclasses.replace(connection, master=(one,)) for one in named]
    found = await asyncio.gather(*(_look_at(one, needed=needed) for one in alone))
    return [
        msgspec.structs.replace(check, name=f"{check.name}, {one}")
        for one, checks in zip(named, found, strict=True)
        for check in checks
    ]


async def _look_at(connection: "Connection", *, needed: bool) -> list[Check]:
    """Reachable, the key good, somebody there to work."""
    try:
        async with connection.open() as client:
            return await _master(client)
    except errors.Unavailable as error:
        level = Level.FAIL if needed else Level.INFO
        return [Check(group="master", name="master", level=level, found=str(error), fix="ffrtmp up starts one here.")]
    except errors.FfrtmpError as error:
        return [Check(group="master", name="master", level=Level.FAIL, found=str(error), fix="Mend the option.")]


async def _master(client: "Client") -> list[Check]:
    health = await client.health()
    level = Level.OK if health.status == "ok" else Level.WARN
    fix = "" if level is Level.OK else "Look at the master's log."
    told = f"{health.status} at {client.base_url}, version {health.version}, {health.database}"
    found = [Check(group="master", name="master", level=level, found=told, fix=fix)]
    try:
        nodes = (await client.nodes()).nodes
    except (errors.Unauthenticated, errors.Forbidden) as error:
        fix = "Give the master's key with --api-key or FFMPEG_RTMP_API_KEY; it printed the key at its first start."
        return [*found, Check(group="master", name="master key", level=Level.FAIL, found=str(error), fix=fix)]
    found.append(Check(group="master", name="master key", level=Level.OK, found="accepted"))
    live = [node.name for node in nodes if node.status != "offline"]
    if live:
        found.append(Check(group="master", name="nodes", level=Level.OK, found=f"{len(live)}: {', '.join(live)[:200]}"))
    else:
        fix = f"Start an agent: ffrtmp agent --register --master {client.base_url}"
        found.append(Check(group="master", name="nodes", level=Level.WARN, found="none is there to work", fix=fix))
    return found
