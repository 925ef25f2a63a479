"""Nodes: register, beat, list, drain, remove."""

from typing import Any
from urllib.parse import urlsplit

import msgspec

from ffrtmp.domain import errors, node, spec
from ffrtmp.master import auth, context
from ffrtmp.master.http.call import Call, Reply
from ffrtmp.protocol import agent, views
from ffrtmp.store import interface

#: the reference's agents beat every 30 s and know no other interval
REFERENCE_TTL_SECONDS = 90.0
REFERENCE_BEAT_SECONDS = 30.0
_register = msgspec.json.Decoder(agent.Register)
_beat = msgspec.json.Decoder(agent.Beat)


class RegisteredView(views.NodeView, frozen=True):
    """The node, and what an ffrtmp agent needs beside: see `protocol.agent.Registered`."""

    heartbeat_interval_seconds: float = REFERENCE_BEAT_SECONDS
    ttl_seconds: float = REFERENCE_TTL_SECONDS
    credential: str = ""


async def register(call: Call) -> Any:
    asked = call.decode(_register)
    new, credential, beat_seconds = _new_node(call, asked)
    if call.principal.node_id is not None:
        # a node's credential may bring back that node, and no other
        known = await call.master.store.get_node(call.principal.node_id)
        if known.name != new.name:
            raise errors.Forbidden(
                f"This credential belongs to node {known.name}; register {new.name} with the API key."
            )
    try:
        registered = await call.master.store.register(new)
    except errors.Conflict as refusal:
        call.master.log.warning("a node was refused", node=new.name, heard_from=new.heard_from, why=refusal.message)
        raise
    found = registered.node
    if credential:
        credential = auth.credential_for(found.id, credential)
        await call.master.store.set_credential(found.id, auth.digest(credential))
        call.master.auth.forget(found.id)
    call.master.classes.put_node(found)
    call.master.dispatcher.node_changed(found.id)
    call.master.log.info(
        "a node registered" if registered.created else "a node returned",
        node=found.name,
        node_id=found.id,
        slots=found.slots,
        restored=len(registered.restored),
    )
    call.master.dispatcher.ready(registered.ready_class_ids)
    call.master.events.notify()
    base = msgspec.structs.asdict(views.node_view(found))
    answer = RegisteredView(
        **base, heartbeat_interval_seconds=beat_seconds, ttl_seconds=new.ttl_us / 1e6, credential=credential
    )
    return Reply(body=answer, status=201 if registered.created else 200)


def _new_node(call: Call, asked: agent.Register) -> tuple[interface.NewNode, str, float]:
    """(the node, a secret for its credential or "", the heartbeat interval in seconds). Raises InvalidInput."""
    master, reference = call.master, asked.capabilities is None
    name = asked.name or _host_of(asked.address)
    faults = []
    if not name:
        faults.append(errors.Fault("name", "is missing; give a name, or an address whose host serves as one"))
    for field, value in (("name", name), ("origin", asked.origin)):
        if len(value) > 255 or any(ord(character) < 33 for character in value):
            faults.append(errors.Fault(field, "must be at most 255 characters without spaces or control characters"))
    if not 1 <= asked.slots <= agent.MOST_SLOTS:
        faults.append(errors.Fault("slots", f"{asked.slots} is out of range; 1 to {agent.MOST_SLOTS}"))
    if not 1 <= asked.cpu_threads <= 65536:
        faults.append(errors.Fault("cpu_threads", f"{asked.cpu_threads} is out of range; 1 to 65536"))
    if not 0 <= asked.ram_total_bytes < 2**53:
        faults.append(errors.Fault("ram_total_bytes", f"{asked.ram_total_bytes} is out of range; 0 to 2^53"))
    if not 0 <= asked.began_us < 2**53:
        faults.append(errors.Fault("began_us", f"{asked.began_us} is out of range; 0 to 2^53"))
    if not 1 <= asked.heartbeat_interval_seconds <= 3600:
        faults.append(errors.Fault("heartbeat_interval_seconds", "is out of range; 1 to 3600"))
    if not reference and not asked.incarnation:
        faults.append(errors.Fault("incarnation", "is missing; send a fresh random one at each start"))
    if faults:
        raise errors.InvalidInput(faults=faults)
    ttl = REFERENCE_TTL_SECONDS if reference else master.settings.ttl_seconds
    secret = auth.new_secret() if master.auth.required and not reference else ""
    new = interface.NewNode(
        id=context.new_id(),
        name=name,
        address=asked.address,
        type=asked.type,
        cpu_threads=asked.cpu_threads,
        cpu_model=asked.cpu_model,
        has_gpu=asked.has_gpu,
        gpu_type=asked.gpu_type,
        ram_total_bytes=asked.ram_total_bytes,
        labels=asked.labels,
        capabilities=asked.capabilities or _reference_capabilities(),
        slots=asked.slots,
        incarnation=asked.incarnation,
        origin=asked.origin,
        began_us=asked.began_us,
        heard_from=call.client_address,
        version=asked.version,
        ttl_us=int(ttl * 1e6),
        heartbeat_interval_us=int((REFERENCE_BEAT_SECONDS if reference else asked.heartbeat_interval_seconds) * 1e6),
    )
    return new, secret, REFERENCE_BEAT_SECONDS if reference else asked.heartbeat_interval_seconds


