"""RAPL on a tree of plain files as the kernel has it, and how joules are told of attempts that run beside each other."""

import sys
import types

import pytest

from ffrtmp.domain.energy import Energy
from ffrtmp.process import energy

RANGE_UJ = 262_143_328_850


class Zone:
    def __init__(self, powercap, number, name, microjoules=0):
        self.path = powercap / number
        self.path.mkdir(parents=True)
        (self.path / "name").write_text(f"{name}\n")
        (self.path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        self.set(microjoules)

    def set(self, microjoules):
        (self.path / "energy_uj").write_text(f"{microjoules}\n")


def test_packages_are_counted_and_their_parts_are_not(tmp_path):
    Zone(tmp_path, "intel-rapl:0", "package-0")
    Zone(tmp_path, "intel-rapl:0:0", "core")
    Zone(tmp_path, "intel-rapl:0:1", "dram")
    Zone(tmp_path, "intel-rapl:1", "package-1")
    Zone(tmp_path, "intel-rapl:2", "psys")
    assert [one.name for one in energy.packages(tmp_path)] == ["rapl package-0", "rapl package-1"]


def test_a_counter_that_starts_again(tmp_path):
    zone = Zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 4_000_000)
    [package] = energy.packages(tmp_path)
    assert package.joules() == 0.0
    zone.set(RANGE_UJ - 1_000_000)
    assert package.joules() == pytest.approx(3.0)
    zone.set(999_999)  # the step from the largest value to 0 is one microjoule
    assert package.joules() == pytest.approx(5.0)
    zone.set(RANGE_UJ)
    zone.set(1_999_999)
    assert package.joules() == pytest.approx(6.0)


def test_a_machine_without_rapl_and_a_counter_that_is_not_to_be_read(tmp_path):
    assert energy.packages(tmp_path / "none") == []
    zone = Zone(tmp_path, "intel-rapl:0", "package-0")
    (zone.path / "energy_uj").unlink()
    assert energy.packages(tmp_path) == []


async def test_what_is_told_of_attempts_side_by_side(tmp_path):
    zone = Zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ)
    meters = energy.Meters(energy.packages(tmp_path))
    first = meters.begin("a")
    zone.set(9_999_999)
    second = meters.begin("b")
    zone.set(19_999_999)
    assert meters.end(second) == [Energy(source="rapl package-0", joules=10.0, shared_with=1)]
    third = meters.begin("c")
    assert meters.end(first) == [Energy(source="rapl package-0", joules=20.0, shared_with=2)]
    zone.set(20_999_999)
    assert meters.end(third) == [Energy(source="rapl package-0", joules=1.0, shared_with=1)]
    alone = meters.begin("d")
    assert meters.end(alone) == [Energy(source="rapl package-0", joules=0.0)]
    assert meters._timer is None


async def test_a_counter_that_fails_meanwhile_tells_nothing(tmp_path):
    zone = Zone(tmp_path, "intel-rapl:0", "package-0")
    meters = energy.Meters(energy.packages(tmp_path))
    span = meters.begin("a")
    (zone.path / "energy_uj").unlink()
    assert meters.end(span) == []
    assert meters.names == []


async def test_counters_are_read_meanwhile_so_that_no_round_is_missed(tmp_path, monkeypatch):
    """More than one round during an attempt: only what was read in between can tell."""
    zone = Zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meters = energy.Meters(energy.packages(tmp_path))
    span = meters.begin("a")
    for _ in range(3):
        zone.set(RANGE_UJ // 2)
        meters._again()
        zone.set(0)
        meters._again()
    [told] = meters.end(span)
    assert told.joules == pytest.approx(3 * (RANGE_UJ + 1) / 1e6)


def test_nothing_is_invented_where_nothing_measures():
    meters = energy.Meters()
    assert meters.end(meters.begin("a")) == []


class Nvml(types.ModuleType):
    """As much of `pynvml` as is used: one GPU that counts, one that is too old."""

    class NVMLError(Exception): ...

    def __init__(self, driver=True):
        super().__init__("pynvml")
        self.driver, self.millijoules = driver, 5_000

    def nvmlInit(self):
        if not self.driver:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, number):
        return number

    def nvmlDeviceGetTotalEnergyConsumption(self, number):
        if number == 0:
            raise self.NVMLError("Not Supported")
        return self.millijoules


def test_gpus_that_count(monkeypatch):
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    [gpu] = energy.gpus()
    assert (gpu.name, gpu.joules()) == ("nvml gpu 1", 5.0)
    nvml.millijoules = 7_500
    assert gpu.joules() == 7.5


def test_a_machine_without_a_driver_or_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(driver=False))
    assert energy.gpus() == []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.gpus() == []
