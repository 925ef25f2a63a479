"""A share of the machine for a process, by a control group: as if it had a smaller machine of its own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
#: short, so that a share is not one long run and one long pause
_PERIOD_US = 20_000


class Unavailable(Exception):
    """There is no cpu controller here, or it may not be used: that takes root."""


@contextlib.contextmanager
def held(pid: int, cores: float) -> Iterator[None]:
    """So much of a core for this process, until it has ended: that must be before the end of the context. Raises Unavailable."""
    quota = int(cores * _PERIOD_US)
    if (_ROOT / "cpu" / "cgroup.procs").exists():  # version 1
        group = _ROOT / "cpu" / f"ffrtmp-bench-{pid}"
        settings = {"cpu.cfs_period_us": str(_PERIOD_US), "cpu.cfs_quota_us": str(quota)}
    else:
        group = _ROOT / f"ffrtmp-bench-{pid}"
        settings = {"cpu.max": f"{quota} {_PERIOD_US}"}
    made = False
    try:
        try:
            group.mkdir()
            made = True
            for name, value in settings.items():
                (group / name).write_text(value)
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise Unavailable(str(error)) from error
        yield
    finally:
        if made:
            group.rmdir()
