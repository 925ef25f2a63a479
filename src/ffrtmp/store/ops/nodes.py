"""Nodes: register, drain, remove, read."""

import functools
from collections.abc import Sequence

import msgspec

from ffrtmp.domain import errors, node
from ffrtmp.domain.errors import Code, Failure
from ffrtmp.domain.job import EventKind
from ffrtmp.store import calls, interface
from ffrtmp.store.ops import graph, rows
from ffrtmp.store.ops.unit import Targets, Unit
from ffrtmp.store.tx import Row, Tx

_labels = msgspec.json.Decoder(dict[str, str]).decode
# the sweeps list all nodes every few seconds, thousands of them, and machines of a farm are much alike
_capabilities = functools.lru_cache(maxsize=8192)(msgspec.json.Decoder(node.Capabilities).decode)
OFFLINE_AFTER_BEATS = 3


class _NodeRow(msgspec.Struct, gc=False):
    id: str
    name: str
    address: str
    type: str
    cpu_threads: int
    cpu_model: str
    has_gpu: int
    gpu_type: str
    ram_total_bytes: int
    labels_text: str
    capabilities_text: str
    slots: int
    incarnation: str
    origin: str
    began_us: int
    heard_from: str
    version: str
    ttl_us: int
    heartbeat_interval_us: int
    at: int


class _Holder(msgspec.Struct, gc=False):
    """The agent that has a name: the one that registered last."""

    id: str
    origin: str
    began_us: int
    address: str
    heard_from: str
    heartbeat_interval_us: int
    live_leases: int


def _name(new: interface.NewNode) -> str:
    return new.name or new.address


async def _refs(unit: Unit, refs: set[str]) -> dict[str, str]:
    """Node ids by id and by name."""
    found: dict[str, str] = {}
    for node_id, name in await unit.tx.all("node_refs", ids=sorted(refs)):
        found.setdefault(name, node_id)
        found[node_id] = node_id
    return found


async def register_targets(unit: Unit, batch: Sequence[calls.Register], into: Targets) -> None:
    known = await _refs(unit, {_name(call.new) for call in batch})
    into.nodes.update(known.values())
    if known:
        into.jobs.update(row[0] for row in await unit.tx.all("lease_jobs_of_nodes", ids=sorted(set(known.values()))))


async def ref_targets(unit: Unit, batch: Sequence[calls.Drain | calls.RemoveNode], into: Targets) -> None:
    into.nodes.update((await _refs(unit, {call.ref for call in batch})).values())


async def register(unit: Unit, batch: Sequence[calls.Register]) -> list[interface.RegisteredNode | errors.FfrtmpError]:
    by_name = {known.name: known for known in unit.nodes.values()}
    ids = sorted({by_name[_name(call.new)].id for call in batch if _name(call.new) in by_name})
    holders = {row[0]: _Holder(*row) for row in await unit.tx.all("node_holders", ids=ids, now=unit.now)}
    fresh: set[str] = set()
    answers: list[errors.FfrtmpError | tuple[bool, list[interface.AttemptResult]]] = []
    for call in sorted(batch, key=lambda one: _name(one.new)):
        known = by_name.get(_name(call.new))
        if known is None:
            row = _row(call.new, call.new.id, unit.now)
            await unit.tx.change("node_insert", [row])
            unit.count("nodes")
            fresh.add(row.id)
            made = rows.Node(row.id, row.name, row.incarnation, 0, 0, 0, row.ttl_us, unit.now)
            unit.nodes[made.id] = by_name[made.name] = made
    for call in batch:
        known = by_name[_name(call.new)]
        new = known.id in fresh
        fresh.discard(known.id)
        holder = holders.get(known.id)
        if holder is not None and (refusal := _taken(unit, known, holder, call.new) or _late(known, holder, call.new)):
            answers.append(refusal)
            continue
        holders[known.id] = _Holder(
            known.id,
            call.new.origin,
            call.new.began_us,
            call.new.address,
            call.new.heard_from,
            call.new.heartbeat_interval_us,
            0,
        )
        taken: list[interface.AttemptResult] = []
        if known.incarnation != call.new.incarnation:
            # what was leased after this transaction looked for its jobs, and before it had the node
            late = await unit.tx.all("lease_jobs_of_nodes", ids=[known.id])
            await unit.lock_jobs((row[0] for row in late), wait=False)
            taken = _take_back(unit, known)
        if not new:
            await unit.tx.change("node_replace", [_row(call.new, known.id, unit.now)])
            known.incarnation, known.ttl_us, known.last_heartbeat = call.new.incarnation, call.new.ttl_us, unit.now
            known.stopping = known.lost = 0
        answers.append((new, taken))
        data = f'{{"name":{rows.json_text(known.name)},"new":{"true" if new else "false"}}}'
        unit.event(EventKind.NODE_REGISTERED, node_id=known.id, data=data)
        unit.changed_nodes.add(known.id)
    await unit.flush()
    nodes = await _some(unit.tx, sorted({by_name[_name(call.new)].id for call in batch}), unit.now)
    return [
        answer if isinstance(answer, errors.FfrtmpError) else _registered(nodes[by_name[_name(call.new)].id], *answer)
        for call, answer in zip(batch, answers, strict=True)
    ]


