"""Why work waits, as a stable code and a sentence, from the nodes that are there."""

import enum
from collections.abc import Iterable, Sequence

import msgspec

from ffrtmp.domain import node as nodes
from ffrtmp.domain.spec import Requires


class WaitingCode(enum.StrEnum):
    NO_NODES = "no_nodes"  # nothing is registered
    NO_NODE_FITS = "no_node_fits"  # no registered node satisfies the class: rejected after the grace period
    NODES_OFFLINE = "nodes_offline"  # those that would do are offline or draining
    NODES_BUSY = "nodes_busy"  # those that would do have no free slot
    NEXT = "next"  # a node is free: it is about to start
    BACKOFF = "backoff"  # it failed and waits before the next attempt
    DEPENDENCY = "dependency"  # it waits for another task of its job
    PAUSED = "paused"


class Waiting(msgspec.Struct, frozen=True):
    code: WaitingCode
    reason: str


def why(requires: Requires, known: Sequence[nodes.Node]) -> Waiting:
    """Why a queued task of this class is not running."""
    if not known:
        return Waiting(
            WaitingCode.NO_NODES, "No node is registered. Start one with `ffrtmp agent --register --master URL`."
        )
    fitting = [node for node in known if not nodes.unmet(requires, node)]
    if not fitting:
        nearest = min(known, key=lambda node: len(nodes.unmet(requires, node)))
        missing = "; ".join(nodes.unmet(requires, nearest))
        return Waiting(
            WaitingCode.NO_NODE_FITS,
            f"No registered node offers what the job requires. Nearest is {nearest.name}: {missing}.",
        )
    up = _working(fitting)
    if not up:
        names = ", ".join(sorted(node.name for node in fitting)[:5])
        return Waiting(WaitingCode.NODES_OFFLINE, f"The nodes that could run it are offline or draining: {names}.")
    if all(node.active_attempts >= node.slots for node in up):
        slots = sum(node.slots for node in up)
        taken = "The only slot" if slots == 1 else f"All {slots} slots"
        of = f"node {up[0].name}, which could run it," if len(up) == 1 else f"the {len(up)} nodes that could run it"
        return Waiting(WaitingCode.NODES_BUSY, f"{taken} of {of} {'is' if slots == 1 else 'are'} taken.")
    return Waiting(WaitingCode.NEXT, "A node has a free slot; the task starts with its next request for work.")


def _working(known: Iterable[nodes.Node]) -> list[nodes.Node]:
    return [node for node in known if node.status in (nodes.NodeStatus.AVAILABLE, nodes.NodeStatus.BUSY)]


def rivals(requires: Requires, classes: Iterable[tuple[int, Requires]], known: Sequence[nodes.Node]) -> tuple[int, ...]:
    """The classes of which a node may take a task before one with these requirements: it could run either. Nodes that are offline
    or draining count where no other could."""
    fitting = [node for node in known if not nodes.unmet(requires, node)]
    # machines of a farm are much alike: of those that offer the same, one is looked at
    offers = {
        (id(node.capabilities), node.cpu_threads, node.ram_total_bytes, tuple(sorted(node.labels.items()))): node
        for node in _working(fitting) or fitting
    }
    return tuple(
        class_id for class_id, other in classes if any(not nodes.unmet(other, node) for node in offers.values())
    )


def satisfied(classes: Iterable[tuple[int, Requires]], node: nodes.Node) -> tuple[int, ...]:
    """The ids of the classes whose requirements the node meets."""
    return tuple(class_id for class_id, requires in classes if not nodes.unmet(requires, node))
