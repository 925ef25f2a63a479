"""What a command that encodes may use, as the spec says; the same for every engine."""

from pathlib import Path

from ffrtmp.domain.command import CommandLimits
from ffrtmp.domain.spec import Spec

#: at SIGTERM an engine first encodes what it has read (seconds with x264's slow presets), into a file that nobody will have
STOP_GRACE_SECONDS = 0.5


def limits(spec: Spec, watch: tuple[Path, ...]) -> CommandLimits:
    return CommandLimits(
        wall_seconds=spec.limits.timeout_seconds,
        stall_seconds=spec.limits.stall_seconds,
        disk_bytes=spec.limits.max_disk_bytes,
        cpu_percent=spec.limits.max_cpu_percent,
        memory_bytes=spec.limits.max_memory_bytes,
        watch=watch,
        stop_grace_seconds=STOP_GRACE_SECONDS,
    )
