"""Energy that this machine measured itself, in joules: whole CPU packages by RAPL, whole GPUs by NVML. Never estimated or split.

Both count what a whole device takes, whoever uses it. So what is told of an attempt is the device's energy while its commands ran,
with the number of attempts of this agent that ran beside it.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from ffrtmp.domain.energy import Energy

_POWERCAP = Path("/sys/class/powercap")
#: a RAPL counter starts again after some 262 kJ: eleven minutes at 400 W
_SAMPLE_SECONDS = 60.0


class Source(Protocol):
    name: str

    def joules(self) -> float:
        """Since some moment in the past, never less than before. Raises OSError when it cannot be read any more."""
        ...


class Package:
    """One CPU package: `energy_uj` counts up to `max_energy_range_uj` and starts again (kernel: power/powercap). Must be read at
    least once a round."""

    def __init__(self, zone: Path, name: str) -> None:
        self.name = f"rapl {name}"
        self._counter = zone / "energy_uj"
        self._round = int((zone / "max_energy_range_uj").read_text()) + 1
        self._last = self._read()
        self._total = 0

    def joules(self) -> float:
        now = self._read()
        self._total += (now - self._last) % self._round
        self._last = now
        return self._total / 1e6

    def _read(self) -> int:
        return int(self._counter.read_text())


def packages(powercap: Path = _POWERCAP) -> list[Package]:
    """The packages whose counters this user may read (by default only root may). Parts of a package and the platform as a whole are
    left out: they would count the same joules twice."""
    found = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        with contextlib.suppress(OSError, ValueError):
            name = (zone / "name").read_text().strip()
            if name.startswith("package"):
                found.append(Package(zone, name))
    return found


class Gpu:
    """One GPU of NVIDIA, which counts its millijoules since the driver was loaded."""

    def __init__(self, number: int, read: Callable[[], int]) -> None:
        self.name = f"nvml gpu {number}"
        self._read = read

    def joules(self) -> float:
        return self._read() / 1e3


def gpus() -> list[Gpu]:
    """Those that count, where the package nvidia-ml-py is installed (`pip install ffrtmp[nvidia]`) and a driver is loaded."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except (pynvml.NVMLError, OSError):  # no driver
        return []
    found = []
    for number, handle in enumerate(handles):
        gpu = Gpu(number, functools.partial(_millijoules, handle))
        with contextlib.suppress(OSError):  # older than Volta: it does not count
            gpu.joules()
            found.append(gpu)
    return found


def _millijoules(handle: object) -> int:
    import pynvml

    try:
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except pynvml.NVMLError as error:
        raise OSError(str(error)) from error


def sources() -> list[Source]:
    """All that measures on this machine."""
    return [*packages(), *gpus()]


class Span(msgspec.Struct, eq=False):
    """One measurement under way."""

    who: str
    began: dict[str, float]
    others: set[str]


class Meters:
    """All sources of a machine. Attempts say when they begin and end; meanwhile the counters are read often enough."""

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._sources = list(sources)
        self._open: list[Span] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def names(self) -> list[str]:
        return [source.name for source in self._sources]

    def begin(self, who: str) -> Span:
        span = Span(who, self._sample(), {other.who for other in self._open} - {who})
        for other in self._open:
            other.others |= {who} - {other.who}
        self._open.append(span)
        if self._sources and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SAMPLE_SECONDS, self._again)
        return span

    def end(self, span: Span) -> list[Energy]:
        self._open.remove(span)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return [
            Energy(source=name, joules=joules - span.began[name], shared_with=len(span.others))
            for name, joules in self._sample().items()
            if name in span.began
        ]

    def _again(self) -> None:
        self._sample()
        self._timer = asyncio.get_running_loop().call_later(_SAMPLE_SECONDS, self._again)

    def _sample(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for source in list(self._sources):
            try:
                found[source.name] = source.joules()
            except (OSError, ValueError):
                self._sources.remove(source)  # its joules would have a hole: nothing is told of it any more
        return found