def _host_of(address: str) -> str:
    try:
        return urlsplit(address if "://" in address else f"//{address}").hostname or ""
    except ValueError:  # such as half an IPv6 address
        return ""


def _reference_capabilities() -> node.Capabilities:
    """A reference agent does not say what works there; it has FFmpeg with the usual software encoders."""
    usual = (
        ("libx264", spec.Codec.H264),
        ("libx265", spec.Codec.H265),
        ("libvpx", spec.Codec.VP8),
        ("libvpx-vp9", spec.Codec.VP9),
        ("libaom-av1", spec.Codec.AV1),
    )
    return node.Capabilities(
        engines={"ffmpeg": "unknown"},
        encoders=[
            node.Encoder(name=name, codec=codec, engine=spec.Engine.FFMPEG, works=True, detail="assumed")
            for name, codec in usual
        ],
        reference_protocol=True,
    )


async def heartbeat(call: Call) -> Any:
    node_id = call.path["node_id"]
    call.principal.may_act_for(node_id)
    beat = call.decode(_beat) if call.body.strip() else agent.Beat()
    reference = not beat.incarnation
    result = await call.master.store.beat(
        interface.BeatCall(
            node_id=node_id,
            incarnation=beat.incarnation,
            attempts=tuple(beat.attempts),
            all_attempts=reference,
            drain=beat.drain,
        )
    )
    dispatcher = call.master.dispatcher
    if any(attempt.started for attempt in beat.attempts):
        call.master.events.notify()
    known = await call.master.classes.node(node_id, incarnation=beat.incarnation)
    if beat.drain is not None:
        call.master.classes.drop_node(node_id)
    return agent.BeatReply(
        ttl_seconds=known.ttl_us / 1e6,
        directives=[
            agent.Directive(attempt_id=attempt_id, command=command, follow_seconds=dispatcher.followed(attempt_id))
            for attempt_id, command in result.commands.items()
        ],
        drain=result.drain,
    )


async def listing(call: Call) -> Any:
    nodes = await call.master.store.nodes()
    return views.NodePage(nodes=[views.node_view(one) for one in nodes], count=len(nodes))


async def one(call: Call) -> Any:
    return views.node_view(await call.master.store.get_node(call.path["node_id"]))


async def drain(call: Call) -> Any:
    on = ("on", "false") not in call.query()
    found = await call.master.store.drain(call.path["node_id"], on=on, by=call.who)
    call.master.classes.put_node(found)
    call.master.dispatcher.command([found.id])
    call.master.events.notify()
    return views.node_view(found)


async def remove(call: Call) -> Any:
    found = await call.master.store.get_node(call.path["node_id"])
    await call.master.store.remove_node(found.id, by=call.who)
    call.master.classes.drop_node(found.id)
    call.master.dispatcher.node_changed(found.id)
    call.master.auth.forget(found.id)
    call.master.events.notify()
    return Reply(status=204)