def _registered(found: node.Node, new: bool, taken: list[interface.AttemptResult]) -> interface.RegisteredNode:
    return interface.RegisteredNode(
        found,
        new,
        list(dict.fromkeys(result.job_id for result in taken)),
        tuple(sorted({class_id for result in taken for class_id in result.ready_class_ids})),
    )


def _taken(unit: Unit, known: rows.Node, holder: _Holder, new: interface.NewNode) -> errors.Conflict | None:
    """Why the name is not free for this agent: another that may still live, or run an attempt, has it (decision 10)."""
    if holder.origin in ("", new.origin):
        return None
    patience_us = OFFLINE_AFTER_BEATS * holder.heartbeat_interval_us
    silent_us = unit.now - known.last_heartbeat
    if not holder.live_leases and (known.stopping or silent_us > patience_us):
        return None
    where = holder.address + (f" ({holder.heard_from})" if holder.heard_from else "")
    return errors.Conflict(
        f"The name {known.name} is taken: an agent on {where} has it, heard {max(silent_us, 0) / 1e6:.0f} s ago. Give this agent"
        f" another --name, or stop that one. If that one is gone, wait: its name is free when it was silent for"
        f" {patience_us / 1e6:g} s and its leases have ended.",
        code="name_taken",
    )


def _late(known: rows.Node, holder: _Holder, new: interface.NewNode) -> errors.Conflict | None:
    """Why this is no restart: it was sent before the agent started anew, or is a copy of what was, and only came later. What the
    present process has would be given to others while it runs."""
    if not new.origin or new.origin != holder.origin or new.began_us >= holder.began_us:
        return None
    return errors.Conflict(
        f"The agent of {known.name} has registered anew since.", state=str(holder.began_us), code="superseded"
    )


def _take_back(unit: Unit, known: rows.Node) -> list[interface.AttemptResult]:
    """The agent restarted: what its predecessor had is free at once."""
    failure = Failure(code=Code.NODE_LOST, message=f"The agent on {known.name} restarted while it had the task.")
    theirs = [lease for of in unit.jobs.values() for lease in of.leases if lease.node_id == known.id]
    return [graph.lose(unit, lease, failure, back_off=False) for lease in theirs]


def _row(new: interface.NewNode, node_id: str, at: int) -> _NodeRow:
    return _NodeRow(
        node_id,
        _name(new),
        new.address,
        new.type.value,
        new.cpu_threads,
        new.cpu_model,
        int(new.has_gpu),
        new.gpu_type,
        new.ram_total_bytes,
        rows.json_text(dict(new.labels)),
        rows.json_text(new.capabilities),
        new.slots,
        new.incarnation,
        new.origin,
        new.began_us,
        new.heard_from,
        new.version,
        new.ttl_us,
        new.heartbeat_interval_us,
        at,
    )


class _Credential(msgspec.Struct, gc=False):
    id: str
    sha256: str


async def set_credential(unit: Unit, batch: Sequence[calls.SetCredential]) -> list[errors.FfrtmpError | None]:
    known = [_Credential(call.node_id, call.sha256) for call in batch if call.node_id in unit.nodes]
    await unit.tx.change("node_credential_set", known)
    unit.changed_nodes.update(one.id for one in known)
    return [None if call.node_id in unit.nodes else no_node(call.node_id) for call in batch]


async def credential_targets(unit: Unit, batch: Sequence[calls.SetCredential], into: Targets) -> None:  # noqa: ARG001
    into.nodes.update(call.node_id for call in batch)


def _find(unit: Unit, ref: str) -> rows.Node | None:
    return unit.nodes.get(ref) or next((known for known in unit.nodes.values() if known.name == ref), None)


