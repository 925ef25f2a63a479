"""A plan as options of the command line, and back: what repeats a run is a command."""

import argparse
from collections.abc import Iterable

import msgspec

from ffrtmp.testing.mutants.catalog import MUTANTS
from ffrtmp.testing.simulator import plan

_JOBS = 60
#: option → field of the plan, where both are numbers
_NUMBERS = {
    "masters": "masters",
    "agents": "agents",
    "slots": "slots",
    "ttl": "ttl_seconds",
    "horizon": "horizon_seconds",
    "settling": "settling_seconds",
}


def add(parser: argparse.ArgumentParser) -> None:
    """What else a seed decides, to be said instead."""
    group = parser.add_argument_group("the farm and its faults (default: as the seed has it)")
    group.add_argument("--jobs", type=count, default=_JOBS, help=f"in each run (default: {_JOBS})")
    group.add_argument("--masters", type=count)
    group.add_argument("--agents", type=count)
    group.add_argument("--slots", type=count, help="of each agent")
    group.add_argument("--ttl", type=_seconds, metavar="SECONDS", help="the lease time")
    group.add_argument("--horizon", type=_seconds, metavar="SECONDS", help="how long there are faults")
    group.add_argument("--settling", type=_seconds, metavar="SECONDS", help="how long all may take to end then")
    group.add_argument("--faults", type=_kinds, metavar="KINDS", help=f"'none', or some of {','.join(plan.FAULTS)}")
    group.add_argument(
        "--happening", type=_numbers, metavar="NUMBERS", help="of the faults that strike one by one only these: 3,7-9"
    )
    group.add_argument("--mutant", choices=sorted(MUTANTS), default="", metavar="NAME", help="with a deliberate fault")


def chosen(asked: argparse.Namespace, seed: int) -> plan.Plan:
    made = plan.from_seed(seed, jobs=asked.jobs, mutant=asked.mutant)
    said = {field: getattr(asked, option) for option, field in _NUMBERS.items()}
    said |= {"faults": asked.faults, "happening": asked.happening}
    return msgspec.structs.replace(made, **{field: value for field, value in said.items() if value is not None})


def arguments(of: plan.Plan) -> list[str]:
    """Those that make this plan: its seed, and what is not as the seed has it."""
    usual = plan.from_seed(of.seed, jobs=_JOBS)
    words = ["--seeds", str(of.seed)]
    for option, field in {"jobs": "jobs", **_NUMBERS}.items():
        if getattr(of, field) != getattr(usual, field):
            words += [f"--{option}", f"{getattr(of, field):g}"]
    if of.faults != usual.faults:
        words += ["--faults", ",".join(kind for kind in plan.FAULTS if kind in of.faults) or "none"]
    if of.happening is not None:
        words += ["--happening", ranges(of.happening) or "0"]
    return [*words, "--mutant", of.mutant] if of.mutant else words


def ranges(numbers: Iterable[int]) -> str:
    """{3, 7, 8, 9} → "3,7-9"."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def seeds(text: str) -> range:
    """ "0-99" or "7"."""
    first, _, last = text.partition("-")
    if not first.isdigit() or (last and not last.isdigit()) or int(last or first) < int(first):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of seeds; write 0-99, or one seed")
    return range(int(first), int(last or first) + 1)


def _numbers(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise argparse.ArgumentTypeError(f"{part!r} is no number or range of numbers; write 3,7-9")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _kinds(text: str) -> frozenset[str]:
    kinds = frozenset() if text == "none" else frozenset(text.split(","))
    unknown = sorted(kinds.difference(plan.FAULTS))
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: no such fault; choose from {', '.join(plan.FAULTS)}")
    return kinds


def count(text: str) -> int:
    """An option's number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds above 0")
    return seconds
