"""`ffrtmp config recommend`"""

import dataclasses
import os
import shutil

import click

from ffrtmp.cli import base, hardware, output, show, text

command = base.Group("config", help="Recommend settings for this hardware.", no_args_is_help=True)


def cores() -> int:
    """CPUs that this process may use: a container's share, not the host's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu() -> str:
    if shutil.which("nvidia-smi"):
        return "NVIDIA GPU"
    return "GPU (/dev/dri)" if os.path.exists("/dev/dri/renderD128") else ""


@command.command(
    "recommend",
    params=[base.output_option()],
    examples=["ffrtmp config recommend", "ffrtmp config recommend --cores 16 --memory 64"],
)
@click.option("--cores", "asked_cores", type=click.IntRange(1), help="For so many cores. Default: this machine's.")
@click.option("--memory", type=click.FloatRange(min=0.25), help="For so much memory, in GiB. Default: this machine's.")
def recommend(asked_cores: int | None, memory: float | None, output_format: str) -> None:
    """Say how many jobs at once and which presets suit this machine, and why."""
    import psutil

    total = int(memory * 1024**3) if memory else psutil.virtual_memory().total
    count = asked_cores or cores()
    advice = hardware.recommend(count, total, gpu=_gpu() if asked_cores is None else "")
    out = output.Output(json=output_format == "json")
    if out.json:
        out.document({"cores": count, "memory_bytes": total, **dataclasses.asdict(advice)})
        return
    show.pairs(
        out,
        [
            ("Machine", f"{advice.kind}, {count} cores, {text.memory(total)} of memory"),
            ("Jobs at once", str(advice.jobs)),
            *((f"Preset for {codec}", preset) for codec, preset in advice.presets.items()),
        ],
    )
    out.text("\nWhy")
    for reason in advice.reasons:
        out.text(f"  {reason}")
    if advice.avoid:
        out.text("\nBetter avoid")
        for line in advice.avoid:
            out.text(f"  {line}")
    out.text(f"\nStart the agent with: ffrtmp agent --register --max-concurrent-jobs {advice.jobs}")