def no_node(ref: str) -> errors.NotFound:
    return errors.NotFound(f"There is no node {ref}.")


async def drain(unit: Unit, batch: Sequence[calls.Drain]) -> list[node.Node | errors.FfrtmpError]:
    for call in batch:
        known = _find(unit, call.ref)
        if known is not None and bool(known.draining) is not call.on:
            known.draining = int(call.on)  # not `stopping`: that its agent stops is the agent's to say
            unit.touch_node(known)
            data = rows.with_who({"on": call.on}, call.by)
            unit.event(EventKind.NODE_DRAIN, node_id=known.id, data=data)
            unit.changed_nodes.add(known.id)
    await unit.flush()
    found = [_find(unit, call.ref) for call in batch]
    nodes = await _some(unit.tx, [known.id for known in found if known], unit.now)
    return [
        nodes[known.id] if known is not None else no_node(call.ref) for call, known in zip(batch, found, strict=True)
    ]


class _Removal(msgspec.Struct, gc=False):
    id: str
    at: int


async def remove(unit: Unit, batch: Sequence[calls.RemoveNode]) -> list[errors.FfrtmpError | None]:
    answers: list[errors.FfrtmpError | None] = []
    for call in batch:
        known = _find(unit, call.ref)
        if known is None:
            answers.append(no_node(call.ref))
            continue
        refused = _still_there(known, (await _some(unit.tx, [known.id], unit.now))[known.id], unit.now)
        if refused is not None:
            answers.append(refused)
            continue
        await unit.tx.change("node_remove", [_Removal(known.id, unit.now)])
        del unit.nodes[known.id]
        unit.count("nodes", -1)
        unit.changed_nodes.add(known.id)
        unit.event(EventKind.NODE_REMOVED, node_id=known.id, data=rows.with_who({"name": known.name}, call.by))
        answers.append(None)
    return answers


def _still_there(known: rows.Node, seen: node.Node, now: int) -> errors.Conflict | None:
    """Why a node cannot be removed: it has work, or an agent that would join again at once, and know of no drain."""
    if seen.active_attempts:
        return errors.Conflict(
            f"Node {seen.name} has {seen.active_attempts} running: drain it first, or wait until its leases end.",
            state="busy",
        )
    if seen.status is node.NodeStatus.OFFLINE or known.stopping:
        return None
    silent = max(0, now - seen.last_heartbeat) / 1e6
    return errors.Conflict(
        f"Node {seen.name} is alive: its agent was heard of {silent:.0f} s ago, and would join again. Stop the agent first; one"
        " that was killed counts as gone after three heartbeats of silence. To give it no more work while it runs, drain it.",
        state=seen.status.value,
    )


async def everything(tx: Tx, now: int) -> list[node.Node]:
    return [_node(row, now) for row in await tx.all("nodes_all")]


async def _some(tx: Tx, refs: Sequence[str], now: int) -> dict[str, node.Node]:
    return {row[0]: _node(row, now) for row in await tx.all("nodes_some", refs=list(refs))} if refs else {}


async def get(tx: Tx, ref: str, now: int) -> node.Node:
    found = await _some(tx, [ref], now)
    if not found:
        raise no_node(ref)
    return found.get(ref) or next(iter(found.values()))


async def credential(tx: Tx, node_id: str) -> str:
    row = await tx.one("node_credential", node_id=node_id)
    if row is None:
        raise no_node(node_id)
    return str(row[0])


def _node(row: Row, now: int) -> node.Node:
    slots, draining, active = row[11], bool(row[12] or row[13]), row[19]
    if row[17] + OFFLINE_AFTER_BEATS * row[18] < now:
        status = node.NodeStatus.OFFLINE
    elif draining:
        status = node.NodeStatus.DRAINING
    else:
        status = node.NodeStatus.BUSY if active >= slots else node.NodeStatus.AVAILABLE
    return node.Node(
        id=row[0],
        name=row[1],
        address=row[2],
        type=node.NodeType(row[3]),
        status=status,
        cpu_threads=row[4],
        cpu_model=row[5],
        has_gpu=bool(row[6]),
        gpu_type=row[7],
        ram_total_bytes=row[8],
        labels=_labels(row[9]),
        capabilities=_capabilities(row[10]),
        slots=slots,
        active_attempts=active,
        draining=draining,
        incarnation=row[14],
        version=row[15],
        registered_at=row[16],
        last_heartbeat=row[17],
        ttl_us=row[20],
    )
