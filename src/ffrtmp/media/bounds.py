"""What a command may use, as the spec says; the same for every engine."""

from pathlib import Path

from ffrtmp.domain.command import CommandLimits
from ffrtmp.domain.spec import Limits

#: at SIGTERM an engine first encodes what it has read (seconds with x264's slow presets), into a file that nobody will have
STOP_GRACE_SECONDS = 0.5


def limits(asked: Limits, watch: tuple[Path, ...]) -> CommandLimits:
    return CommandLimits(
        wall_seconds=asked.timeout_seconds,
        stall_seconds=asked.stall_seconds,
        disk_bytes=asked.max_disk_bytes,
        cpu_percent=asked.max_cpu_percent,
        memory_bytes=asked.max_memory_bytes,
        watch=watch,
        stop_grace_seconds=STOP_GRACE_SECONDS,
    )
