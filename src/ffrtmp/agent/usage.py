"""What the commands of one attempt took, summed up as they end."""

from collections.abc import Iterable
from typing import Any

import msgspec

from ffrtmp.domain.energy import Energy
from ffrtmp.process import run


class Usage:
    def __init__(self) -> None:
        self._cpu_seconds = 0.0
        self._peak_memory_bytes = 0
        self._read_bytes: int | None = None
        self._written_bytes: int | None = None
        self._energy: dict[str, Energy] = {}

    def add(self, outcome: run.Outcome, energy: Iterable[Energy], *, group_cpu_seconds: float | None) -> None:
        """`group_cpu_seconds`: of the attempt's control group since its beginning, which also has what nobody waited for."""
        self._cpu_seconds = max(self._cpu_seconds + outcome.cpu_seconds, group_cpu_seconds or 0.0)
        self._peak_memory_bytes = max(self._peak_memory_bytes, outcome.max_rss_bytes)
        self._read_bytes = _sum(self._read_bytes, outcome.read_bytes)
        self._written_bytes = _sum(self._written_bytes, outcome.written_bytes)
        for one in energy:
            before = self._energy.get(one.source, Energy(source=one.source, joules=0.0))
            self._energy[one.source] = msgspec.structs.replace(
                one, joules=before.joules + one.joules, shared_with=max(before.shared_with, one.shared_with)
            )

    def fields(self) -> dict[str, Any]:
        """As the result has them."""
        return {
            "cpu_seconds": round(self._cpu_seconds, 3),
            "peak_memory_bytes": self._peak_memory_bytes,
            "read_bytes": self._read_bytes,
            "written_bytes": self._written_bytes,
            "energy": [msgspec.structs.replace(one, joules=round(one.joules, 3)) for one in self._energy.values()],
        }


def _sum(before: int | None, more: int | None) -> int | None:
    return before if more is None else (before or 0) + more
