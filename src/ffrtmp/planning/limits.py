"""What an attempt may use, in the units of the spec."""

from ffrtmp.domain import spec
from ffrtmp.protocol import bodies


def limits(given: bodies.LimitsBody) -> spec.Limits:
    return spec.Limits(
        timeout_seconds=given.timeout_sec,
        max_disk_bytes=mebibytes(given.max_disk_mb),
        max_cpu_percent=given.max_cpu_percent,
        max_memory_bytes=mebibytes(given.max_memory_mb),
    )


def mebibytes(value: int | None) -> int | None:
    return None if value is None else value * 1024 * 1024
