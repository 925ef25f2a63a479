"""`ffrtmp nodes list|describe|drain|remove`"""

from typing import TYPE_CHECKING

import click

from ffrtmp.cli import connection, output, show, text

if TYPE_CHECKING:
    from ffrtmp.protocol.views import NodeView

command = connection.Group("nodes", help="See the machines, drain and remove them.", no_args_is_help=True)


@command.command("list", examples=["ffrtmp nodes list", "ffrtmp nodes list --output json"])
async def list_(session: connection.Session) -> None:
    """List the machines."""
    async with session.open() as client:
        page = await client.nodes()
    if session.out.json:
        session.out.document(page)
        return
    if not page.nodes:
        session.out.say("No nodes. Start an agent on each machine: ffrtmp agent --register --master URL")
        return
    session.out.table(
        ["NAME", "STATUS", "JOBS", "CPUS", "MEMORY", "SEEN", "ENCODES"],
        [
            [
                node.name,
                output.state(_status(node)),
                f"{node.active_jobs}/{node.slots}",
                node.cpu_threads,
                text.memory(node.ram_total_bytes),
                text.ago(node.last_heartbeat),
                ", ".join(_codecs(node)) or "nothing",
            ]
            for node in page.nodes
        ],
        right=("JOBS", "CPUS", "MEMORY"),
    )


def _status(node: "NodeView") -> str:
    return "draining" if node.draining and node.status != "offline" else node.status


def _codecs(node: "NodeView") -> list[str]:
    return list(dict.fromkeys(encoder.codec.value for encoder in node.encoders if encoder.works))


@command.command("describe", examples=["ffrtmp nodes describe worker-01"])
@click.argument("node")
async def describe(session: connection.Session, node: str) -> None:
    """Show one machine in full: hardware, engines, encoders that were tried.

    NODE is a name or an id.
    """
    async with session.open() as client:
        found = await client.node(node)
    if session.out.json:
        session.out.document(found)
    else:
        _page(session.out, found)


def _page(out: output.Output, node: "NodeView") -> None:
    out.text(node.name)
    show.pairs(
        out,
        [
            ("Id", node.id),
            ("Status", _status(node)),
            ("Jobs", f"{node.active_jobs} of {node.slots}"),
            ("Machine", f"{node.type}, {node.cpu_model or 'CPU unknown'}, {node.cpu_threads} threads"),
            ("Memory", text.memory(node.ram_total_bytes)),
            ("GPU", (node.gpu_type or "yes") if node.has_gpu else "none"),
            *([("GPU sessions", str(node.gpu_sessions))] if node.gpu_sessions is not None else []),
            ("Address", node.address),
            ("Labels", ", ".join(f"{name}={value}" for name, value in node.labels.items())),
            ("Media roots", ", ".join(node.media_roots) or "none: it takes and makes uploads only"),
            ("Engines", ", ".join(f"{name} {version}" for name, version in node.engines.items()) or "none"),
            ("CPU limits", node.limits.get("cpu", "")),
            ("Memory limits", node.limits.get("memory", "")),
            ("Energy", ", ".join(node.energy) or "not measured"),
            ("Measures", ", ".join(node.metrics) or "nothing"),
            ("Version", node.version),
            ("Registered", text.clock(node.registered_at)),
            ("Last seen", f"{text.clock(node.last_heartbeat)} ({text.ago(node.last_heartbeat)})"),
        ],
    )
    if node.encoders:
        out.text("")
        out.table(
            ["ENCODER", "CODEC", "ENGINE", "WORKS", "DETAIL"],
            [
                [
                    encoder.name,
                    encoder.codec.value,
                    encoder.engine.value,
                    "yes" if encoder.works else "no",
                    f"on {', '.join(encoder.devices)}" if encoder.devices else encoder.detail,
                ]
                for encoder in sorted(node.encoders, key=lambda encoder: (not encoder.works, encoder.codec.value))
            ],
        )
    if node.decoders:
        out.text("")
        out.table(
            ["DECODER", "CODEC", "WORKS", "DETAIL"],
            [
                [
                    decoder.hwaccel.value,
                    decoder.codec.value,
                    "yes" if decoder.works else "no",
                    f"on {', '.join(decoder.devices)}" if decoder.works else decoder.detail,
                ]
                for decoder in node.decoders
            ],
        )


@command.command("drain", examples=["ffrtmp nodes drain worker-01", "ffrtmp nodes drain worker-01 --undo"])
@click.argument("node")
@click.option("--undo", is_flag=True, help="Give it work again.")
async def drain(session: connection.Session, node: str, undo: bool) -> None:
    """Give a machine no new work; what it runs ends in peace."""
    async with session.open() as client:
        found = await client.drain(node, on=not undo)
    if session.out.json:
        session.out.document(found)
    elif undo:
        session.out.text(f"{found.name} takes work again")
    else:
        session.out.text(f"{found.name} is draining: {found.active_jobs} running, no new work")


@command.command("remove", examples=["ffrtmp nodes remove worker-01"])
@click.argument("node")
async def remove(session: connection.Session, node: str) -> None:
    """Forget a machine that is gone: its agent was stopped, or is silent for three heartbeats."""
    async with session.open() as client:
        await client.remove_node(node)
    if session.out.json:
        session.out.document({"removed": node})
    else:
        session.out.text(f"{node} is removed")
