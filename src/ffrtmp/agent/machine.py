"""What this machine is, from /proc and /sys: no tool is run, no GPU library is needed."""

import contextlib
from pathlib import Path

import msgspec

from ffrtmp.agent import settings
from ffrtmp.domain.node import NodeType

#: SMBIOS 3.7, table 17 (chassis types)
_DESKTOPS = frozenset({3, 4, 5, 6, 7, 13, 15, 16, 24, 35, 36})
_LAPTOPS = frozenset({8, 9, 10, 11, 14, 30, 31, 32})
#: PCI vendor ids of those that make GPUs which encode
_VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}

#: the kernel's half of a driver
_DRIVERS = (
    "/proc/driver/nvidia/version",
    "/sys/module/i915/srcversion",
    "/sys/module/xe/srcversion",
    "/sys/module/amdgpu/srcversion",
)
_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    type: NodeType
    cpu_threads: int
    cpu_model: str
    ram_total_bytes: int
    has_gpu: bool
    gpu_type: str
    driver: str  #: what tells of the GPU's driver: with another one, encoders are probed anew
    nvidia: tuple[str, ...] = ()  #: numbers of the NVIDIA GPUs
    render_nodes: tuple[str, ...] = ()  #: of GPUs of all makes


def detect() -> Machine:
    nvidia = _nvidia()
    gpus = nvidia or _render_nodes()
    return Machine(
        type=_type(),
        cpu_threads=settings.cores(),
        cpu_model=_cpu_model(),
        ram_total_bytes=_memory(),
        has_gpu=bool(gpus),
        gpu_type=", ".join(sorted(set(gpus))),
        driver="\n".join([*(_text(path) for path in _DRIVERS), *_libraries()]).strip(),
        nvidia=tuple(str(number) for number in range(len(nvidia))),
        render_nodes=tuple(str(device) for device in sorted(Path("/dev/dri").glob("renderD*"))),
    )


def _libraries() -> list[str]:
    """The drivers' other half, which a package upgrade may replace alone: name, size and time of each."""
    found: list[str] = []
    for folder in _LIBRARIES:
        for pattern in ("libnvidia-encode.so.*", "libcuda.so.*", "dri/*_drv_video.so", "libmfx*", "libvpl*"):
            for path in sorted(Path(folder).glob(pattern)):
                with contextlib.suppress(OSError):
                    stat = path.stat()
                    found.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
    return found


def boot_id() -> str:
    """Random, the same from one start of this machine to the next; "" where the kernel does not say."""
    return _text("/proc/sys/kernel/random/boot_id")


def _text(path: str | Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path(path).read_text().strip()
    return ""


def _cpu_model() -> str:
    lines = _text("/proc/cpuinfo").splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(named, "")


def _memory() -> int:
    """Bytes; a container's limit counts where it is lower."""
    import psutil

    total: int = psutil.virtual_memory().total
    limits = [_text("/sys/fs/cgroup/memory.max"), _text("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    return min([total, *(int(limit) for limit in limits if limit.isdigit() and int(limit) > 0)])


def _type() -> NodeType:
    chassis = _text("/sys/class/dmi/id/chassis_type")
    number = int(chassis) if chassis.isdigit() else 0
    if number in _LAPTOPS or any(Path("/sys/class/power_supply").glob("BAT*")):
        return NodeType.LAPTOP
    return NodeType.DESKTOP if number in _DESKTOPS else NodeType.SERVER


def _nvidia() -> list[str]:
    lines = (
        line for card in Path("/proc/driver/nvidia/gpus").glob("*/information") for line in _text(card).splitlines()
    )
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]


def _render_nodes() -> list[str]:
    found = (_VENDORS.get(_text(node / "device/vendor"), "") for node in Path("/sys/class/drm").glob("renderD*"))
    return [vendor for vendor in found if vendor]
