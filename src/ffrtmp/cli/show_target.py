"""How a target was met: the curve of a search for a VMAF, the encodes towards a size."""

from typing import TYPE_CHECKING

from ffrtmp.cli import output, text
from ffrtmp.domain import units

if TYPE_CHECKING:
    from ffrtmp.domain.job import Fit, Result, Search


def found(out: output.Output, made: "Result | None") -> None:
    """Nothing for a job without a target."""
    if made is not None and made.search is not None:
        search(out, made.search)
    if made is not None and made.fit is not None:
        fit(out, made.fit)


def search(out: output.Output, made: "Search") -> None:
    out.table(
        ["CRF", "VMAF", "BITRATE", "FRAMES"],
        [
            [f"{point.crf:g}", f"{point.vmaf:.2f}", text.bitrate(point.bitrate_bps), point.frames]
            for point in made.points
        ],
        right=("CRF", "VMAF", "BITRATE", "FRAMES"),
    )
    out.text(
        f"  target_vmaf {made.target_vmaf:g}: crf {made.crf:g}, VMAF {made.vmaf:.2f} expected at "
        f"{text.bitrate(made.bitrate_bps)}"
    )
    samples = "the whole clip" if made.samples == 1 else f"{made.samples} samples of together {made.frames} frames"
    out.text(f"  searched in {made.seconds:.1f} s on {samples}")
    out.text(f"  {_against_default(made)}")


def _against_default(made: "Search") -> str:
    change = made.bitrate_bps / made.default_bitrate_bps - 1 if made.default_bitrate_bps else 0.0
    less = f"{abs(change):.0%} {'more' if change > 0 else 'less'} bitrate"
    return (
        f"the default, crf {made.default_crf:g}, gives about {made.default_vmaf:.1f} at "
        f"{text.bitrate(made.default_bitrate_bps)}: this is {less}"
    )


def fit(out: output.Output, made: "Fit") -> None:
    out.table(
        ["ENCODE", "BITRATE", "BYTES", "OF THE TARGET"],
        [
            [number, text.bitrate(one.bitrate_bps), one.size_bytes, f"{100 * one.size_bytes / made.target_bytes:.2f} %"]
            for number, one in enumerate(made.encodes, 1)
        ],
        right=("ENCODE", "BITRATE", "BYTES", "OF THE TARGET"),
    )
    out.text(
        f"  target_size {made.target_bytes} bytes, {units.human_bytes(made.beside_bytes)} of them estimated for what is beside "
        "the picture"
    )
